import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPages, pagesOf } from './pages.ts';

test('the place in the events is read before the list, and once for all of its pages', async () => {
  const steps: string[] = [];
  const pages = createPages(async () => `place ${steps.push('place')}`);
  const read = pagesOf(['a', 'b', 'c'], (each) => each);
  const list = (page?: string) =>
    pages.list('letters', { limit: 2, page }, (after: string | undefined, limit) => {
      steps.push(`read after ${after ?? 'nothing'}`);
      return read(after, limit);
    });
  const { next, ...first } = await list();
  assert.deepEqual(first, { items: ['a', 'b'], events: 'place 1' });
  assert.deepEqual(await list(next), { items: ['c'], events: 'place 1' });
  assert.deepEqual(steps, ['place', 'read after nothing', 'read after b']);
});

test('a page that ends with the list has no next one', async () => {
  assert.deepEqual(await pagesOf(['a', 'b'], (each) => each)(undefined, 2), { items: ['a', 'b'] });
});
