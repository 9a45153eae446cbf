import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../model/migration.ts';
import type { PolicyContent, PolicyStep } from '../model/policy.ts';
import type { JobSample } from '../model/transfer.ts';
import { presets } from '../policy/presets.ts';
import { resolvePolicy } from '../policy/resolve.ts';
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
  toTransfer,
  type At,
} from './step-fixture.ts';
import { undoSteps } from './move-ending.ts';
import { settleMs } from './verdicts.ts';

const mib = 1_048_576;
/** A second of a 256 MiB guest over 32 MiB/s. */
const sample = (at: number, iteration: number, restMib: number, sentMib: number, dirtyMib = 0): At => [
  at,
  {
    type: 'sampled',
    sample: {
      processedBytes: sentMib * mib,
      remainingBytes: restMib * mib,
      totalBytes: 256 * mib,
      dirtyBytesPerSecond: dirtyMib * mib,
      throughputBytesPerSecond: 32 * mib,
      iteration,
      elapsedMs: at,
      memory: { totalBytes: 256 * mib, remainingBytes: restMib * mib, sentBytes: sentMib * mib },
    } satisfies JobSample,
  },
];
/** A guest that dirties all of its memory in each pass of 8 s; from 1 s on. */
const busy = (passes: number): readonly At[] =>
  Array.from({ length: passes * 8 }, (_, second) =>
    sample(
      1_000 + second * 1_000,
      1 + Math.floor(second / 8),
      256 - (second % 8) * 32,
      second * 32,
      second < 8 ? 0 : 40,
    ),
  );
const goingBy = (steps: readonly PolicyStep[], more: Partial<PolicyContent> = {}): Migration => {
  const base = presets.get('default');
  assert.ok(base);
  return {
    ...fresh,
    vmIsNow: { host: 'host1', state: 'running' },
    policy: resolvePolicy({ ...base, downtime: { initialMs: 100, limitMs: 500 }, ...more, steps }, 'default'),
  };
};
const postCopyPlan = {
  ...plan,
  transfer: { mode: 'peer-to-peer' as const, modeReason: 'test', postCopy: true as const },
};

test('a guest that cannot converge is switched to post-copy at the end of its first pass, in words and with the figures', () => {
  const { migration, effects } = play(
    [...toTransfer(postCopyPlan), ...busy(2)],
    goingBy(presets.get('default')?.steps ?? []),
  );
  assert.deepEqual(
    effects.filter((each) => each === 'post-copy'),
    ['post-copy'],
    'once',
  );
  const [decision] = migration.decisions ?? [];
  assert.equal(
    decision?.text,
    'iteration 2: 256 MiB left, guest writes 40 MiB/s, link gives 32: the smallest rest would take ' +
      'a pause of 8000 ms, switching to post-copy',
  );
  assert.equal(decision.figures.iteration, 2);
});

test('without post-copy the default says that it does not end, and leaves the guest alone', () => {
  const { migration, effects } = play([...toTransfer(), ...busy(3)], goingBy(presets.get('default')?.steps ?? []));
  assert.deepEqual(new Set(effects), new Set(['check', 'prepare', 'perform', 'observe']));
  assert.match(
    migration.decisions?.map(({ text }) => text).join('\n') ?? '',
    /it does not end by itself, and no step of the policy helps now/,
  );
  assert.equal(migration.decisions?.length, 1, 'said once');
});

test('aborted by its policy: the job is aborted, and the end says why and what would help', () => {
  const gaveUp = play(
    [...toTransfer(), ...busy(2), [18_000, refused], [18_010, observed(running, absent)]],
    goingBy([{ when: 'elapsed', ms: 10_000, do: 'abort' }]),
  );
  assert.equal(gaveUp.effects.filter((each) => each === 'abort-job').length, 1);
  assert.deepEqual([gaveUp.migration.outcome, gaveUp.migration.error?.code], ['failed', 'migration-not-converged']);
  assert.match(gaveUp.migration.error?.message ?? '', /stayed on host1: iteration 2: .* 10 s have passed, aborting/);
});

test('"finish quickly" while it runs: the pause becomes what the remainder needs, once passes gain nothing', () => {
  const quick: At = [9_000, { type: 'limits-changed', limits: { quicklyFinish: true } }];
  const { migration } = play([...toTransfer(), ...busy(1), quick, ...busy(6).slice(8)], goingBy([]));
  const set = migration.decisions?.map(({ action }) => action).filter((action) => action.do === 'set-downtime');
  const first = set?.[0];
  assert.ok(first?.do === 'set-downtime' && first.toMs > 8_000, JSON.stringify(first));
  assert.ok(set?.every((action) => action.do !== 'set-downtime' || action.toMs <= 10_000));
  assert.match(
    migration.decisions?.[0]?.text ?? '',
    /operator asked it to finish quickly, with a pause of up to 10000 ms/,
  );
});

test('"finish quickly" with a pause limit: that limit is the longest', () => {
  const named = { ...goingBy([], { downtime: { initialMs: 300, limitMs: 300 } }), request: { maxDowntimeMs: 300 } };
  const { migration } = play(
    [
      ...toTransfer(),
      ...busy(1),
      [9_000, { type: 'limits-changed', limits: { quicklyFinish: true } }],
      ...busy(6).slice(8),
    ],
    named,
  );
  assert.equal(migration.policy?.downtime.limitMs, 300);
  assert.ok(!migration.decisions?.some(({ action }) => action.do === 'set-downtime'));
});

test('limits from an operator are asked for as at the begin: a deadline of a policy without one gives up when it comes', () => {
  const late = play(
    [
      ...toTransfer(),
      ...busy(1),
      [8_500, { type: 'limits-changed', limits: { deadlineMs: 2_000 } }],
      ...busy(2).slice(8),
    ],
    goingBy([]),
  );
  assert.equal(late.migration.deadlineAt, 10_500);
  assert.deepEqual(
    late.effects.filter((each) => each === 'abort-job'),
    ['abort-job'],
  );
  assert.match(
    late.migration.decisions?.map(({ text }) => text).join('; ') ?? '',
    /operator set the deadline: 2 s from now; .*the deadline has come, aborting/,
  );
});

test('if no guest runs, nothing is done to one: only an abort is left', () => {
  const cold = { ...plan, how: 'helper' as const, live: false };
  const { effects } = play(
    [...toTransfer(cold), ...busy(2)],
    goingBy([
      { when: 'elapsed', ms: 1_000, do: 'pause' },
      { when: 'elapsed', ms: 1_000, do: 'power-off' },
      { when: 'elapsed', ms: 1_000, do: 'abort' },
    ]),
  );
  assert.deepEqual(
    effects.filter((each) => !['observe', 'check', 'prepare', 'perform'].includes(each)),
    ['abort-job'],
  );
});

test('paused by its policy: until it runs there, and the pause counts from then', () => {
  const start = goingBy([{ when: 'elapsed', ms: 10_000, do: 'pause' }]);
  const paused = play([...toTransfer(), ...busy(2)], start);
  assert.equal(paused.effects.filter((each) => each === 'pause-guest').length, 1);
  const done = play(
    [
      [17_500, { type: 'switching' }],
      [18_000, { type: 'perform-ended' }],
      [18_010, observed(absent, present('paused', 'user'))],
      [18_500, observed(absent, arrived)],
      [18_510, { type: 'cleaned' }],
    ],
    paused.migration,
  );
  assert.deepEqual(
    done.effects.filter((each) => each === 'release-target'),
    ['release-target'],
    'it arrived paused',
  );
  assert.deepEqual([done.migration.outcome, done.migration.downtimeMs], ['succeeded', 18_500 - 11_000]);
  const refusedPause = play(
    [[11_500, { type: 'measure-refused', measure: 'pause-guest', message: 'no' }]],
    paused.migration,
  ).migration;
  assert.equal(refusedPause.evidence.pausedAt, undefined);
  assert.match(refusedPause.decisions?.at(-1)?.text ?? '', /the pause was refused: no/);
});

test('powered off by its policy: shut down once the abort is known, moved cold and started; started where it was when that fails', () => {
  const start = goingBy([{ when: 'elapsed', ms: 10_000, do: 'power-off' }]);
  const aborted = play([...toTransfer(), ...busy(2), [18_000, refused]], start);
  assert.ok(!aborted.effects.includes('shut-down-source'), 'not before it is known that the live move is over');
  const asked = play(
    [
      [18_010, observed(running, absent)],
      [19_000, observed(running, absent)],
    ],
    aborted.migration,
  );
  assert.deepEqual(
    asked.effects.filter((each) => each !== 'observe'),
    ['shut-down-source'],
  );
  assert.ok(
    play([[18_010 + 61_000, observed(running, absent)]], asked.migration).effects.includes('end-source-guest'),
    'a guest that does not hear is ended',
  );
  const stopping = play([[18_500, { type: 'abort-requested' }]], asked.migration).migration;
  const stopped = play([[20_000, observed(present('shut-off', 'other'), absent)]], stopping);
  assert.deepEqual([stopped.migration.phase, stopped.effects], ['cleaning', ['undo']]);
  const undone = undoSteps(stopped.migration).map((each) => each.do);
  assert.ok(undone.includes('start-source'), 'what was shut down for it starts again');
  const deaf = play([[18_010 + 61_000, observed(running, absent)]], stopping);
  assert.deepEqual(deaf.effects, ['undo'], 'it is not ended after an abort');
  const unasked = play([[18_005, { type: 'abort-requested' }]], aborted.migration).migration;
  const stays = play([[18_010, observed(running, absent)]], unasked);
  assert.deepEqual([stays.migration.outcome, stays.effects], ['cancelled', []], 'nor shut down');
  const off = play([[20_000, observed(present('shut-off', 'other'), absent)]], asked.migration);
  assert.deepEqual(
    [
      off.migration.phase,
      off.migration.request.kind,
      off.migration.request.autoStart,
      off.migration.request.to,
      off.effects,
    ],
    ['checking', 'cold', true, 'host2', ['check']],
  );
  const cold = {
    kind: 'chosen' as const,
    to: { ...(off.migration.to ?? { id: fresh.from.id, name: 'host2' }) },
    move: 'cold' as const,
    plan: { ...plan, how: 'definition' as const, live: false },
  };
  const done = play(
    [
      [20_100, { type: 'checked', result: cold }],
      [20_200, { type: 'prepared' }],
      [21_000, { type: 'cleaned', vmIsNow: { host: 'host2', state: 'running' } }],
    ],
    off.migration,
  ).migration;
  assert.deepEqual([done.outcome, done.kind, done.downtimeMs], ['succeeded', 'cold', 21_000 - 18_010]);
  const failed = play([[20_100, { type: 'checked', result: { kind: 'refused', reasons: [] } }]], off.migration);
  assert.deepEqual([failed.effects, failed.migration.phase], [['undo'], 'cleaning'], 'taking back starts it again');
});

test('tried again on another host only when the end is known, as often as the policy says', () => {
  const start = goingBy([], { retry: { attempts: 1, delayMs: 500 } });
  const first = play([...toTransfer(), [100, refused], [110, observed(running, absent)]], start).migration;
  assert.deepEqual(
    [first.phase, first.notBefore, first.attempts?.map(({ to: host }) => host?.name), first.to],
    ['queued', 610, ['host2'], undefined],
  );
  const second = play(
    [[700, { type: 'admitted' }], ...toTransfer().slice(1), [800, refused], [810, observed(running, absent)]],
    first,
  ).migration;
  assert.equal(second.outcome, 'failed', 'once more and not oftener');
  // what was decided on the way to the first host is no decision about the second
  const steps = presets.get('default')?.steps ?? [];
  const busyFirst = play(
    [
      ...toTransfer(postCopyPlan),
      ...busy(2).slice(0, 9),
      [9_900, { type: 'limits-changed', limits: { maxDowntimeMs: 200 } }],
      ...busy(3).slice(9),
      [26_000, refused],
      [26_010, observed(running, absent)],
    ],
    goingBy(steps, { retry: { attempts: 1, delayMs: 0 } }),
  ).migration;
  const later = busy(2).map(([at, event]): At => [at + 30_000, event]);
  const busySecond = play([[27_000, { type: 'admitted' }], ...toTransfer(postCopyPlan).slice(1), ...later], busyFirst);
  assert.ok(busyFirst.decisions?.some(({ action }) => action.do === 'post-copy'));
  assert.deepEqual(
    busySecond.effects.filter((each) => each === 'post-copy'),
    ['post-copy'],
  );
  const unknown = play(
    [...toTransfer(), [100, lost], [110, observed({ kind: 'unreachable', message: 'x' }, absent)]],
    start,
  ).migration;
  assert.equal(unknown.phase, 'verifying');
  const gone = play(
    [...toTransfer(), [100, lost], [110, observed(absent, absent)], [120 + settleMs, observed(absent, absent)]],
    start,
  ).migration;
  assert.equal(gone.outcome, 'failed', 'a VM that is nowhere is not tried again');
});

test('post-copy that only the policy wanted and a host refused at once: without it', () => {
  const unable: At = [
    100,
    { type: 'perform-ended', failure: { outcome: 'refused', message: 'Postcopy is not supported' } },
  ];
  const again = play([...toTransfer(postCopyPlan), unable, [110, observed(running, absent)]], goingBy([]));
  assert.equal(again.migration.plan?.transfer?.postCopy, undefined);
  assert.deepEqual(again.effects.slice(-2), ['perform', 'observe']);
  const asked = play([...toTransfer(postCopyPlan), unable, [110, observed(running, absent)]], {
    ...goingBy([]),
    request: { to: 'host2', postCopy: true },
  });
  assert.equal(asked.migration.outcome, 'failed', 'one that was asked for is not left away');
});

test('the pause of a post-copy is taken from what the hosts tell, since libvirt has no figure of it', () => {
  const there = present('running', 'migrated');
  const way: readonly At[] = [
    [100, { type: 'switching', what: 'paused' }],
    [110, { type: 'post-copy-started' }],
    [130, { type: 'switching', what: 'runs' }],
    [900, { type: 'switching', what: 'runs' }],
    [910, { type: 'perform-ended' }],
    [920, observed(absent, there)],
  ];
  assert.equal(play([...toTransfer(postCopyPlan), ...way], goingBy([])).migration.downtimeMs, 30);
  assert.equal(
    play([...toTransfer(postCopyPlan), ...way.slice(0, -1), [920, observed(absent, arrived)]], goingBy([])).migration
      .downtimeMs,
    20,
    "libvirt's own goes before it",
  );
});

test('handover: the target is released once the source is gone, and removed where the source goes on', () => {
  const held = present('paused', 'user');
  const start = play(
    [
      ...toTransfer({ ...plan, transfer: { mode: 'peer-to-peer', modeReason: 'test', handover: true } }),
      [100, { type: 'switching' }],
    ],
    goingBy([], { singleCopy: 'handover' }),
  ).migration;
  const released = play(
    [
      [200, { type: 'perform-ended' }],
      [210, observed(absent, held)],
      [300, observed(absent, arrived)],
    ],
    start,
  );
  assert.deepEqual(
    released.effects.filter((each) => each !== 'observe'),
    ['release-target', 'clean'],
  );
  assert.deepEqual([released.migration.evidence.releasedAt, released.migration.downtimeMs], [210, 200]);
  const resumed = play(
    [
      [200, lost],
      [210, observed(running, held)],
      [220 + settleMs, observed(running, held)],
    ],
    start,
  );
  assert.deepEqual(
    resumed.effects.filter((each) => each !== 'observe'),
    ['remove-target-process'],
  );
  const left = play(
    [
      [200, lost],
      [210, observed(half, absent)],
      [220 + settleMs, observed(half, absent)],
    ],
    start,
  );
  assert.ok(left.effects.includes('resume-source'), 'a target that was never released has not run');
});

test('interrupted post-copy: resumed again and again, reported with the place of each half, and never ended by Ferry', () => {
  const source = present('paused', 'post-copy-failed');
  const target = present('running', 'post-copy-failed');
  const start = play(
    [...toTransfer(postCopyPlan), [50, observed(sending, half)], [100, { type: 'post-copy-started' }]],
    goingBy([]),
  ).migration;
  const interrupted = play(
    [
      [200, lost],
      [210, observed(source, target)],
      [400, observed(source, target)],
    ],
    start,
  );
  assert.deepEqual(
    interrupted.effects.filter((each) => each !== 'observe'),
    ['recover'],
    'one try at a time',
  );
  assert.match(interrupted.migration.attention ?? '', /web runs on host2 .* only host1 has/);
  const tried = play(
    [
      [1_000, { type: 'recover-ended', failure: { outcome: 'refused', message: 'still running', stillRunning: true } }],
      [1_010, observed(source, target)],
      [9_000, observed(source, target)],
    ],
    interrupted.migration,
  );
  assert.deepEqual(
    tried.effects.filter((each) => each === 'recover'),
    ['recover'],
    'later again',
  );
  assert.match(tried.migration.attention ?? '', /QEMU still sends/);
  const allSent: Migration = {
    ...interrupted.migration,
    progress: {
      percent: 99,
      processedBytes: 1,
      remainingBytes: 0,
      totalBytes: 1,
      dirtyBytesPerSecond: 0,
      throughputBytesPerSecond: 0,
      iteration: 2,
    },
  };
  const again = (now: number) =>
    play(
      [[now, { type: 'recover-ended', failure: { outcome: 'refused', message: 'still running', stillRunning: true } }]],
      allSent,
    ).migration.attention ?? '';
  assert.match(again(1_000), /QEMU still sends/, 'it may yet hear the answer');
  assert.match(
    again(70_000),
    /QEMU on host1 cannot resume it: it has sent its last page.*Neither half was ended.*virsh destroy web/,
  );
  const through = play(
    [
      [10_000, { type: 'recover-ended' }],
      [10_010, observed(absent, arrived)],
      [10_020 + settleMs, observed(absent, arrived)],
      [20_000, { type: 'cleaned' }],
    ],
    tried.migration,
  );
  assert.equal(through.migration.outcome, 'succeeded');
  assert.equal(through.migration.attention, undefined);
  const unasked = play(
    [[1_000, { type: 'recover-ended', failure: { outcome: 'refused', message: 'It would crash.', notAsked: true } }]],
    interrupted.migration,
  );
  assert.match(unasked.migration.attention ?? '', /kept paused\. It would crash\.$/);
  const without = play(
    [
      [1_000, { type: 'recover-ended', failure: { outcome: 'unknown', message: 'x' } }],
      [1_100, observed(source, absent)],
      [1_200 + settleMs, observed(source, absent)],
    ],
    interrupted.migration,
  );
  assert.deepEqual(
    [without.migration.outcome, without.migration.error?.code, without.migration.vmIsNow?.host],
    ['failed', 'post-copy-lost', 'host1'],
  );
  assert.ok(
    ![...interrupted.effects, ...tried.effects, ...without.effects].some((each) =>
      ['remove-source-process', 'remove-target-process', 'abort-job', 'resume-source'].includes(each),
    ),
  );
});

test('a post-copy whose source never heard that all has arrived ends, and its half stays as it is', () => {
  const source = present('paused', 'post-copy-failed');
  const { migration, effects } = play([
    ...toTransfer(),
    [10, { type: 'post-copy-started' }],
    [20, lost],
    [30, observed(source, present('running', 'post-copy'))],
    [40, observed(source, arrived)],
    [50 + settleMs, observed(source, arrived)],
    [9_000, { type: 'cleaned', vmIsNow: { host: 'host2', state: 'running' } }],
  ]);
  assert.deepEqual(
    [migration.outcome, migration.error?.code, migration.vmIsNow?.host, migration.attention],
    ['failed', 'source-half-left', 'host2', undefined],
  );
  assert.match(
    migration.error?.message ?? '',
    /^web has moved to host2 with all of its memory, but host1 was never told/,
  );
  assert.ok(!effects.includes('remove-source-process') && !effects.includes('undo'), effects.join());
});

test('a guest that was paused for a move which did not come about runs again, also where its pause came too late', () => {
  const paused = present('paused', 'user');
  const asked = play([...toTransfer(), [10, { type: 'pause-requested' }], [20, lost]]);
  const left = play(
    [
      [30, { type: 'recovered' }],
      [40, observed(paused, absent)],
      [50 + settleMs, observed(paused, absent)],
      [60 + settleMs, observed(running, absent)],
    ],
    asked.migration,
  );
  assert.ok(left.effects.includes('resume-source'), left.effects.join());
  assert.deepEqual([left.migration.outcome, left.migration.vmIsNow], ['failed', { host: 'host1', state: 'running' }]);
});

test('a guest that does not stay resumed, or that QEMU paused for a reason of its own, is left as it is', () => {
  const asked = play([...toTransfer(), [10, { type: 'pause-requested' }], [20, lost], [30, { type: 'recovered' }]]);
  const looks = (reason: 'user' | 'other') => {
    const paused = present('paused', reason);
    return play(
      Array.from({ length: 60 }, (_, at) => [1_000 + at * 1_000, observed(paused, absent)] as const),
      asked.migration,
    );
  };
  const byUser = looks('user');
  assert.deepEqual([byUser.migration.outcome, byUser.migration.vmIsNow?.state], ['failed', 'paused']);
  assert.equal(byUser.effects.filter((each) => each === 'resume-source').length, 30);
  const byQemu = looks('other');
  assert.deepEqual([byQemu.migration.outcome, byQemu.migration.vmIsNow?.state], ['failed', 'paused']);
  assert.ok(!byQemu.effects.includes('resume-source'));
});

const saysNo = (message: string): MigrationEvent => ({
  type: 'perform-ended',
  failure: { outcome: 'refused', message },
});

test('a port that something else uses: the next one of the range, each once, then the failure with the ports that were tried', () => {
  const transfer = {
    mode: 'peer-to-peer' as const,
    modeReason: 'test',
    migrateUri: 'tcp://host2:50000',
    disksPort: 50_001,
  };
  const start: Migration = { ...fresh, request: { to: 'host2' }, vmIsNow: { host: 'host1', state: 'running' } };
  const guest = play(
    [
      ...toTransfer({ ...plan, transfer }),
      [10, saysNo('unable to migrate: Failed to find an available port: Address already in use')],
      [11, observed(running, absent)],
    ],
    start,
  );
  assert.deepEqual(
    [guest.last, guest.migration.evidence.portsBusy, guest.migration.outcome],
    [[{ type: 'choose-ports' }], [50_000], undefined],
  );
  const again = play(
    [[12, { type: 'ports-chosen', transfer: { ...transfer, migrateUri: 'tcp://host2:50002' } }]],
    guest.migration,
  );
  assert.deepEqual(
    [again.migration.phase, again.migration.plan?.transfer?.migrateUri, again.effects],
    ['transferring', 'tcp://host2:50002', ['perform', 'observe']],
  );
  assert.match(
    again.migration.decisions?.at(-1)?.text ?? '',
    /host2 uses the port 50000: trying again on 50002 and 50001/,
  );
  const disks = play(
    [
      [20, saysNo("unable to execute QEMU command 'nbd-server-start': Failed to bind socket: Address already in use")],
      [21, observed(running, absent)],
    ],
    again.migration,
  );
  assert.deepEqual(disks.migration.evidence.portsBusy, [50_000, 50_001]);
  const none = play([[22, { type: 'ports-chosen' }]], disks.migration).migration;
  assert.equal(none.outcome, 'failed');
  assert.match(
    none.error?.message ?? '',
    /Address already in use .*ports 50000, 50001 of host2 are in use by another program/,
  );
  const ofLibvirt = play(
    [...toTransfer(), [10, saysNo('Address already in use')], [11, observed(running, absent)]],
    start,
  ).migration;
  assert.equal(ofLibvirt.outcome, 'failed', "libvirt's own range is libvirt's own affair");
});

test('without post-copy only where post-copy is the reason, not a name, a port or a device', () => {
  const start: Migration = {
    ...fresh,
    request: { to: 'host2' },
    vm: { ...fresh.vm, name: 'postcopy' },
    vmIsNow: { host: 'host1', state: 'running' },
  };
  const after = (message: string): string => {
    const { migration } = play(
      [...toTransfer(postCopyPlan), [10, saysNo(message)], [11, observed(running, absent)]],
      start,
    );
    return (
      migration.outcome ?? `${migration.phase} ${migration.plan?.transfer?.postCopy === true ? 'with' : 'without'}`
    );
  };
  assert.equal(
    after(
      "unable to execute QEMU command 'migrate-set-capabilities': Postcopy is not supported: Userfaultfd not available",
    ),
    'transferring without',
  );
  for (const message of [
    "domain 'postcopy' already exists with uuid x",
    'Cannot get interface MTU on br9: No such device',
    'unable to connect to server at host2:49152: Connection refused',
    'Secret not found',
  ])
    assert.equal(after(message), 'failed', message);
});

test('a target that takes nothing is passed over for the next suited host, unless it was named; the end tells why each one failed', () => {
  const start: Migration = { ...fresh, request: { preferHost: 'host2' }, vmIsNow: { host: 'host1', state: 'running' } };
  const broken: readonly At[] = [...toTransfer(), [10, saysNo('no emulator')], [11, observed(running, absent)]];
  const nothing: At = [
    5,
    {
      type: 'sampled',
      sample: {
        processedBytes: 0,
        remainingBytes: 0,
        totalBytes: 0,
        dirtyBytesPerSecond: 0,
        throughputBytesPerSecond: 0,
        iteration: 0,
        elapsedMs: 1,
      },
    },
  ];
  const first = play([...broken.slice(0, 3), nothing, ...broken.slice(3)], start).migration;
  assert.deepEqual(
    [first.phase, first.attempts?.map(({ to, error }) => [to?.name, /no emulator/.test(error.message)])],
    ['queued', [['host2', true]]],
  );
  const unprepared = play(
    [...toTransfer().slice(0, 2), [3, { type: 'prepared', failure: { outcome: 'refused', message: 'no space' } }]],
    start,
  ).migration;
  assert.equal(unprepared.phase, 'queued');
  assert.equal(play(broken, { ...start, request: { to: 'host2' } }).migration.outcome, 'failed');
  assert.equal(
    play(
      [
        ...toTransfer(),
        [
          5,
          {
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
          },
        ],
        ...broken.slice(3),
      ],
      start,
    ).migration.outcome,
    'failed',
    'bytes were sent: that is for a policy to decide',
  );
  const reason = {
    code: 'target-tried' as const,
    host: 'host2',
    message: 'An attempt to move to host2 has failed already: no emulator',
    remedy: '',
  };
  const last = play(
    [
      [20, { type: 'admitted' }],
      [21, { type: 'checked', result: { kind: 'refused', reasons: [reason] } }],
    ],
    first,
  ).migration;
  assert.deepEqual([last.outcome, last.error?.code, last.error?.reasons], ['failed', 'migration-failed', [reason]]);
  assert.match(last.error?.message ?? '', /no emulator/);
});
