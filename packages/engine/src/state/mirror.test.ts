import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { collection, text } from './collection.ts';
import { openMirror } from './mirror.ts';

test('a removal whose answer was lost is seen at once', async () => {
  let lose = false;
  const { intents } = memoryStores({
    beforeCommit: () => {
      const lost = lose;
      lose = false;
      return lost ? 'lost-after' : undefined;
    },
  });
  const words = collection(intents, 'words/', text);
  await words.change('x', () => 'a');
  const ending = new AbortController();
  // a watch that is far behind
  const slow: typeof words = {
    ...words,
    watch: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }),
  };
  const mirror = await openMirror(slow, { clock: { sleep: async () => {} }, log: silentLog, signal: ending.signal });
  lose = true;
  await mirror.change('x', () => undefined);
  assert.deepEqual([await words.get('x'), mirror.get('x')], [undefined, undefined]);
  ending.abort();
});
