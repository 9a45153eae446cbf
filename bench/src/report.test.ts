import assert from 'node:assert/strict';
import { test } from 'node:test';
import { estimate, exitOf, makeResult, median, pairedRatios, quantile, spread, verdictOf } from './report.ts';

test('median and quantiles interpolate', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(quantile([0, 10], 0.25), 2.5);
  assert.deepEqual(spread([1, 2, 3, 4, 5]), { median: 3, p25: 2, p75: 4, min: 1, max: 5, count: 5 });
});

test('the interval holds the median, repeats, and narrows with more values', () => {
  const few = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const many = Array.from({ length: 20 }, () => few).flat();
  const [a, b] = [estimate(few), estimate(many)];
  assert.deepEqual(estimate(few), a);
  assert.ok(a.low < a.median && a.median < a.high);
  assert.ok(b.high - b.low < a.high - a.low);
  assert.deepEqual(estimate([2, 2, 2]), { median: 2, low: 2, high: 2 });
});

test('ratios are of pairs', () => {
  assert.deepEqual(pairedRatios([1, 6], [2, 3]), [0.5, 2]);
  assert.throws(() => pairedRatios([1], []), RangeError);
});

test('a missing figure meets no target', () => {
  const target = (value: number): boolean => makeResult('x', {}, { it: { what: 'it', value, atMost: 1 } }).met;
  assert.deepEqual([target(1), target(1.01), target(Number.NaN)], [true, false, false]);
});

test('a limit that the control may exceed too is undecided, and not met', () => {
  const target = (value: number, high: number) => ({
    what: 'it',
    value,
    atMost: 1.03,
    control: { median: 1, low: 0.98, high },
  });
  const calm = target(1.04, 1.02);
  const noisy = target(1.04, 1.05);
  assert.deepEqual([calm, noisy, target(1.02, 1.05), target(Number.NaN, 1.05)].map(verdictOf), [
    'not-met',
    'undecided',
    'met',
    'not-met',
  ]);
  assert.deepEqual(
    [{ noisy }, { noisy, calm }, { met: target(1, 1.05) }].map((targets) => exitOf({ targets })),
    [3, 1, 0],
  );
  assert.equal(makeResult('x', {}, { noisy }).met, false);
});
