/** 200 days of the real engine over simulated hosts, and that a seed is a whole day: the same one twice is the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { dayOf } from './shrink.ts';

const simulate = (...args: readonly string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' });

test('the same seed twice gives the same day, to the last line', async () => {
  const [one, two] = [await dayOf(7), await dayOf(7)];
  assert.ok(one.log.length > 20);
  assert.deepEqual(one.log, two.log);
});

test('two hundred days show nothing that must never be', () => {
  const { status, stdout } = simulate('--seeds', '200');
  assert.deepEqual([status, stdout], [0, '200 days, and nothing that must never be.\n']);
});

test('a seed that is not a number is named in one sentence', () => {
  const { status, stderr } = simulate('--seed', 'many');
  assert.deepEqual(
    [status, stderr],
    [2, 'script/simulate: --seed must be a whole number below 1,000,000,000, and "many" is none.\n'],
  );
});
