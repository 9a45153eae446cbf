/** A list over several pages, whose server is restarted while they are read: each item comes once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from './client.ts';
import { everyItem, type PageQuery } from './every-item.ts';

const refused = new ApiError({
  code: 'page-token-invalid',
  status: 400,
  message: 'It is old.',
  remedy: 'Begin again.',
});
/** Two items on a page, as long as there are some; `restarts`: after the answers to these requests. */
const listOf = (all: readonly string[], restarts: readonly number[] = []) => {
  let run = 0;
  const asked: PageQuery[] = [];
  const read = async (query: PageQuery) => {
    asked.push(query);
    const [of = String(run), at = '0'] = query.page?.split('-') ?? [];
    if (of !== String(run)) throw refused;
    const end = Number(at) + Math.min(2, query.limit);
    const answer = {
      items: all.slice(Number(at), end),
      events: `run${run}`,
      ...(end < all.length ? { next: `${run}-${end}` } : {}),
    };
    if (restarts.includes(asked.length)) run += 1;
    return answer;
  };
  return { read, asked };
};
const names = ['a', 'b', 'c', 'd', 'e'];

test('the pages of a list follow each other, up to the most items that are wanted', async () => {
  assert.deepEqual(await everyItem(listOf(names).read), { items: names, events: 'run0' });
  const { read, asked } = listOf(names);
  assert.deepEqual((await everyItem(read, 3)).items, ['a', 'b', 'c']);
  assert.deepEqual(
    asked.map(({ limit }) => limit),
    [3, 1],
  );
});

test('a control plane that was restarted in the middle of a list: read again, no item twice, followed from the new run', async () => {
  const { read, asked } = listOf(names, [2]);
  assert.deepEqual(await everyItem(read), { items: names, events: 'run1' });
  assert.equal(asked.length, 6);
});

test('restarted a second time, or refused for another reason: the refusal stands', async () => {
  await assert.rejects(everyItem(listOf(names, [1, 3]).read), refused);
  await assert.rejects(
    everyItem(() => Promise.reject(refused)),
    refused,
    'the first page has no token',
  );
  const unknown = new ApiError({ code: 'cluster-unknown', status: 404, message: 'None.', remedy: 'Look.' });
  const { read } = listOf(names);
  await assert.rejects(
    everyItem((query) => (query.page === undefined ? read(query) : Promise.reject(unknown))),
    unknown,
  );
});
