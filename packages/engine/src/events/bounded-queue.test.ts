import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { boundedQueue } from './bounded-queue.ts';

type Item = number | 'overflow';
const queueOf = (limit: number, signal?: AbortSignal) => boundedQueue<Item>(limit, () => 'overflow', signal);

async function all(queue: AsyncIterable<Item>): Promise<readonly Item[]> {
  const seen: Item[] = [];
  for await (const item of queue) seen.push(item);
  return seen;
}

test('items come in order, and what is queued at the end is still read', async () => {
  const queue = queueOf(10);
  for (const item of [1, 2, 3]) queue.push(item);
  queue.end();
  queue.push(4);
  assert.deepEqual(await all(queue), [1, 2, 3]);
});

test('a reader that waits is woken by an item, and by the end', async () => {
  const queue = queueOf(10);
  const reading = all(queue);
  await Promise.resolve();
  queue.push(1);
  await new Promise((resolve) => setImmediate(resolve));
  queue.push(2);
  queue.end();
  assert.deepEqual(await reading, [1, 2]);
});

test('a reader that falls behind loses what is queued and gets one reset', async () => {
  const queue = queueOf(3);
  for (const item of [1, 2, 3, 4, 5]) queue.push(item);
  queue.end();
  assert.deepEqual(await all(queue), ['overflow', 5]);
});

test('the signal ends a waiting reader; what came before it is still read', async () => {
  const stop = new AbortController();
  const waiting = all(queueOf(3, stop.signal));
  const filled = queueOf(3, stop.signal);
  filled.push(1);
  await Promise.resolve();
  stop.abort();
  filled.push(2);
  assert.deepEqual([await waiting, await all(filled)], [[], [1]]);
});

test('a queue whose signal was aborted before does not wait', async () => {
  assert.deepEqual(await all(queueOf(3, AbortSignal.abort())), []);
});

test('a reader that leaves ends the queue: nothing is kept for nobody', async () => {
  const queue = queueOf(3);
  queue.push(1);
  queue.push(2);
  for await (const item of queue) {
    assert.equal(item, 1);
    break;
  }
  queue.push(3);
  assert.deepEqual(await all(queue), []);
});

test('property: order is kept, never more than the limit waits, and nothing is lost without an overflow before the next item', async () => {
  const steps = fc.array(fc.constantFrom('push', 'push', 'push', 'read'), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), steps, async (limit, doing) => {
      const queue = queueOf(limit);
      const reader = queue[Symbol.asyncIterator]();
      const seen: Item[] = [];
      let pushed = 0;
      let waiting = 0;
      for (const what of doing) {
        if (what === 'push') {
          queue.push((pushed += 1));
          waiting = waiting >= limit ? 1 : waiting + 1;
        } else if (waiting > 0) {
          seen.push((await reader.next()).value as Item);
          waiting -= 1;
        }
      }
      queue.end();
      const rest: Item[] = [];
      for (let next = await reader.next(); next.done !== true; next = await reader.next()) rest.push(next.value);
      assert.equal(rest.length, waiting);
      assert.ok(rest.length <= limit);
      let last = 0;
      let told = false;
      for (const item of [...seen, ...rest]) {
        if (item === 'overflow') told = true;
        else {
          assert.ok(told ? item > last : item === last + 1, `${item} after ${last}`);
          last = item;
          told = false;
        }
      }
      assert.ok(told || last === pushed, 'the newest item is there, or its loss is told');
    }),
  );
});
