import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createEventQueue } from './event-queue.ts';
import type { EventQueue } from './event-queue.ts';

type Item = number | { readonly dropped: number };

function queueOf(limit: number): { readonly queue: EventQueue<Item>; readonly left: () => number } {
  let left = 0;
  const queue = createEventQueue<Item>({ limit, gap: (dropped) => ({ dropped }), onLeave: () => (left += 1) });
  return { queue, left: () => left };
}

test('items come in order, and the end comes after them', async () => {
  const { queue, left } = queueOf(10);
  [1, 2, 3].forEach((item) => queue.push(item));
  queue.end();
  queue.push(4);
  assert.deepEqual(await Array.fromAsync(queue.items), [1, 2, 3]);
  assert.equal(left(), 1);
});

test('what does not fit is counted in one gap, in its place', async () => {
  const { queue } = queueOf(2);
  [1, 2, 3, 4].forEach((item) => queue.push(item));
  const items = queue.items[Symbol.asyncIterator]();
  assert.equal((await items.next()).value, 1);
  queue.push(5);
  queue.end();
  const rest: unknown[] = [];
  for (let step = await items.next(); step.done !== true; step = await items.next()) rest.push(step.value);
  assert.deepEqual(rest, [2, { dropped: 2 }, 5]);
});

test('an end with an error delivers what waits first', async () => {
  const { queue } = queueOf(10);
  queue.push(1);
  queue.end(new Error('lost'));
  const items = queue.items[Symbol.asyncIterator]();
  assert.deepEqual(await items.next(), { value: 1, done: false });
  await assert.rejects(items.next(), /lost/);
});

test('a waiting consumer is woken by an item and by the end', async () => {
  const { queue } = queueOf(10);
  const items = queue.items[Symbol.asyncIterator]();
  const first = items.next();
  queue.push(7);
  assert.deepEqual(await first, { value: 7, done: false });
  const last = items.next();
  queue.end();
  assert.deepEqual(await last, { value: undefined, done: true });
});

test('leaving early calls onLeave', async () => {
  const { queue, left } = queueOf(10);
  queue.push(1);
  for await (const item of queue.items) {
    assert.equal(item, 1);
    break;
  }
  assert.equal(left(), 1);
});

test('with any interleaving, items and gaps together account for every push, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.boolean(), { maxLength: 60 }),
      async (limit, steps) => {
        const { queue } = queueOf(limit);
        const items = queue.items[Symbol.asyncIterator]();
        const seen: Item[] = [];
        let pushed = 0;
        let buffered = 0;
        for (const push of steps) {
          if (push) {
            queue.push(pushed++);
            buffered += 1;
          } else if (buffered > 0) {
            const step = await items.next();
            if (step.done !== true) seen.push(step.value);
            buffered -= 1;
            if (typeof step.value === 'object') buffered -= step.value.dropped - 1;
          }
        }
        queue.end();
        for (let step = await items.next(); step.done !== true; step = await items.next()) seen.push(step.value);
        let expected = 0;
        for (const item of seen) {
          if (typeof item === 'number') assert.equal(item, expected++);
          else expected += item.dropped;
        }
        assert.equal(expected, pushed);
      },
    ),
  );
});
