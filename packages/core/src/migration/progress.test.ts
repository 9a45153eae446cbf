import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { look, watched } from '../convergence/example-history.ts';
import type { MigrationProgress } from '../model/migration.ts';
import type { JobSample } from '../model/transfer.ts';
import { finalProgress, progressOf } from './progress.ts';

const sample = (figures: Partial<JobSample> = {}): JobSample => ({
  processedBytes: 0,
  remainingBytes: 0,
  totalBytes: 0,
  dirtyBytesPerSecond: 0,
  throughputBytesPerSecond: 0,
  iteration: 1,
  elapsedMs: 1,
  ...figures,
});
const bytes = fc.maxSafeNat();
/** Figures as a host may send them, also ones that do not fit together. */
const anySample: fc.Arbitrary<JobSample> = fc.record({
  processedBytes: bytes,
  remainingBytes: fc.oneof(fc.nat(1_000), bytes),
  totalBytes: fc.oneof(fc.nat(1_000), bytes),
  dirtyBytesPerSecond: fc.oneof(fc.nat(1_000), bytes),
  throughputBytesPerSecond: fc.oneof(fc.nat(1_000), bytes),
  iteration: fc.nat(100),
  elapsedMs: fc.nat(),
});

test('the percentage shows what remains, not what was processed', () => {
  const percent = (remainingBytes: number, totalBytes: number, processedBytes = 0) =>
    progressOf(sample({ remainingBytes, totalBytes, processedBytes }), undefined).percent;
  assert.deepEqual(
    [percent(1_000, 1_000), percent(750, 1_000), percent(501, 1_000), percent(10, 1_000)],
    [0, 25, 49, 99],
  );
  assert.equal(percent(0, 1_000, 3), 99, 'zero pages: little was processed, nothing remains');
  assert.equal(percent(0, 0), 0, 'before there are figures');
  assert.equal(percent(2_000, 1_000), 0, 'more remains than there is');
});

test('the guest dirties a pass: the percentage waits, the figures do not', () => {
  const before = progressOf(sample({ remainingBytes: 200, totalBytes: 1_000 }), undefined);
  const after = progressOf(sample({ remainingBytes: 900, totalBytes: 1_000, iteration: 2 }), before);
  assert.deepEqual([before.percent, after.percent, after.remainingBytes, after.iteration], [80, 80, 900, 2]);
});

test('time left: what remains over what is gained, and none where nothing is gained', () => {
  const eta = (throughputBytesPerSecond: number, dirtyBytesPerSecond: number, remainingBytes = 1_000) =>
    progressOf(sample({ remainingBytes, totalBytes: 2_000, throughputBytesPerSecond, dirtyBytesPerSecond }), undefined)
      .etaMs;
  assert.equal(eta(500, 0), 2_000);
  assert.equal(eta(500, 250), 4_000);
  for (const none of [eta(500, 500), eta(100, 500), eta(0, 0), eta(500, 0, 0)]) assert.equal(none, undefined);
  assert.equal('etaMs' in progressOf(sample(), undefined), false, 'absent, not undefined');
});

test('time left from whole passes: not before what is left is sent, and room for passes that shrink no more', () => {
  const { history, now } = watched([{ rest: 4_000 }, { rest: 400, seconds: 1 }]);
  const { etaMs, etaEarliestMs, etaLatestMs } = progressOf(
    look({ iteration: 2, rest: 300, sent: 4_100, dirty: 10 }),
    undefined,
    { history, budgetMs: 100, now },
  );
  assert.deepEqual(
    [etaMs, etaEarliestMs, etaLatestMs],
    [3_400, 3_000, 12_000],
    '400, 40 and 4 MiB; at the latest 300 and twice 400 more, and a look',
  );
});

test('there is no time left if it does not end; in post-copy it is that of the remainder', () => {
  const { history, now } = watched([{ rest: 4_000 }, { rest: 3_950, seconds: 1 }]);
  const left = look({ iteration: 2, rest: 1_000, sent: 7_000, dirty: 99 });
  assert.equal(progressOf(left, undefined, { history, budgetMs: 100, now }).etaMs, undefined);
  assert.deepEqual(
    progressOf({ ...left, postCopyFaults: 12 }, undefined, { history, budgetMs: 100, now }).etaMs,
    10_000,
  );
});

test('property: never backwards, a whole number from 0 to 99 while it runs, a time left only when something is gained', () => {
  fc.assert(
    fc.property(fc.array(anySample, { minLength: 1, maxLength: 30 }), (samples) => {
      let last: MigrationProgress | undefined;
      for (const each of samples) {
        const next = progressOf(each, last);
        assert.ok(
          Number.isInteger(next.percent) && next.percent >= (last?.percent ?? 0) && next.percent <= 99,
          `${last?.percent} -> ${next.percent}`,
        );
        const gains = each.throughputBytesPerSecond > each.dirtyBytesPerSecond && each.remainingBytes > 0;
        assert.equal(next.etaMs !== undefined, gains);
        if (next.etaMs !== undefined) assert.ok(Number.isInteger(next.etaMs) && next.etaMs >= 0);
        last = next;
      }
    }),
  );
});

test('property: the percentage survives a restart, since the last one is all it needs', () => {
  fc.assert(
    fc.property(anySample, anySample, (first, second) => {
      const stored = JSON.parse(JSON.stringify(progressOf(first, undefined))) as MigrationProgress;
      assert.deepEqual(progressOf(second, stored), progressOf(second, progressOf(first, undefined)));
    }),
  );
});

test('a success is 100 percent with nothing left to do or to wait for; none is invented', () => {
  const running = progressOf(
    sample({ remainingBytes: 500, totalBytes: 1_000, throughputBytesPerSecond: 10 }),
    undefined,
  );
  const last = finalProgress(running);
  assert.deepEqual([running.etaMs, last?.percent, last?.remainingBytes, last?.totalBytes], [50_000, 100, 0, 1_000]);
  assert.equal(last !== undefined && 'etaMs' in last, false);
  assert.equal(finalProgress(progressOf(sample({ totalBytes: 10 }), undefined))?.percent, 100);
  assert.equal(finalProgress(undefined), undefined);
});

test('in post-copy the percentage follows what is left, from where pre-copy had brought it', () => {
  const before = progressOf(sample({ remainingBytes: 200, totalBytes: 1_000 }), undefined);
  const seen = [900, 450, 90, 0].reduce<readonly MigrationProgress[]>(
    (all, remainingBytes) => [
      ...all,
      progressOf(sample({ remainingBytes, totalBytes: 1_000, iteration: 3 }), all.at(-1) ?? before, { postCopy: true }),
    ],
    [],
  );
  assert.deepEqual(
    seen.map(({ percent }) => percent),
    [80, 90, 98, 99],
  );
});

test('never more done than there is, however often pages are sent', () => {
  const { processedBytes, sentBytes } = progressOf(
    sample({
      remainingBytes: 100,
      totalBytes: 1_000,
      processedBytes: 7_000,
      memory: { totalBytes: 1_000, remainingBytes: 100, sentBytes: 7_000 },
    }),
    undefined,
  );
  assert.deepEqual([processedBytes, sentBytes], [900, 7_000]);
});
