import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { fresh, to } from '../migration/step-fixture.ts';
import type { Interval, Prediction } from '../model/prediction.ts';
import { isWithin, learn, outcomeOf, statsOf, widened, type PredictionOutcome } from './calibration.ts';

const predicted = (totalMs: Interval, more: Partial<Prediction> = {}): Prediction => ({
  kind: 'converges',
  text: '',
  budgetMs: 100,
  remedies: [],
  totalMs,
  downtimeMs: { low: 0, expected: 50, high: 200 },
  ...more,
});
const tenSeconds = { low: 8_000, expected: 10_000, high: 14_000 };
const outcome = (totalMs: number, changes: Partial<PredictionOutcome> = {}, downtimeMs = 50): PredictionOutcome => ({
  from: 'a',
  to: 'b',
  predicted: predicted(tenSeconds),
  measured: { totalMs, downtimeMs },
  ...changes,
});

test('predictions that held widen nothing', () => {
  assert.equal(learn([], 'a', 'b'), undefined);
  assert.equal(learn([outcome(9_000), outcome(13_900), outcome(10_000)], 'a', 'b'), undefined);
});

test('one that was missed widens its side, by what it would have taken', () => {
  const { totalMs, downtimeMs } = learn([outcome(18_000), outcome(10_000)], 'a', 'b') ?? assert.fail('nothing learnt');
  assert.deepEqual(
    [totalMs, downtimeMs],
    [
      { low: 1, high: 2 },
      { low: 1, high: 1 },
    ],
  );
  assert.deepEqual(widened(tenSeconds, totalMs), { low: 8_000, expected: 10_000, high: 18_000 });
  const early = learn([outcome(4_000)], 'a', 'b')?.totalMs ?? assert.fail('nothing learnt');
  assert.deepEqual(widened(tenSeconds, early), { low: 4_000, expected: 10_000, high: 14_000 });
  assert.deepEqual(widened(tenSeconds, { low: 20, high: 1 }).low, 0, 'no time is less than none');
});

test('what an interval was widened by already counts', () => {
  const wide = predicted(
    { low: 8_000, expected: 10_000, high: 18_000 },
    {
      widened: { totalMs: { low: 1, high: 2 }, downtimeMs: { low: 1, high: 1 } },
    },
  );
  // 12 s over, of the 4 s that the model gave: not 1.5 times what was widened twofold
  assert.equal(learn([outcome(22_000, { predicted: wide })], 'a', 'b')?.totalMs.high, 3);
  assert.equal(learn([outcome(18_000, { predicted: wide })], 'a', 'b')?.totalMs.high, 2, 'it is not forgotten');
});

test('two hosts that have enough of their own are judged by that', () => {
  const bad = outcome(30_000, { from: 'x' });
  const own = [10_000, 10_000, 10_000, 10_000].map((each) => outcome(each));
  assert.ok(learn([bad, ...own], 'a', 'b') !== undefined, 'four are too few');
  assert.equal(learn([bad, ...own, outcome(10_000)], 'a', 'b'), undefined);
});

test('one miss in many is forgotten; only the last fifty count', () => {
  const good = Array.from({ length: 40 }, () => outcome(10_000));
  assert.equal(learn([outcome(30_000), ...good], 'a', 'b'), undefined);
  const old = Array.from({ length: 20 }, () => outcome(30_000));
  const newer = Array.from({ length: 50 }, () => outcome(10_000));
  assert.equal(learn([...newer, ...old], 'a', 'b'), undefined);
});

test('property: what was learnt would have held at least nine of ten', () => {
  const totals = fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(totals, (all) => {
      const factor = learn(
        all.map((each) => outcome(each)),
        'a',
        'b',
      )?.totalMs ?? { low: 1, high: 1 };
      const { high = 0, low } = widened(tenSeconds, factor);
      const held = (of: (value: number) => boolean): number => all.filter(of).length / all.length;
      assert.ok(held((value) => value <= high + 1e-6) >= 0.9 && held((value) => value >= low - 1e-6) >= 0.9);
    }),
    { seed: 20_261_129 },
  );
});

test('the error over all of them: medians, and how many were within', () => {
  assert.deepEqual(statsOf([]), { totalMs: { count: 0 }, downtimeMs: { count: 0 } });
  const unbounded = predicted({ low: 8_000, expected: 10_000 });
  const { totalMs, downtimeMs } = statsOf([
    outcome(10_000),
    outcome(20_000, {}, 250),
    outcome(12_500, { predicted: unbounded }),
  ]);
  assert.deepEqual(totalMs, { count: 3, medianErrorMs: 2_500, medianErrorShare: 0.2, withinShare: 0.5 });
  assert.deepEqual([downtimeMs.count, downtimeMs.medianErrorMs], [3, 0]);
  assert.equal(isWithin({ low: 1, expected: 2 }, 1e9), true, 'no upper end');
});

test('a migration counts where it moved, as predicted, and no operator changed it', () => {
  const ended = {
    ...fresh,
    to,
    outcome: 'succeeded' as const,
    downtimeMs: 40,
    prediction: predicted(tenSeconds),
    phases: [
      { phase: 'queued' as const, at: 0 },
      { phase: 'transferring' as const, at: 5_000 },
      { phase: 'verifying' as const, at: 14_100 },
    ],
    evidence: { performEnded: { at: 14_000 } },
  };
  assert.deepEqual(outcomeOf(ended)?.measured, { totalMs: 9_000, downtimeMs: 40 });
  assert.equal(outcomeOf({ ...ended, evidence: {} })?.measured.totalMs, 9_100, 'a restart did not see the call end');
  assert.equal(outcomeOf({ ...ended, outcome: 'cancelled' }), undefined);
  const { prediction: _, ...unpredicted } = ended;
  assert.equal(outcomeOf(unpredicted), undefined);
});
