/** Arguments of script/simulate that mean something, and those that do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asking, Misuse } from './asking.ts';

test('days, one day and the broken rules are asked for', () => {
  assert.deepEqual(asking(['--seeds', '200']), { what: 'days', from: 1, seeds: 200, alone: false, first: false });
  assert.deepEqual(asking(['--seed=0', '--only=3,4']), { what: 'day', seed: 0, only: [3, 4] });
  assert.deepEqual(asking(['--mutants']), { what: 'mutants', seeds: 1_000 });
});

const usage = 'use --seeds N [--from S], --seed S [--only I,J], --scenario FOLDER or --mutants [--seeds N].';
for (const [what, args, sentence] of [
  ['a negative seed', ['--seed', '-3'], '--seed must be a whole number from 0 to 999999999, not "-3".'],
  ['a negative seed behind =', ['--seed=-3'], '--seed must be a whole number from 0 to 999999999, not "-3".'],
  ['half a seed', ['--seed', '1.5'], '--seed must be a whole number from 0 to 999999999, not "1.5".'],
  ['an empty seed', ['--seed', ''], '--seed must be a whole number from 0 to 999999999, not "".'],
  ['a seed too many digits long', ['--seed', '1e99'], '--seed must be a whole number from 0 to 999999999, not "1e99".'],
  ['no days', ['--seeds', '0'], '--seeds must be a whole number from 1 to 999999999, not "0".'],
  ['no seed at all', ['--seed'], '--seed needs a value.'],
  ['no option', [], usage],
  ['an option that is unknown', ['--sed', '1'], `unknown option "--sed"; ${usage}`],
  ['an argument without an option', ['17'], `"17" belongs to no option; ${usage}`],
  [
    'a list with a gap',
    ['--seed', '1', '--only', '1,,2'],
    '--only must be a whole number from 0 to 999999999, not "".',
  ],
] as const)
  test(`${what} is named in one sentence`, () => {
    assert.throws(
      () => asking(args),
      (error) => error instanceof Misuse && error.message === sentence,
    );
  });
