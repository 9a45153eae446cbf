import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../model/migration.ts';
import { bandwidthInForce } from './bandwidth.ts';
import { commandRefusal } from './commands.ts';
import type { MigrationCommand, MigrationEvent } from './protocol.ts';
import { fresh, plan, play, toTransfer, type At } from './step-fixture.ts';

const transfer = { mode: 'peer-to-peer', modeReason: '', postCopy: true, memoryBandwidthMiBPerSecond: 80 } as const;
const running = play(toTransfer({ ...plan, transfer })).migration;
const inPostCopy = play([[50, { type: 'post-copy-started' }]], running).migration;
const refusedWith = (migration: Migration, command: MigrationCommand) => commandRefusal(migration, command)?.code;

test('an abort is refused from the switch to post-copy on, and by the step itself', () => {
  assert.equal(refusedWith(running, { type: 'abort-requested' }), undefined);
  const interrupted = play([[60, { type: 'perform-ended' }]], inPostCopy).migration;
  for (const migration of [inPostCopy, interrupted]) {
    assert.equal(refusedWith(migration, { type: 'abort-requested' }), 'migration-past-return');
    const after = play([[70, { type: 'abort-requested' }]], migration);
    assert.deepEqual([after.migration, after.effects], [migration, []]);
  }
  assert.equal(interrupted.phase, 'verifying');
});

test('post-copy and a pause are for a running guest on its way', () => {
  assert.equal(refusedWith(running, { type: 'post-copy-requested' }), undefined);
  assert.equal(refusedWith(inPostCopy, { type: 'post-copy-requested' }), 'migration-not-transferring');
  assert.equal(refusedWith(inPostCopy, { type: 'pause-requested' }), 'migration-not-transferring');
  assert.equal(refusedWith(fresh, { type: 'pause-requested' }), 'migration-not-transferring');
  assert.equal(refusedWith(fresh, { type: 'post-copy-requested' }), 'post-copy-not-allowed');
  assert.equal(
    refusedWith({ ...running, outcome: 'failed' }, { type: 'tune-requested', limits: {} }),
    'migration-finished',
  );
  const { migration, last } = play([[50, { type: 'post-copy-requested' }]], running);
  assert.deepEqual(
    [migration.decisions?.at(-1)?.action, last],
    [{ do: 'note', what: 'operator' }, [{ type: 'post-copy' }]],
  );
});

test('limits are stored as requested, sent to the source, and in force once it has accepted them', () => {
  const limits = { maxBandwidthMiBPerSecond: 7 };
  const asked = play([[50, { type: 'tune-requested', limits }]], running);
  const tune = { type: 'tune', limits: { ...limits, postCopyBandwidthMiBPerSecond: 7 }, asked: limits };
  assert.deepEqual(
    [asked.migration.evidence.tuning, asked.migration.request.maxBandwidthMiBPerSecond, asked.last],
    [limits, undefined, [tune]],
  );
  // after a restart in between, the source gets it again
  const again = play([[55, { type: 'recovered' }]], asked.migration);
  assert.deepEqual(again.last, [{ type: 'observe', afterMs: 0 }, tune]);
  const taken = play([[60, { type: 'limits-changed', limits }]], asked.migration).migration;
  assert.deepEqual([taken.evidence.tuning, taken.request.maxBandwidthMiBPerSecond], [undefined, 7]);
  const no = play([[60, { type: 'measure-refused', measure: 'tune', message: 'no' }]], asked.migration).migration;
  assert.deepEqual([no.evidence.tuning, no.request.maxBandwidthMiBPerSecond], [undefined, undefined]);
});

test('limits that the source took before memory travelled are set once more when it does, and later ones only once', () => {
  const limits = { maxBandwidthMiBPerSecond: 7 };
  const sampled = (iteration: number): MigrationEvent => ({
    type: 'sampled',
    sample: {
      processedBytes: 0,
      remainingBytes: iteration === 0 ? 0 : 10,
      totalBytes: iteration === 0 ? 0 : 10,
      dirtyBytesPerSecond: 0,
      throughputBytesPerSecond: 1,
      iteration,
      elapsedMs: 1,
    },
  });
  const unlimited = play(
    toTransfer({ ...plan, transfer: { mode: 'peer-to-peer', modeReason: '', postCopy: true } }),
  ).migration;
  const tunes = (events: readonly At[]) => play(events, unlimited).effects.filter((each) => each === 'tune').length;
  const early: readonly At[] = [
    [50, sampled(0)],
    [60, { type: 'limits-changed', limits }],
    [70, sampled(0)],
  ];
  assert.equal(tunes(early), 0);
  const { migration, last } = play([...early, [80, sampled(1)]], unlimited);
  assert.deepEqual(last, [{ type: 'tune', limits: { ...limits, postCopyBandwidthMiBPerSecond: 7 } }]);
  assert.equal(migration.evidence.earlyLimits, undefined);
  assert.equal(tunes([...early, [80, sampled(1)], [90, sampled(2)]]), 1);
  assert.equal(
    tunes([
      [50, sampled(1)],
      [60, { type: 'limits-changed', limits }],
      [70, sampled(2)],
    ]),
    0,
  );
});

test('limits of what does not transfer, and a deadline, need no host', () => {
  const queued = play([[5, { type: 'tune-requested', limits: { maxBandwidthMiBPerSecond: 7 } }]]);
  assert.deepEqual([queued.migration.request.maxBandwidthMiBPerSecond, queued.effects], [7, []]);
  const late = play([[50, { type: 'tune-requested', limits: { deadlineMs: 1_000 } }]], running);
  assert.deepEqual([late.migration.deadlineAt, late.effects], [1_050, []]);
});

test('the bandwidth in force: the operator before the plan, a share of the link for the memory alone', () => {
  const withPlan = (
    request: Migration['request'],
    own: Partial<typeof transfer> & { bandwidthMiBPerSecond?: number },
  ) => bandwidthInForce({ request, plan: { ...plan, transfer: { mode: 'direct', modeReason: '', ...own } } });
  assert.deepEqual(withPlan({}, {}), { each: undefined, memory: undefined, postCopy: undefined });
  assert.deepEqual(withPlan({}, transfer), { each: undefined, memory: 80, postCopy: 80 });
  assert.deepEqual(withPlan({}, { bandwidthMiBPerSecond: 9 }), { each: 9, memory: 9, postCopy: undefined });
  assert.deepEqual(withPlan({ maxBandwidthMiBPerSecond: 5 }, transfer), { each: 5, memory: 5, postCopy: 5 });
});
