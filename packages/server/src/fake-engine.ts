/** For tests: an engine of canned answers that records what it was asked. It moves nothing and follows nothing. */
import type { Batch, HostView, Instance, Migration, Rollout, Vm, VolumeRecord } from '@ferry/core';
import { batchId, FerryError, presets, resolvePolicy, hostId, migrationId, rolloutId, vmUuid } from '@ferry/core';
import type { Engine, Log, NumberedEvent, RuleView } from '@ferry/engine';

const raise = (message: string): never => {
  throw new Error(message);
};

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

export const sampleHost: HostView = {
  host: {
    id: hostId('h1'),
    name: 'alpha',
    uri: 'qemu+tcp://alpha/system',
    cluster: 'default',
    machineUuid: 'm-1',
    addedAt: 1_700_000_000_000,
  },
  state: 'connected',
  facts: {
    hostname: 'alpha',
    machineUuid: 'm-1',
    libvirtVersion: '9.0.0',
    qemuVersion: '7.2.0',
    cpu: { arch: 'x86_64', model: 'EPYC', vendor: 'AMD', threads: 8 },
    memoryBytes: 16 * 2 ** 30,
  },
  freeMemoryBytes: 8 * 2 ** 30,
};
export const bareHost: HostView = {
  host: { ...sampleHost.host, id: hostId('h2'), name: 'beta' },
  state: 'unreachable',
  stateDetail: 'connection refused',
};

const instance: Instance = {
  uuid: vmUuid('11111111-1111-4111-8111-111111111111'),
  name: 'web1',
  state: 'running',
  reason: 'booted',
  persistent: true,
  memoryBytes: 2 ** 30,
  vcpus: 2,
  disks: [
    { target: 'vda', device: 'disk', type: 'file', source: '/a.qcow2', format: 'qcow2', readOnly: false },
    { target: 'sda', device: 'cdrom', type: 'file', readOnly: true },
  ],
};
export const sampleVm: Vm = {
  uuid: instance.uuid,
  name: 'web1',
  hostId: hostId('h1'),
  state: 'running',
  memoryBytes: 2 ** 30,
  vcpus: 2,
  disks: instance.disks,
  instances: [{ hostId: hostId('h1'), role: 'authoritative', instance }],
  currentMigration: migrationId('m1'),
};
const policy = resolvePolicy(presets.get('default') ?? raise('no default policy'), 'default');
export const runningMigration: Migration = {
  id: migrationId('m1'),
  name: 'web1-1',
  vm: { uuid: instance.uuid, name: 'web1' },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'cli',
  request: { to: 'beta', maxBandwidthMiBPerSecond: 64 },
  from: { id: hostId('h1'), name: 'alpha' },
  to: { id: hostId('h2'), name: 'beta' },
  phase: 'transferring',
  phases: [
    { phase: 'queued', at: 1_700_000_000_000 },
    { phase: 'transferring', at: 1_700_000_001_000 },
  ],
  progress: {
    percent: 40.5,
    processedBytes: 10,
    remainingBytes: 20,
    totalBytes: 30,
    dirtyBytesPerSecond: 1.5,
    throughputBytesPerSecond: 5,
    iteration: 1,
  },
  policy,
  prediction: {
    kind: 'converges',
    text: 'it ends',
    budgetMs: 100,
    measuredAt: 1_700_000_000_000,
    totalMs: { low: 800.4, expected: 1_200, high: 2_000 },
    downtimeMs: { low: 1, expected: 44.5 },
    remedies: [],
  },
  decisions: [
    {
      at: 1_700_000_001_500,
      action: { do: 'set-downtime', toMs: 200 },
      step: 0,
      text: 'raising the pause budget',
      figures: {
        part: 'memory',
        iteration: 2,
        restBytes: 1,
        dirtyBytesPerSecond: 2,
        linkBytesPerSecond: 3,
        presentBytesPerSecond: 3,
        downtimeMs: 100,
        throttlePercent: 0,
        unchangedMs: 5,
        elapsedMs: 6,
        neededPauseMs: 150.5,
      },
    },
  ],
  evidence: {},
  revision: 12,
};
export const finishedMigration: Migration = {
  ...runningMigration,
  phase: 'failed',
  outcome: 'failed',
  totalMs: 1234.5,
  downtimeMs: 12,
  transferredBytes: 30,
  vmIsNow: { host: 'alpha', state: 'running' },
  batch: { id: 'd1', name: 'drain-alpha' },
  hooks: [
    {
      hook: 'backup',
      stage: 'before',
      attempt: 1,
      at: 1_700_000_000_000,
      tookMs: 5,
      result: 'refused',
      message: 'No.',
    },
  ],
  adopted: true,
  error: {
    code: 'migration-failed',
    message: 'It broke.',
    remedy: 'Mend it.',
    reasons: [{ code: 'vm-gone', message: 'y', remedy: 'z' }],
  },
};

export const sampleDrain: Batch = {
  id: batchId('d1'),
  name: 'drain-alpha-d1',
  kind: 'drain',
  actor: 'operator',
  client: 'cli',
  hosts: [{ id: hostId('h1'), name: 'alpha' }],
  startedAt: 1_700_000_000_000,
  phase: 'running',
  members: [
    {
      vm: { uuid: instance.uuid, name: 'web1' },
      memoryBytes: 2 ** 30,
      from: { id: hostId('h1'), name: 'alpha' },
      to: { id: hostId('h2'), name: 'beta' },
      way: 'live',
      state: 'waiting',
      tries: 1,
      note: 'It broke.',
    },
  ],
};
export const sampleRollout: Rollout = {
  id: rolloutId('r1'),
  name: 'rollout-alpha-r1',
  actor: 'operator',
  client: 'cli',
  plan: { returnMs: 60_000, work: { program: '/etc/ferry/hooks/reboot', timeoutMs: 5_000 } },
  hosts: [
    {
      host: { id: hostId('h1'), name: 'alpha' },
      state: 'draining',
      since: 1_700_000_000_000,
      drain: batchId('d1'),
      note: 'It is on its way.',
    },
  ],
  startedAt: 1_700_000_000_000,
  phase: 'running',
  attention: 'Look.',
};
export const sampleLeftover: VolumeRecord = {
  host: 'h1',
  machine: 'machine-2',
  hostName: 'alpha',
  path: '/pool/web1.qcow2',
  pool: 'default',
  name: 'web1.qcow2',
  vm: { uuid: instance.uuid, name: 'web1' },
  migration: migrationId('m0'),
  at: 1_700_000_000_000,
  role: 'source',
  capacityBytes: 2 ** 30,
  allocationBytes: 2 ** 20,
  modified: '1.2',
};

const sampleRule: RuleView = {
  rule: { name: 'spread', kind: 'apart', strength: 'soft', vmSelector: 'tier=db' },
  revision: 6,
  vms: 1,
  hosts: [],
  warnings: ['It means one VM only.'],
};

export interface FakeEngine extends Engine {
  readonly asked: { readonly name: string; readonly with: unknown }[];
}

export const fakeEngine = (own: Partial<Engine> = {}): FakeEngine => {
  const asked: { name: string; with: unknown }[] = [];
  const note = <T>(name: string, input: unknown, answer: T): T => {
    asked.push({ name, with: input });
    return answer;
  };
  const find = (ref: string): Migration => {
    if (ref !== 'm1') throw new FerryError('migration-unknown', `There is no migration "${ref}".`);
    return runningMigration;
  };
  return {
    asked,
    once: (_keyed, make) => make(() => []),
    hosts: () => [sampleHost, bareHost],
    host: (ref) => {
      if (ref !== 'alpha' && ref !== 'h1') throw new FerryError('host-unknown', `There is no host "${ref}".`);
      return sampleHost;
    },
    hostNameOf: (id) => (id === 'h1' ? 'alpha' : 'beta'),
    hostRevisionOf: () => 9,
    vmCountOf: (id) => (id === 'h1' ? 1 : 0),
    hostAttentionOf: () => 'Look.',
    changeHost: async (ref, settings) => note('changeHost', { ref, settings }, sampleHost),
    fleetSettings: () => ({ settings: { maxMigrations: 40 }, revision: 6 }),
    recordedFleet: () => ({
      takenAt: 1_700_000_000_000,
      hosts: [sampleHost, bareHost],
      vms: [sampleVm],
      labels: new Map(),
      parkedOn: new Map(),
      arrivedPaused: new Set(),
      rules: [sampleRule.rule],
      clusters: [],
      policies: [],
      bindings: [],
      settings: { maxMigrations: 40 },
      migrations: [],
      reservations: { 'host/h1': { m1: { vm: 'web1', side: 'source' } } },
    }),
    changeFleetSettings: async (change) =>
      note('changeFleetSettings', change({}), { settings: change({}), revision: 7 }),
    queue: () => [
      {
        migration: { ...runningMigration, phase: 'queued', batch: { id: 'b1', name: 'drain-alpha' } },
        place: 1,
        priority: 'operator',
        waitedMs: 5_000,
        waitsFor: [{ code: 'turn', message: 'It begins in its turn.' }],
      },
    ],
    clusters: () => [{ cluster: { name: 'default', tls: true }, hosts: ['alpha'], revision: 7 }],
    changeCluster: async (name, change) =>
      note('changeCluster', change({ name, tls: true }), {
        cluster: change({ name, tls: true }),
        hosts: [],
        revision: 8,
      }),
    removeCluster: async (name) => note('removeCluster', name, undefined),
    startPostCopy: async (ref) => note('startPostCopy', ref, find(ref)),
    pauseMigration: async (ref) => note('pauseMigration', ref, find(ref)),
    migrationSamples: async (ref) =>
      note('migrationSamples', ref, [
        {
          at: 1_700_000_000_000,
          sample: {
            processedBytes: 1,
            remainingBytes: 2,
            totalBytes: 3,
            dirtyBytesPerSecond: 4,
            throughputBytesPerSecond: 5,
            iteration: 1,
            elapsedMs: 6,
          },
        },
      ]),
    inspection: async (ref) =>
      note('inspection', ref, {
        migration: ref,
        at: 1_700_000_000_000,
        host: 'beta',
        log: 'qemu',
        volumes: ['/b'],
        notes: [],
      }),
    policies: {
      all: () => [...presets.values()],
      find: (name) => {
        const policy = presets.get(name);
        if (policy === undefined) throw new FerryError('policy-unknown', `There is no policy "${name}".`);
        return policy;
      },
      revisionOf: () => 3,
      labelsRevisionOf: () => 5,
      put: async (name, content) =>
        note(
          'putPolicy',
          { name, content },
          { policy: { ...content, name, version: 1, changedAt: 1_700_000_000_000 }, revision: 4 },
        ),
      remove: async (name) => note('removePolicy', name, undefined),
      bindings: () => [{ label: 'tier=db', policy: 'nova' }],
      bind: async (label, policy) => note('bind', { label, policy }, undefined),
      labelsOf: () => ['tier=db'],
    },
    labelVm: async (ref, change) => note('labelVm', { ref, change }, sampleVm),
    measureDirtyRate: async (ref, longestSeconds) =>
      note(
        'measureDirtyRate',
        { ref, longestSeconds },
        { vm: sampleVm, curve: { at: 1_700_000_000_000, readings: [{ seconds: 1, bytesPerSecond: 5.4 }] } },
      ),
    predictionStats: async () =>
      note('predictionStats', undefined, { totalMs: { count: 1, medianErrorMs: 12.4 }, downtimeMs: { count: 0 } }),
    announceVm: async (ref) => note('announceVm', ref, sampleVm),
    settling: {
      copies: async () => [
        {
          host: 'alpha',
          role: 'authoritative',
          state: 'running',
          reason: 'booted',
          persistent: true,
          knowledge: ['It was here.'],
        },
      ],
      settle: async (ref, keep) => note('settle', { ref, keep }, sampleVm),
      remains: async () => [{ kind: 'half', host: 'beta', what: 'a half', remedy: 'Ended.', settles: true }],
      cleanup: async (ref) => note('cleanup', ref, []),
    },
    tuneMigration: async (ref, limits) => note('tuneMigration', { ref, limits }, find(ref)),
    cordonHosts: async (refs) => note('cordonHosts', refs, [sampleHost]),
    uncordonHosts: async (refs) => note('uncordonHosts', refs, [sampleHost]),
    batches: {
      all: () => [sampleDrain],
      revisionOf: () => 4,
      find: (ref) => {
        if (ref !== 'd1') throw new FerryError('drain-unknown', `There is no drain "${ref}".`);
        return sampleDrain;
      },
      forecast: () => undefined,
      planDrain: async (request) => note('planDrain', request, sampleDrain),
      drain: async (request) => note('drain', request, sampleDrain),
      restore: async (ref) => note('restore', ref, sampleDrain),
      cancel: async (ref, abort) => note('cancel', { ref, abort }, sampleDrain),
      retry: async (ref) => note('retry', ref, sampleDrain),
    },
    rollouts: {
      all: () => [sampleRollout],
      revisionOf: () => 5,
      find: (ref) => {
        if (ref !== 'r1') throw new FerryError('rollout-unknown', `There is no rollout "${ref}".`);
        return sampleRollout;
      },
      begin: async (request) => note('rollout', request, sampleRollout),
      goOn: async (ref) => note('continue', ref, sampleRollout),
      cancel: async (ref) => note('cancelRollout', ref, sampleRollout),
    },
    addHost: async (request) => note('addHost', request, sampleHost),
    cpuBaseline: async (cluster) =>
      note(
        'cpuBaseline',
        { cluster },
        {
          cluster,
          cpu: '<cpu/>',
          computedOn: 'alpha',
          hosts: ['alpha'],
          leftOut: [{ host: 'beta', why: 'x' }],
          unfit: [{ vm: 'web1', host: 'alpha', why: 'stuck' as const, message: 'y' }],
        },
      ),
    examineHosts: async (refs) =>
      note(
        'examineHosts',
        { refs },
        {
          hosts: ['alpha'],
          findings: [
            { code: 'host-connections' as const, verdict: 'mend' as const, host: 'alpha', message: 'x', remedy: 'y' },
          ],
        },
      ),
    labelHost: async (ref, change) => note('labelHost', { ref, change }, sampleHost),
    rules: () => [sampleRule],
    rule: (name) => {
      if (name !== 'spread') throw new FerryError('rule-unknown', `There is no rule "${name}".`);
      return sampleRule;
    },
    changeRule: async (name, change) =>
      note('changeRule', { name, content: change(sampleRule.rule) }, { ...sampleRule, revision: 7 }),
    removeRule: async (name) => note('removeRule', name, undefined),
    configuration: {
      show: () => ({ version: 1, bindings: { 'tier=db': 'nova' } }),
      apply: async (wanted, { dryRun }) =>
        note(
          'applyConfiguration',
          { wanted, dryRun },
          {
            applied: !dryRun,
            changes: [{ section: 'rules', name: 'spread', change: 'create', diff: ['+ a'] }],
            warnings: [],
          },
        ),
    },
    removeHost: async (ref) => note('removeHost', ref, undefined),
    vms: () => [sampleVm],
    vmPage: (filter, page) => note('vmPage', { filter, page }, { items: [sampleVm] }),
    vm: (ref) => {
      if (ref !== 'web1') throw new FerryError('vm-unknown', `There is no VM "${ref}".`);
      return sampleVm;
    },
    migrations: async (query) => note('migrations', query, { items: [finishedMigration, runningMigration] }),
    migration: async (ref) => find(ref),
    startMigration: async (request, by) => note('startMigration', { request, by }, runningMigration),
    withExternalHost: (_uri, _signal, use) => use({ to: 'beta', toCluster: 'external' }),
    planMigration: async (request) =>
      note('planMigration', request, {
        vm: { uuid: instance.uuid, name: 'web1' },
        from: { id: hostId('h1'), name: 'alpha' },
        to: { id: hostId('h2'), name: 'beta' },
        kind: 'live',
        plan: {
          how: 'guest',
          live: true,
          persistence: 'permanent',
          disks: [{ target: 'vda', how: 'copy', path: '/a', targetPath: '/b' }],
          autostart: false,
          definition: { creates: [{ kind: 'network', name: 'lan' }] },
        },
        answers: [
          {
            host: { id: hostId('h2'), name: 'beta' },
            verdict: 'fits',
            findings: [
              { code: 'network-mtu', host: 'beta', message: 'Smaller.', remedy: 'Set it.', verdict: 'warn' as const },
            ],
            passed: ['memory'],
            notAsked: [],
          },
        ],
        policy,
        diff: ['-a', '+b'],
        differences: ['encryption: on in west, off in east'],
      }),
    abortMigration: async (ref) => note('abortMigration', ref, find(ref)),
    leftovers: async () => [sampleLeftover],
    purgeLeftover: async (host, path) => note('purgeLeftover', { host, path }, sampleLeftover),
    watchMigration: async function* () {
      yield runningMigration;
      yield finishedMigration;
    },
    eventRun: 'run7',
    eventPlace: async () => ({ run: 'run7', seq: 40 }),
    events: async function* (after): AsyncGenerator<NumberedEvent> {
      note('events', after, undefined);
      const afterSeq = after?.seq;
      yield {
        seq: (afterSeq ?? 0) + 1,
        at: 1_700_000_000_000,
        event: { type: 'vm', vm: sampleVm, labels: [], revision: 0 },
      };
      yield { passing: true, at: 1_700_000_000_000, event: { type: 'migration', migration: runningMigration } };
      yield {
        seq: (afterSeq ?? 0) + 2,
        at: 1_700_000_000_000,
        event: { type: 'host', host: bareHost, vms: 0, revision: 0 },
      };
      yield { seq: (afterSeq ?? 0) + 3, at: 1_700_000_000_000, event: { type: 'host-removed', host: 'beta' } };
      yield {
        seq: (afterSeq ?? 0) + 4,
        at: 1_700_000_000_000,
        event: { type: 'vm-removed', uuid: sampleVm.uuid, name: 'web1' },
      };
      yield { at: 1_700_000_000_000, event: { type: 'reset' } };
    },
    close: async () => {},
    ...own,
  };
};
