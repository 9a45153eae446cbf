import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { curvesOf } from './curve.ts';

const mib = 1_048_576;
const all = 1_024 * mib;
/** Of a guest that was seen to write these MiB within so many seconds. */
const seen = (...points: readonly (readonly [seconds: number, mib: number])[]) =>
  curvesOf(
    points.map(([seconds, bytes]) => ({ seconds, bytesPerSecond: (bytes * mib) / seconds })),
    all,
  ) ?? assert.fail('no curve');

test('a set that is written again and again: the curve ends at its size', () => {
  const { middle, bytesPerSecond } = seen([1, 48], [2, 96], [4, 100]);
  assert.equal(bytesPerSecond, 48 * mib);
  assert.equal(Math.round(middle(2) / mib), 96);
  assert.ok(middle(8) / mib <= 110, `${middle(8) / mib} MiB in 8 s`);
});

test('what was written in full is not noise', () => {
  const whole = 128 * mib;
  const of = [1, 2, 4, 8].map((seconds) => ({
    seconds,
    bytesPerSecond: Math.min(20 * seconds, 128) * (mib / seconds),
  }));
  const { middle } = curvesOf(of, whole) ?? assert.fail('no curve');
  assert.deepEqual([middle(1), middle(4), middle(8)], [20 * mib, 80 * mib, whole]);
});

test('readings that differ by their noise are one rate, that of all of them', () => {
  const { middle, bytesPerSecond } = seen([1, 12], [2, 18], [4, 40]);
  assert.equal(bytesPerSecond, 10 * mib);
  assert.deepEqual([middle(0.5), middle(3), middle(8)], [5 * mib, 30 * mib, 80 * mib]);
});

test('a small set that hides in the noise is there at worst', () => {
  const { high, middle } = seen([1, 6], [2, 6], [4, 6]);
  assert.ok(middle(0.1) < mib);
  assert.ok(high(0.1) > 6 * mib);
});

test('without readings there is none; without writes it is nothing', () => {
  assert.equal(curvesOf([], all), undefined);
  const { low, middle, high } = seen([1, 0], [4, 0]);
  assert.deepEqual([low(9), middle(9), high(9)], [0, 0, 0]);
});

test('property: the curves grow, in order, never faster than they began, up to all of the memory', () => {
  const reading = fc.record({
    seconds: fc.integer({ min: 1, max: 30 }),
    bytesPerSecond: fc.double({ min: 0, max: 2_000 * mib, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(reading, { minLength: 1, maxLength: 5 }),
      fc.double({ min: 0.01, max: 60, noNaN: true }),
      (of, at) => {
        const readings = [...new Map(of.map((each) => [each.seconds, each])).values()];
        const { low, middle, high } = curvesOf(readings, all) ?? assert.fail();
        assert.ok(low(at) <= middle(at) + 1 && middle(at) <= high(at) + 1 && high(at) <= all);
        for (const curve of [low, middle, high]) {
          assert.ok(curve(at) <= curve(at * 1.5) + 1, 'it grows');
          assert.ok(curve(at) / at + 1 >= curve(at * 1.5) / (at * 1.5), 'and bends');
        }
      },
    ),
    { numRuns: 2_000, seed: 20_261_129 },
  );
});
