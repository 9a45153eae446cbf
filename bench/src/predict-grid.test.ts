import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summaryOf, targetsOf, workloadOf, type Run } from './predict-grid.ts';
import { verdictOf } from './report.ts';

const run = (share: number, changes: Partial<Run> = {}): Run => ({
  share,
  kind: 'converges',
  endsByItself: true,
  ended: true,
  totalMs: { low: 8_000, expected: 10_000, high: 14_000 },
  downtimeMs: { low: 1, expected: 50, high: 400 },
  tookMs: 10_500,
  pausedMs: 30,
  paceRead: 1,
  paceBefore: 1,
  paceDuring: 1,
  ...changes,
});
const never = { ended: false, tookMs: Number.NaN, pausedMs: Number.NaN };
const verdicts = (runs: readonly Run[]): readonly string[] => Object.values(targetsOf(runs)).map(verdictOf);

test('a guest dirties a share of the bandwidth', () => {
  assert.equal(workloadOf(0.25), 'sector:V=256,W=256,D=8');
});

test('errors and intervals are those of runs that ended and were predicted', () => {
  const { totalError, totalWithin, downtimeErrorMs, ended } = summaryOf([run(0.1), run(2, never)]);
  assert.deepEqual([Math.round(totalError * 1_000), totalWithin, downtimeErrorMs, ended], [48, 1, 20, 1]);
});

test('all is met by good predictions; each miss is seen', () => {
  const good = [run(0.1), run(0.5), run(2, { ...never, kind: 'does-not-converge', endsByItself: false })];
  assert.deepEqual(verdicts(good), ['met', 'met', 'met', 'met']);
  assert.deepEqual(verdicts([run(0.1, { tookMs: 15_000 })]), ['not-met', 'not-met', 'met', 'met']);
  assert.deepEqual(verdicts([run(0.1, { pausedMs: 900 })]), ['met', 'met', 'not-met', 'met']);
  assert.deepEqual(verdicts([...good, run(1.25, { kind: 'at-risk', endsByItself: false })])[3], 'not-met');
  assert.deepEqual(
    verdicts([...good, run(1, { kind: 'at-risk', endsByItself: false })])[3],
    'met',
    'nothing is claimed',
  );
  assert.deepEqual(
    verdicts([run(2, never)]),
    ['not-met', 'not-met', 'not-met', 'not-met'],
    'a missing figure meets nothing',
  );
});
