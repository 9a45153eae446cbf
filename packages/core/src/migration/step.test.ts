import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { migrationPhases, type Migration } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import { judge } from './judge.ts';
import type { MigrationEvent } from './protocol.ts';
import {
  absent,
  arrived,
  fresh,
  half,
  lost,
  observed,
  plan,
  play,
  present,
  refused,
  running,
  sending,
  silent,
  to,
  toTransfer as transferring,
  type At,
} from './step-fixture.ts';
import { step } from './step.ts';
import { settleMs, staleSourceAfterMs } from './verdicts.ts';

const toTransfer: readonly At[] = transferring();

test('the main way ends succeeded, with the figures of the target and where the VM is', () => {
  const { migration, effects } = play([
    ...toTransfer,
    [100, observed(sending, half)],
    [200, { type: 'switching' }],
    [300, { type: 'perform-ended' }],
    [310, observed(absent, arrived)],
    [320, { type: 'cleaned' }],
  ]);
  assert.equal(migration.outcome, 'succeeded');
  assert.deepEqual(
    migration.phases.map(({ phase }) => phase),
    ['queued', 'checking', 'preparing', 'transferring', 'switching', 'verifying', 'cleaning', 'succeeded'],
  );
  assert.deepEqual(
    [migration.totalMs, migration.downtimeMs, migration.transferredBytes, migration.vmIsNow],
    [320, 20, 5, { host: 'host2', state: 'running' }],
  );
  assert.deepEqual(
    effects.filter((effect) => effect !== 'observe'),
    ['check', 'prepare', 'perform', 'clean'],
  );
});

test('a running guest moved suspended is paused for the whole transfer, a paused one for nothing more', () => {
  const start = (state: 'running' | 'paused') => ({ ...fresh, vmIsNow: { host: 'host1', state } });
  const way: readonly (readonly [number, MigrationEvent])[] = [
    [1, { type: 'admitted' }],
    [2, { type: 'checked', result: { kind: 'chosen', to, move: 'suspended', plan: { ...plan, live: false } } }],
    [3, { type: 'prepared' }],
    [900, { type: 'perform-ended' }],
    [903, observed(absent, arrived)],
  ];
  assert.equal(play(way, start('running')).migration.downtimeMs, 900);
  assert.equal(play(way, start('paused')).migration.downtimeMs, 20);
});

test('a call that fails although the VM moved is a success', () => {
  const { migration } = play([
    ...toTransfer,
    [300, lost],
    [310, observed(absent, arrived)],
    [320, { type: 'cleaned' }],
  ]);
  assert.equal(migration.outcome, 'succeeded');
});

test('a refused call with the VM where it was fails at once and says so', () => {
  const { migration } = play([...toTransfer, [300, refused], [310, observed(running, absent)]]);
  assert.deepEqual(
    [migration.outcome, migration.error?.code, migration.vmIsNow],
    ['failed', 'migration-failed', { host: 'host1', state: 'running' }],
  );
  assert.match(migration.error?.message ?? '', /stayed on host1: no route to host/);
});

test('a call of unknown outcome is not believed to have failed until that has held', () => {
  const early = play([...toTransfer, [300, lost], [310, observed(running, absent)], [400, observed(running, absent)]]);
  assert.equal(early.migration.outcome, undefined);
  const late = step(early.migration, observed(running, absent), 310 + settleMs).migration;
  assert.equal(late.outcome, 'failed');
});

test('lost reply at the switchover: the stale source is removed, and the move is a success', () => {
  const waiting = play([
    ...toTransfer,
    [100, { type: 'switching' }],
    [200, observed(half, arrived)],
    [200 + staleSourceAfterMs - 1, observed(half, arrived)],
  ]);
  assert.ok(!waiting.effects.includes('remove-source-process'), 'libvirt gets its time first');
  const guarded = play([[200 + staleSourceAfterMs, observed(half, arrived)]], waiting.migration);
  assert.ok(guarded.effects.includes('remove-source-process'));
  const ended = play(
    [
      [4_000, lost],
      [4_100, observed(present('shut-off', 'other'), arrived)],
      [4_200, { type: 'cleaned' }],
    ],
    guarded.migration,
  );
  assert.equal(ended.migration.outcome, 'succeeded');
});

test('two running copies are reported, and nothing is removed', () => {
  const { migration, effects } = play([
    ...toTransfer,
    [300, lost],
    [310, observed(running, arrived)],
    [810, observed(running, arrived)],
  ]);
  assert.equal(migration.error?.code, 'vm-two-copies');
  assert.ok(!effects.some((effect) => effect.startsWith('remove')));
});

test('a source that answered before the switch and a target that answered after it are no two copies', () => {
  const crossed = play([...toTransfer, [300, { type: 'perform-ended' }], [310, observed(sending, arrived)]]);
  assert.deepEqual([crossed.migration.outcome, crossed.last.at(-1)?.type], [undefined, 'observe']);
  assert.equal(
    play(
      [
        [810, observed(absent, arrived)],
        [820, { type: 'cleaned' }],
      ],
      crossed.migration,
    ).migration.outcome,
    'succeeded',
  );
});

test('abort: at once before the transfer, by libvirt during it, ignored after the move', () => {
  assert.equal(play([[1, { type: 'abort-requested' }]]).migration.outcome, 'cancelled');
  const during = play([...toTransfer, [100, { type: 'abort-requested' }]]);
  assert.deepEqual(during.last, [{ type: 'abort-job' }, { type: 'observe', afterMs: 500 }]);
  // libvirt has no job to abort yet: the abort is repeated once the job is seen
  const early = play(
    [
      [600, observed(running, absent)],
      [1_100, observed(sending, half)],
    ],
    during.migration,
  );
  assert.deepEqual(early.last, [{ type: 'abort-job' }, { type: 'observe', afterMs: 500 }]);
  assert.deepEqual(play([...toTransfer, [600, observed(sending, half)]]).last, [{ type: 'observe', afterMs: 5_000 }]);
  assert.equal(
    play(
      [
        [200, refused],
        [210, observed(running, absent)],
      ],
      during.migration,
    ).migration.outcome,
    'cancelled',
  );
  const moved = play([
    ...toTransfer,
    [300, { type: 'perform-ended' }],
    [310, observed(absent, arrived)],
    [311, { type: 'abort-requested' }],
    [320, { type: 'cleaned' }],
  ]);
  assert.equal(moved.migration.outcome, 'succeeded');
});

test('restart in every phase: what is safe is done again, a transfer is only looked at', () => {
  const after = (phase: Migration['phase']) =>
    step({ ...fresh, phase, to, plan }, { type: 'recovered' }, 9).effects.map(({ type }) => type);
  assert.deepEqual(
    migrationPhases.map((phase) => [phase, after(phase)]),
    [
      ['queued', []],
      ['checking', ['check']],
      ['preparing', ['prepare']],
      ['transferring', ['observe']],
      ['switching', ['observe']],
      ['post-copy', ['observe']],
      ['verifying', ['observe']],
      ['cleaning', ['clean']],
      ['succeeded', []],
      ['failed', []],
      ['cancelled', []],
    ],
  );
});

const views = fc.constantFrom(
  absent,
  silent,
  running,
  sending,
  arrived,
  half,
  present('paused', 'user'),
  present('paused', 'post-copy'),
  present('paused', 'post-copy-failed'),
  present('running', 'post-copy'),
  present('shut-off', 'migrated'),
);
const anyEvent: fc.Arbitrary<MigrationEvent> = fc.oneof(
  fc.constantFrom<MigrationEvent>(
    { type: 'admitted' },
    { type: 'recovered' },
    { type: 'switching' },
    { type: 'abort-requested' },
    { type: 'cleaned' },
    { type: 'prepared' },
    { type: 'perform-ended' },
    lost,
    refused,
    { type: 'checked', result: { kind: 'chosen', to, move: 'live', plan } },
  ),
  { weight: 2, arbitrary: fc.tuple(views, views).map(([source, target]) => observed(source, target)) },
  fc.tuple(fc.nat(1_000), fc.nat(1_000)).map(([remainingBytes, extra]): MigrationEvent => ({
    type: 'sampled',
    sample: {
      processedBytes: 1,
      remainingBytes,
      totalBytes: remainingBytes + extra,
      dirtyBytesPerSecond: 1,
      throughputBytesPerSecond: 2,
      iteration: 1,
      elapsedMs: 1,
    },
  })),
);
/** Random lives: half of them begin inside the transfer, where it matters. */
const lives = fc
  .tuple(fc.boolean(), fc.array(fc.tuple(fc.nat(4_000), anyEvent), { maxLength: 40 }))
  .map(([inside, tail]) => {
    let now = 10;
    return [...(inside ? toTransfer : []), ...tail.map(([pause, event]) => [(now += pause), event] as const)];
  });
const runs = { numRuns: 3_000 };

test('safety: the source is removed only when the target runs and the source is a finished pre-copy half', () => {
  fc.assert(
    fc.property(lives, (life) => {
      let migration = fresh;
      for (const [at, event] of life) {
        const next = step(migration, event, at);
        if (next.effects.some(({ type }) => type === 'remove-source-process')) {
          assert.ok(event.type === 'observed');
          assert.equal(judge(event.source, event.target).kind, 'stale-source');
          assert.ok(
            event.source.kind === 'present' && event.source.state === 'paused' && event.source.reason === 'migration',
          );
          assert.ok(
            event.target.kind === 'present' && event.target.state === 'running' && event.target.reason !== 'post-copy',
          );
        }
        if (next.effects.some(({ type }) => type === 'remove-target-process')) {
          assert.ok(
            event.type === 'observed' &&
              event.target.kind === 'present' &&
              event.target.state === 'paused' &&
              event.target.reason === 'migration',
          );
          assert.ok(event.source.kind === 'present' && !event.source.migrating && event.source.reason !== 'migration');
        }
        migration = next.migration;
      }
    }),
    runs,
  );
});

test('safety: the call that moves the VM is made at most once', () => {
  fc.assert(
    fc.property(lives, (life) => assert.ok(play(life).effects.filter((effect) => effect === 'perform').length <= 1)),
    runs,
  );
});

test('safety: an outcome is final, phases are stored once each, and success needs the VM seen on the target', () => {
  fc.assert(
    fc.property(lives, (life) => {
      let migration = fresh;
      let seenOnTarget = false;
      for (const [at, event] of life) {
        if (event.type === 'observed' && judge(event.source, event.target).kind === 'moved') seenOnTarget = true;
        // or it was there, and has stopped
        if (event.type === 'observed' && event.target.kind === 'present' && event.target.state === 'shut-off')
          seenOnTarget = true;
        const next = step(migration, event, at).migration;
        if (migration.outcome !== undefined) assert.equal(next, migration);
        migration = next;
      }
      assert.equal(migration.phases.at(-1)?.phase, migration.phase);
      const order = migration.phases.map(({ phase }) => phase).filter((phase) => phase !== 'post-copy');
      // one that outlives its call transfers once more
      const again = order.findLastIndex((phase, at) => phase === 'transferring' && order[at - 1] === 'verifying');
      const last = order.slice(Math.max(0, again));
      assert.equal(new Set(last).size, last.length);
      if (migration.outcome === 'succeeded') assert.ok(seenOnTarget);
    }),
    runs,
  );
});

test('progress never runs backwards and is 100 only at a success', () => {
  fc.assert(
    fc.property(lives, (life) => {
      let migration = fresh;
      for (const [at, event] of life) {
        const before = migration.progress?.percent ?? 0;
        migration = step(migration, event, at).migration;
        const percent = migration.progress?.percent ?? 0;
        assert.ok(percent >= before);
        assert.ok(percent < 100 || migration.outcome === 'succeeded');
      }
    }),
    runs,
  );
});

const planned = (
  transfer: NonNullable<MigrationPlan['transfer']>,
  more: Partial<MigrationPlan> = {},
): readonly (readonly [number, MigrationEvent])[] => [
  [1, { type: 'admitted' }],
  [2, { type: 'checked', result: { kind: 'chosen', to, move: 'live', plan: { ...plan, ...more, transfer } } }],
  [3, { type: 'prepared' }],
];
const peerToPeer = { mode: 'peer-to-peer', modeReason: '' } as const;
const direct = { mode: 'direct', modeReason: '' } as const;
const notReached: MigrationEvent = {
  type: 'perform-ended',
  failure: { outcome: 'refused', message: 'no route to host', notReached: true },
};

test('daemons that do not reach each other: the same migration goes on directly, unless somebody asked for the other way', () => {
  const way: readonly (readonly [number, MigrationEvent])[] = [
    [300, notReached],
    [310, observed(running, absent)],
  ];
  const { migration, effects } = play([...planned(peerToPeer), ...way]);
  assert.deepEqual(
    [migration.outcome, migration.phase, migration.plan?.transfer],
    [undefined, 'transferring', { mode: 'direct', modeReason: 'host1 does not reach host2: no route to host' }],
  );
  assert.deepEqual(effects.filter((effect) => effect !== 'observe').slice(-2), ['note-not-reached', 'perform']);
  assert.equal(
    play([...planned(peerToPeer), ...way], { ...fresh, request: { to: 'host2', mode: 'peer-to-peer' } }).migration
      .outcome,
    'failed',
  );
  assert.equal(
    play([...planned(peerToPeer), [200, { type: 'abort-requested' }], ...way]).migration.outcome,
    'cancelled',
  );
  // the same error in the middle of a transfer is another matter
  const sampled: MigrationEvent = {
    type: 'sampled',
    sample: {
      processedBytes: 1,
      remainingBytes: 1,
      totalBytes: 2,
      dirtyBytesPerSecond: 0,
      throughputBytesPerSecond: 1,
      iteration: 1,
      elapsedMs: 1,
    },
  };
  assert.equal(play([...planned(peerToPeer), [200, sampled], ...way]).migration.outcome, 'failed');
});

test('a direct move that lost its driver: the source is resumed only where the target cannot have run', () => {
  const left = (
    before: readonly (readonly [number, MigrationEvent])[],
    more: Partial<MigrationPlan> = {},
  ): readonly string[] =>
    play([
      ...planned(direct, more),
      ...before,
      [500, { type: 'recovered' }],
      [510, observed(half, absent)],
      [510 + settleMs, observed(half, absent)],
    ]).effects;
  assert.ok(left([]).includes('resume-source'), 'the target was not told to run');
  assert.ok(left([[400, { type: 'handing-over' }]]).includes('resume-source'), 'its definition would have stayed');
  assert.ok(
    !left([[400, { type: 'handing-over' }]], { persistence: 'transient' }).includes('resume-source'),
    'it may have run, and be gone',
  );
  const kept = present('shut-off', 'other');
  const ran = play([
    ...planned(direct),
    [400, { type: 'handing-over' }],
    [500, { type: 'recovered' }],
    [510, observed(half, kept)],
    [510 + settleMs, observed(half, kept)],
  ]);
  assert.ok(!ran.effects.includes('resume-source'), 'it ran there and was shut down');
});

test('a peer-to-peer move whose daemon was lost at the switchover: the same, and not while the daemon may still resume it', () => {
  const left = (more: Partial<MigrationPlan>, source: InstanceView = half): readonly string[] =>
    play([
      ...planned(peerToPeer, more),
      [500, lost],
      [510, observed(source, absent)],
      [510 + settleMs, observed(source, absent)],
    ]).effects;
  assert.ok(left({}).includes('resume-source'), 'its definition would have stayed');
  assert.ok(!left({}, { ...half, migrating: true } as InstanceView).includes('resume-source'), 'its job still runs');
  assert.ok(!left({ persistence: 'temporary' }).includes('resume-source'), 'it may have run, and be gone');
});

test("the memory's share of the link is told once, when disks are on their way, and not where the operator named a limit", () => {
  const sharing = {
    ...plan,
    transfer: { mode: 'peer-to-peer' as const, modeReason: '', memoryBandwidthMiBPerSecond: 107 },
  };
  const sampled = (totalBytes: number): MigrationEvent => ({
    type: 'sampled',
    sample: {
      processedBytes: 0,
      remainingBytes: totalBytes,
      totalBytes,
      dirtyBytesPerSecond: 0,
      throughputBytesPerSecond: 1,
      iteration: 0,
      elapsedMs: 1,
      disk: { totalBytes, remainingBytes: totalBytes },
    },
  });
  const way: readonly At[] = [...transferring(sharing), [10, sampled(0)]];
  assert.ok(!play(way).effects.includes('tune'), 'libvirt would take it for the disks, too');
  const told = play([...way, [20, sampled(100)]]);
  assert.deepEqual(told.last, [{ type: 'tune', limits: { memoryBandwidthMiBPerSecond: 107 } }]);
  assert.equal(
    play([...way, [20, sampled(100)], [30, sampled(100)]]).effects.filter((each) => each === 'tune').length,
    1,
  );
  assert.ok(
    !play([...way, [20, sampled(100)]], { ...fresh, request: { maxBandwidthMiBPerSecond: 5 } }).effects.includes(
      'tune',
    ),
  );
});

test('must wait: back in the queue with the reason, checked again when admitted, and nothing of it stays', () => {
  const needs = [{ host: to.id, ports: 1, memoryBytes: 5, travels: true }];
  const reasons = [{ code: 'migration-ports' as const, host: 'host2', message: 'Others have the ports.', remedy: '' }];
  const waiting = play([
    [1, { type: 'admitted' }],
    [2, { type: 'checked', result: { kind: 'waits', to, move: 'live', plan, reasons, on: needs } }],
  ]).migration;
  assert.deepEqual(
    [waiting.phase, waiting.waitsFor, waiting.attention, waiting.plan, waiting.to],
    ['queued', needs, 'It waits: Others have the ports.', undefined, undefined],
  );
  const again = play([[3_000, { type: 'admitted' }]], waiting);
  assert.deepEqual(
    [again.effects, again.migration.waitsFor, again.migration.attention],
    [['check'], undefined, undefined],
  );
  assert.equal(play([[3_000, { type: 'abort-requested' }]], waiting).migration.outcome, 'cancelled');
});

test('one that is looked at and waits again and again does not grow with it', () => {
  const reasons = [{ code: 'migration-ports' as const, host: 'host2', message: 'Others have the ports.', remedy: '' }];
  const turns = Array.from({ length: 1_000 }, (_, turn): readonly At[] => [
    [turn * 1_000 + 1, { type: 'admitted' }],
    [turn * 1_000 + 2, { type: 'checked', result: { kind: 'waits', to, move: 'live', plan, reasons, on: [] } }],
  ]).flat();
  const { migration } = play(turns);
  assert.deepEqual(
    migration.phases.map(({ phase, at }) => [phase, at]),
    [
      ['queued', 0],
      ['checking', 999_001],
      ['queued', 999_002],
    ],
  );
  const over = play([[1_000_001, { type: 'admitted' }]], migration).migration;
  assert.deepEqual(
    over.phases.map(({ phase }) => phase),
    ['queued', 'checking'],
  );
});

test('a refusal tells where the hosts show the VM, which need not be where it was when it was asked for', () => {
  const asked = { ...fresh, vmIsNow: { host: 'host1', state: 'running' as const } };
  const result = { kind: 'refused' as const, reasons: [] };
  const end = (vmIsNow: 'nowhere' | { host: string; state: 'running' }) =>
    play(
      [
        [1, { type: 'admitted' }],
        [2, { type: 'checked', result, vmIsNow }],
      ],
      asked,
    ).migration;
  assert.deepEqual(
    [end('nowhere').vmIsNow, end({ host: 'host3', state: 'running' }).vmIsNow],
    [undefined, { host: 'host3', state: 'running' }],
  );
  assert.deepEqual(
    play([[1, { type: 'abort-requested', vmIsNow: { host: 'host3', state: 'running' } }]], asked).migration.vmIsNow,
    { host: 'host3', state: 'running' },
  );
});

test('a migration under way whose plan was never stored is ended, and does not hold its VM for ever', () => {
  for (const phase of ['preparing', 'transferring', 'verifying', 'cleaning'] as const) {
    const { migration, effects } = play([[5, { type: 'recovered' }]], { ...fresh, to, phase });
    assert.deepEqual(
      [migration.outcome, migration.error?.code, effects],
      ['failed', 'migration-interrupted', []],
      phase,
    );
  }
});

test('a transfer that outlives the call that performs it is steered on, and only then', () => {
  const ended = (event: MigrationEvent, ...rest: At[]) =>
    play([...toTransfer, [10, event], [20, observed(sending, half)], ...rest]);
  const lives = ended(lost, [4_000, observed(sending, half)]);
  assert.deepEqual([lives.migration.phase, lives.migration.adopted], ['transferring', undefined]);
  assert.deepEqual(lives.last, [{ type: 'observe', afterMs: 500 }]);
  assert.equal(ended(lost, [2_000, observed(sending, half)]).migration.phase, 'verifying', 'it may end right now');
  assert.equal(ended(refused, [4_000, observed(sending, half)]).migration.phase, 'verifying');
  const aborted = play(
    [
      [4_100, { type: 'abort-requested' }],
      [4_600, observed(sending, half)],
    ],
    lives.migration,
  );
  assert.deepEqual(aborted.last[0], { type: 'abort-job' }, 'an abort is repeated as before');
  const moved = play(
    [
      [9_000, observed(absent, arrived)],
      [9_100, { type: 'cleaned' }],
    ],
    aborted.migration,
  );
  assert.equal(moved.migration.outcome, 'succeeded');
});

test('a helper that both hosts have is taken away, and its VM is where it was', () => {
  const helper = { uuid: fresh.vm.uuid, name: 'ferry-b' };
  const both = observed(present('paused', 'user'), present('paused', 'user'));
  const { migration, last } = play([
    ...transferring({ ...plan, how: 'helper', live: false, helper }),
    [10, lost],
    [20, both],
    [5_000, both],
  ]);
  assert.deepEqual(
    [migration.phase, migration.evidence.ending?.outcome, last],
    ['cleaning', 'failed', [{ type: 'undo' }]],
  );
});

test('a VM that is nowhere is said to be nowhere, whatever was last seen of it', () => {
  const { migration } = play(
    [...toTransfer, [10, lost], [20, observed(absent, absent)], [5_000, observed(absent, absent)]],
    { ...fresh, vmIsNow: { host: 'host1', state: 'running' } },
  );
  assert.deepEqual([migration.error?.code, migration.vmIsNow], ['vm-lost', undefined]);
});
