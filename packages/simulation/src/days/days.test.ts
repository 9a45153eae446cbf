/**
 * Days of the real engine over simulated hosts: 200 of them in script/test, a handful otherwise; and that a seed is a
 * whole day: the same one twice is the same.
 */
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

const days = process.env['FERRY_TEST_DAYS'] ?? '8';
test(`${days} days show nothing that must never be`, () => {
  const { status, stdout } = simulate('--seeds', days);
  assert.deepEqual([status, stdout], [0, `${days} days, and nothing that must never be.\n`]);
});

test('a broken safety rule is found, with the command that shows it again', () => {
  const { status, stdout } = simulate('--first', '--mutant', 'calls-are-believed', '--seeds', '20');
  assert.equal(status, 1, stdout);
  const [, seed = ''] =
    /^seed (\d+): .*\n {2}script\/simulate --seed \1 --mutant calls-are-believed\n/.exec(stdout) ?? [];
  const again = simulate('--seed', seed, '--mutant', 'calls-are-believed');
  assert.equal(again.status, 1);
  assert.ok(again.stdout.includes(`!! ${/: (.*)/.exec(stdout)?.[1]}\n`), again.stdout);
});

for (const [what, args, sentence] of [
  ['a seed that is a word', ['--seed', 'many'], '--seed must be a whole number from 0 to 999999999, not "many".'],
  [
    'a step that the day does not have',
    ['--seed', '1', '--only', '0,99'],
    'day 1 has the steps 0 to 27, and no step 99.',
  ],
  ['an unknown rule', ['--seed', '1', '--mutant', 'x'], 'there is no mutant "x"; --mutants names them all.'],
] as const)
  test(`${what}: one sentence, exit code 2, and no day`, () => {
    const { status, stdout, stderr } = simulate(...args);
    assert.deepEqual([status, stdout, stderr], [2, '', `script/simulate: ${sentence}\n`]);
  });
