/** 200 days of the real engine over simulated hosts, and that a seed is a whole day: the same one twice is the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayOf } from './shrink.ts';

const seeds = 200;

test('the same seed twice gives the same day, to the last line', async () => {
  const [one, two] = [await dayOf(7), await dayOf(7)];
  assert.ok(one.log.length > 20);
  assert.deepEqual(one.log, two.log);
});

for (const [name, from] of [
  ['the first hundred', 1],
  ['the second hundred', 101],
] as const)
  test(`${name} days show nothing that must never be`, async () => {
    const bad: string[] = [];
    for (let seed = from; seed < from + seeds / 2; seed += 1)
      for (const broken of (await dayOf(seed)).broken) bad.push(`script/simulate --seed ${seed}: ${broken}`);
    assert.deepEqual(bad, []);
  });
