import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turnsOf } from './turns.ts';

const never = new AbortController().signal;

test('no more at once than allowed, in the order in which they came; a failure frees its place', async () => {
  const turns = turnsOf(2);
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const all = ends.map(({ promise }, index) =>
    turns.take(() => {
      begun.push(index);
      return promise;
    }, never),
  );
  const settled = Promise.allSettled(all);
  await Promise.resolve();
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.reject(new Error('no'));
  await all[1]?.catch(() => undefined);
  assert.deepEqual(begun, [0, 1, 2]);
  for (const [index, { resolve }] of ends.entries()) resolve(index);
  assert.deepEqual(
    (await settled).map((each) => (each.status === 'fulfilled' ? each.value : 'failed')),
    [0, 'failed', 2, 3, 4],
  );
});

test('who stops waiting takes no place', async () => {
  const turns = turnsOf(1);
  const first = Promise.withResolvers<void>();
  const held = turns.take(() => first.promise, never);
  const leaving = new AbortController();
  const left = turns.take(async () => assert.fail('it had left'), leaving.signal);
  leaving.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  const last = turns.take(async () => 'here', never);
  first.resolve();
  await held;
  assert.equal(await last, 'here');
});
