import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type Migration } from '@ferry/core';
import { startEngine } from './engine.ts';
import type { Engine } from './facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from './fake/fleet.ts';
import { memoryStores } from './fake/stores.ts';
import type { Stores } from './ports/ports.ts';

const by = { actor: 'operator', client: 'test' };
const web = { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' };
let clock: ReturnType<typeof countingClock>;
let fleet: FakeFleet;
let stores: Stores;
let engine: Engine;
let failCommits = 0;

const start = async (): Promise<Engine> => startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
const patience = () => AbortSignal.timeout(5_000);

beforeEach(async () => {
  clock = countingClock();
  fleet = fakeFleet(clock);
  failCommits = 0;
  stores = memoryStores({
    beforeCommit: () => {
      if (failCommits > 0) {
        failCommits -= 1;
        throw new Error('the disk is full');
      }
    },
  });
  engine = await start();
  for (const name of ['h1', 'h2']) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, patience());
  }
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

const run = async (domain: Parameters<FakeFleet['run']>[1], host = 'h1'): Promise<void> => {
  fleet.run(host, domain);
  for (let turn = 0; turn < 1_000 && !engine.vms().some(({ uuid }) => uuid === domain.uuid); turn += 1)
    await clock.sleep(10);
};
const ended = async (id: string): Promise<Migration> => {
  let last: Migration | undefined;
  for await (const state of engine.watchMigration(id, patience())) last = state;
  assert.ok(last?.outcome !== undefined, 'it ended');
  return last;
};
const move = async (options: Partial<Parameters<Engine['startMigration']>[0]> = {}): Promise<Migration> =>
  ended((await engine.startMigration({ vm: 'web', ...options }, by)).id);
const refused = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;

test('a migration runs through its phases, is stored, and the VM is seen where it went', async () => {
  await run(web);
  const migration = await move({ to: 'h2' });
  assert.equal(migration.outcome, 'succeeded');
  assert.deepEqual(
    migration.phases.map(({ phase }) => phase).filter((phase) => phase !== 'switching'),
    ['queued', 'checking', 'preparing', 'transferring', 'verifying', 'cleaning', 'succeeded'],
  );
  assert.deepEqual([migration.vmIsNow, migration.downtimeMs], [{ host: 'h2', state: 'running' }, 107]);
  assert.deepEqual(fleet.calls, ['h1 mark', 'h1 tune {"maxDowntimeMs":100}', 'h1 perform']);
  assert.equal(engine.hostNameOf(engine.vm('web').hostId), 'h2');
  assert.deepEqual(
    (await engine.migrations({ vm: 'web' })).items.map(({ id }) => id),
    [migration.id],
  );
  assert.equal(engine.vm('web').currentMigration, undefined);
});

test('migrations from one host begin one after the other, and none waits for another to end before the limit', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `vm${index}`);
  for (const [index, name] of names.entries()) await run({ uuid: `aaaaaaaa-0000-4000-8000-0000000001${index}0`, name });
  fleet.next.durationMs = 60_000;
  const started = [];
  for (const vm of names) started.push(await engine.startMigration({ vm }, by));
  const all = await Promise.all(started.map(({ id }) => ended(id)));
  const began = all
    .map(({ phases }) => phases.find(({ phase }) => phase === 'checking')?.at ?? 0)
    .sort((a, b) => a - b);
  const apart = began.slice(1).map((at, index) => at - (began[index] ?? 0));
  assert.deepEqual(
    apart.slice(0, 7),
    Array.from({ length: 7 }, () => 250),
  );
  assert.ok((apart[7] ?? 0) > 50_000, `the ninth waits for the first to end: ${apart.join(', ')}`);
});

test(
  'a source that has resumed while the target took its time to answer is not taken for stale: an alarm, ' +
    'and nothing is ended',
  async () => {
    await run(web);
    Object.assign(fleet.next, {
      durationMs: 1_000,
      moves: false,
      failure: { outcome: 'unknown', message: 'the daemon was asleep' },
    });
    const [from, target] = [fleet.hosts.get('h1'), fleet.hosts.get('h2')];
    const domain = from?.domains.get(web.uuid);
    assert.ok(from !== undefined && target !== undefined && domain !== undefined);
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, by);
    for await (const { phase } of engine.watchMigration(id, patience())) if (phase === 'transferring') break;
    Object.assign(domain, { state: 'paused', reason: 'migration' });
    target.domains.set(web.uuid, { ...domain, state: 'running', reason: 'migrated' });
    target.slowMs = 3_000;
    await clock.sleep(2_000);
    Object.assign(domain, { state: 'running', reason: 'migration-canceled' });
    const migration = await ended(id);
    assert.equal(migration.error?.code, 'vm-two-copies', JSON.stringify(migration.error));
    assert.deepEqual([from.domains.get(web.uuid)?.state, target.domains.get(web.uuid)?.state], ['running', 'running']);
    assert.ok(!fleet.calls.some((call) => call.includes('remove')), fleet.calls.join('; '));
  },
);

test('one migration per VM; abort before the switch leaves it where it was, an ended one cannot be aborted', async () => {
  await run(web);
  fleet.next.durationMs = 60_000;
  fleet.next.failure = { outcome: 'refused', message: 'canceled by client' };
  const first = await engine.startMigration({ vm: 'web' }, by);
  await assert.rejects(engine.startMigration({ vm: 'web' }, by), refused('vm-already-migrating'));
  for await (const { phase } of engine.watchMigration(first.id, patience())) if (phase === 'transferring') break;
  await engine.abortMigration(first.id);
  const last = await ended(first.id);
  assert.deepEqual([last.outcome, last.vmIsNow], ['cancelled', { host: 'h1', state: 'running' }]);
  await assert.rejects(engine.abortMigration(first.id), refused('migration-finished'));
});

test('the end of the call is not believed: moved though it failed, stayed though its outcome is unknown', async () => {
  await run(web);
  fleet.next.failure = { outcome: 'unknown', message: 'client socket is closed' };
  assert.equal((await move()).outcome, 'succeeded');
  fleet.next.moves = false;
  const stayed = await move();
  assert.deepEqual([stayed.outcome, stayed.vmIsNow?.host], ['failed', 'h2']);
  assert.match(stayed.error?.message ?? '', /client socket is closed/);
});

test('nothing is done before it is stored', async () => {
  await run(web);
  const { id } = await engine.startMigration({ vm: 'web' }, by);
  failCommits = 3;
  const before = [...fleet.calls];
  assert.deepEqual(before, []);
  assert.equal((await ended(id)).outcome, 'succeeded');
  assert.equal(failCommits, 0, 'it was tried again until it worked');
});

test('a new control plane adopts what an earlier one left in the middle', async () => {
  await run(web);
  fleet.next.durationMs = 30_000;
  const { id } = await engine.startMigration({ vm: 'web' }, by);
  for await (const { phase } of engine.watchMigration(id, patience())) if (phase === 'transferring') break;
  await engine.close();
  engine = await start();
  const migration = await ended(id);
  assert.deepEqual([migration.outcome, migration.adopted, migration.vmIsNow?.host], ['succeeded', true, 'h2']);
  assert.equal(fleet.calls.filter((call) => call === 'h1 perform').length, 1, 'the move is made once');
});

test('a copied disk: its volume is made first, and recorded on the source afterwards', async () => {
  await run({ ...web, disk: '/pool/web.raw' });
  const migration = await move();
  assert.deepEqual([migration.outcome, migration.plan?.disks.map(({ how }) => how)], ['succeeded', ['copy']]);
  assert.deepEqual(fleet.calls, ['h2 create volume', 'h1 mark', 'h1 tune {"maxDowntimeMs":100}', 'h1 perform']);
  assert.deepEqual(
    (await engine.leftovers()).map(({ hostName, path, role }) => [hostName, path, role]),
    [['h1', '/pool/web.raw', 'source']],
  );
  await engine.purgeLeftover('h1', '/pool/web.raw', patience());
  assert.deepEqual([await engine.leftovers(), fleet.hosts.get('h1')?.volumes.size], [[], 0]);
  await assert.rejects(engine.purgeLeftover('h2', '/pool/web.raw', patience()), refused('volume-unknown'));
});

test('a copy that fails takes its volume back; deleted source disks go only after the move', async () => {
  await run({ ...web, disk: '/pool/web.raw' });
  fleet.next.moves = false;
  fleet.next.failure = { outcome: 'refused', message: 'no space' };
  const failed = await move({ deleteSourceDisks: true });
  assert.equal(failed.outcome, 'failed');
  assert.deepEqual(
    [fleet.hosts.get('h2')?.volumes.size, fleet.hosts.get('h1')?.volumes.size, (await engine.leftovers()).length],
    [0, 1, 0],
  );
  fleet.next.moves = true;
  delete fleet.next.failure;
  fleet.calls.length = 0;
  assert.equal((await move({ deleteSourceDisks: true })).outcome, 'succeeded');
  assert.deepEqual(fleet.calls, [
    'h2 create volume',
    'h1 mark',
    'h1 tune {"maxDowntimeMs":100}',
    'h1 perform',
    'h1 delete volume',
  ]);
  assert.equal((await engine.leftovers()).length, 0);
});

test('block devices are shared when both hosts know them by one identity', async () => {
  await run({ ...web, disk: '/dev/vg/lv' });
  assert.deepEqual(
    (await move()).plan?.disks.map(({ how, proof }) => [how, proof?.method, proof?.detail]),
    [['shared', 'identity', 'lv-one']],
  );
  Object.assign(fleet.hosts.get('h1') ?? {}, { san: 'two' });
  await assert.rejects(
    engine.startMigration({ vm: 'web' }, by),
    (error) => error instanceof FerryError && error.reasons[0]?.code === 'disk-not-copyable',
  );
});

test('what could not be taken back is listed, recognised as ours, and replaced by the next move', async () => {
  await run({ ...web, disk: '/pool/web.raw' });
  const target = fleet.hosts.get('h2');
  assert.ok(target);
  target.sticky = true;
  fleet.next.moves = false;
  fleet.next.failure = { outcome: 'refused', message: 'no space' };
  assert.equal((await move()).outcome, 'failed', 'it ends all the same');
  assert.deepEqual(
    (await engine.leftovers()).map(({ hostName, role }) => [hostName, role]),
    [['h2', 'target']],
  );
  target.sticky = false;
  fleet.next.moves = true;
  delete fleet.next.failure;
  fleet.calls.length = 0;
  assert.equal((await move()).outcome, 'succeeded');
  assert.deepEqual(fleet.calls, [
    'h2 delete volume',
    'h2 create volume',
    'h1 mark',
    'h1 tune {"maxDowntimeMs":100}',
    'h1 perform',
  ]);
});

test('a VM that is shut off: its disk goes with a helper, then its definition; autostart and start as asked', async () => {
  await run({ ...web, disk: '/pool/web.raw', state: 'shut-off', reason: 'other', autostart: true });
  const migration = await move({ autoStart: true });
  assert.deepEqual(
    [migration.kind, migration.outcome, migration.vmIsNow],
    ['cold', 'succeeded', { host: 'h2', state: 'running' }],
  );
  assert.deepEqual([...fleet.calls].sort(), [
    'h1 perform',
    'h1 remove definition',
    'h1 start helper',
    'h2 create volume',
    'h2 define',
    'h2 remove process',
    'h2 start',
  ]);
  assert.equal(fleet.calls.at(-1), 'h2 start');
  const [left, there] = ['h1', 'h2'].map((name) => [...(fleet.hosts.get(name)?.domains.values() ?? [])]);
  assert.deepEqual([left, there?.map(({ name, autostart }) => [name, autostart])], [[], [['web', true]]]);
});

test(
  'shared is proved for each file at each move: a link or a mount in a folder that both have is refused, ' +
    'though the folder was proved',
  async () => {
    await run({ ...web, disk: '/shared/web.raw', state: 'shut-off', reason: 'other' });
    assert.equal((await move()).outcome, 'succeeded');
    const h1 = fleet.hosts.get('h1');
    for (const own of [{ sizeBytes: 1_000, changedNs: 2n }, 'none'] as const) {
      h1?.ownFiles.set('/shared/web.raw', own);
      await assert.rejects(
        engine.startMigration({ vm: 'web', assumeShared: true }, by),
        (error) => error instanceof FerryError && error.reasons.map(({ code }) => code).join() === 'disk-other-file',
      );
    }
    assert.deepEqual(
      fleet.calls.filter((call) => call.includes('define')),
      ['h2 define'],
    );
  },
);

test('a disk that goes from the target while the definition arrives there: the VM stays where it was', async () => {
  await run({ ...web, disk: '/shared/web.raw', state: 'shut-off', reason: 'other' });
  const h2 = fleet.hosts.get('h2');
  assert.ok(h2);
  const { domains } = h2;
  const arrive = domains.set.bind(domains);
  domains.set = (uuid, domain) => {
    h2.ownFiles.set('/shared/web.raw', 'none');
    return arrive(uuid, domain);
  };
  const ended = await move({ to: 'h2' });
  assert.deepEqual([ended.outcome, ended.vmIsNow], ['failed', { host: 'h1', state: 'shut-off' }]);
  assert.match(
    ended.error?.message ?? '',
    /no longer the same file on h1 and h2: both have the folder, and h2 has no file \/shared\/web\.raw/,
  );
  assert.deepEqual([fleet.hosts.get('h1')?.domains.has(web.uuid), domains.has(web.uuid)], [true, false]);
});

test('a target that is older gets the definition without what the source put into it by itself', async () => {
  await run({ ...web, disk: '/shared/web.raw', state: 'shut-off', reason: 'other' });
  Object.assign(fleet.hosts.get('h2') ?? {}, { older: true });
  assert.deepEqual(
    [(await move({ to: 'h2' })).outcome, fleet.calls],
    ['succeeded', ['h2 define', 'h1 remove definition']],
  );
});

test('keep-source parks: of two definitions that are off, one is the VM, also after a restart', async () => {
  await run({ ...web, disk: '/shared/web.raw', state: 'shut-off', reason: 'other' });
  assert.equal((await move({ keepSource: true })).outcome, 'succeeded');
  const roles = () => engine.vm('web').instances.map(({ hostId, role }) => `${engine.hostNameOf(hostId)} ${role}`);
  assert.deepEqual(roles(), ['h2 authoritative', 'h1 parked']);
  await engine.close();
  engine = await start();
  assert.deepEqual(roles(), ['h2 authoritative', 'h1 parked']);
});

test('hosts: one host by two URIs, a taken name, one in use, one that is gone', async () => {
  await run(web);
  await assert.rejects(engine.addHost({ uri: uriOf('h1') }, patience()), refused('host-duplicate'));
  fleet.add('h1b');
  Object.assign(fleet.hosts.get('h1b') ?? {}, { machineUuid: 'machine-h1' });
  await assert.rejects(
    engine.addHost({ uri: uriOf('h1b') }, patience()),
    (error) => refused('host-duplicate')(error) && /has the UUID machine-h1, which is that of h1/.test(String(error)),
  );
  fleet.add('h3');
  await assert.rejects(engine.addHost({ uri: uriOf('h3'), name: 'h2' }, patience()), refused('host-name-taken'));
  for (const odd of ['../../x', 'x'.repeat(300), 'a\u001b[2J', '-x']) {
    fleet.add(odd);
    await assert.rejects(engine.addHost({ uri: uriOf(odd) }, patience()), refused('host-name-invalid'), odd);
    assert.equal((await engine.addHost({ uri: uriOf(odd), name: 'fine' }, patience())).host.name, 'fine');
    await engine.removeHost('fine');
  }
  await assert.rejects(engine.addHost({ uri: uriOf('nowhere') }, patience()), refused('host-unreachable'));
  fleet.next.durationMs = 60_000;
  const { id } = await engine.startMigration({ vm: 'web' }, by);
  await assert.rejects(engine.removeHost('h1'), refused('host-in-use'));
  await ended(id);
  await engine.removeHost('h1');
  assert.deepEqual(
    engine.hosts().map(({ host }) => host.name),
    ['h2'],
  );
});

test('a host that falls silent is unreachable with a reason, and is followed again when it answers', async () => {
  await run(web);
  const host = fleet.hosts.get('h1');
  assert.ok(host);
  host.reachable = false;
  host.drop();
  const until = async (state: string): Promise<void> => {
    for (let turn = 0; turn < 2_000 && engine.host('h1').state !== state; turn += 1) await clock.sleep(50);
    assert.equal(engine.host('h1').state, state);
  };
  await until('unreachable');
  assert.ok((engine.host('h1').stateDetail ?? '') !== '');
  assert.equal(engine.vm('web').state, 'unknown');
  await assert.rejects(engine.startMigration({ vm: 'web' }, by), refused('migration-refused'));
  host.reachable = true;
  await until('connected');
  assert.equal(engine.vm('web').state, 'running');
});

const untilState = async (host: string, state: string): Promise<void> => {
  for (let turn = 0; turn < 2_000 && engine.host(host).state !== state; turn += 1) await clock.sleep(50);
  assert.equal(engine.host(host).state, state);
};

test(
  'an address that leads to another machine: the host is unusable and says why, nothing of the other is ' +
    'taken for its own, and it heals',
  async () => {
    await run(web, 'h2');
    fleet.add('h3');
    await engine.addHost({ uri: uriOf('h3'), name: 'h3' }, patience());
    const alias = fleet.alias(uriOf('h3'), 'h2');
    fleet.hosts.get('h3')?.drop();
    await untilState('h3', 'other-machine');
    assert.match(
      engine.host('h3').stateDetail ?? '',
      /qemu\+tcp:\/\/h3\/system points to h2 .*not to the machine that was added as h3/,
    );
    assert.deepEqual(
      engine.vm('web').instances.map(({ hostId, role }) => `${engine.hostNameOf(hostId)} ${role}`),
      ['h2 authoritative'],
      'one VM, one copy',
    );
    await assert.rejects(engine.settling.settle('web', 'h2', patience()), refused('vm-not-in-conflict'));
    await assert.rejects(
      engine.startMigration({ vm: 'web', to: 'h3' }, by),
      (error) =>
        error instanceof FerryError &&
        error.reasons.some(({ code, remedy }) => code === 'host-other-machine' && /host remove h3/.test(remedy)),
    );
    assert.deepEqual(fleet.calls, []);
    alias[Symbol.dispose]();
    await untilState('h3', 'connected');
  },
);

test(
  'a machine with another UUID at the same address, as after a new installation, is not the host, until it ' +
    'is removed and added again',
  async () => {
    await run(web);
    const h1 = fleet.hosts.get('h1');
    assert.ok(h1);
    Object.assign(h1, { machineUuid: 'machine-new' });
    h1.domains.clear();
    h1.drop();
    await untilState('h1', 'other-machine');
    assert.equal(engine.vm('web').state, 'unknown', 'what was there is not said to be gone');
    await engine.close();
    engine = await start();
    assert.equal(engine.host('h1').state, 'other-machine', 'also after a restart');
    await engine.removeHost('h1');
    assert.equal((await engine.addHost({ uri: uriOf('h1'), name: 'h1' }, patience())).state, 'connected');
  },
);

test('names: two VMs of one name are ambiguous, their UUIDs are not', async () => {
  await run(web);
  await run({ ...web, uuid: 'bbbbbbbb-0000-4000-8000-000000000002' }, 'h2');
  assert.throws(() => engine.vm('web'), refused('vm-ambiguous'));
  assert.equal(engine.vm('bbbb').uuid, 'bbbbbbbb-0000-4000-8000-000000000002');
});

test('events are numbered, replayed after the one named, and end with their reader', async () => {
  await run(web);
  await move();
  const stop = new AbortController();
  const seen: number[] = [];
  for await (const { seq, event } of engine.events({ seq: 0 }, stop.signal)) {
    if (seq !== undefined) seen.push(seq);
    if (event.type === 'migration' && event.migration.outcome === 'succeeded') break;
  }
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(seen[0], 1);
  for await (const { seq } of engine.events({ run: engine.eventRun, seq: seen.at(2) ?? 0 }, patience())) {
    assert.equal(seq, (seen[2] ?? 0) + 1);
    break;
  }
  stop.abort();
});

test('a retry goes to the next suited host, and what was decided on the way is kept with its figures', async () => {
  fleet.add('h3');
  await engine.addHost({ uri: uriOf('h3'), name: 'h3' }, patience());
  const { name: _name, version: _version, ...usual } = engine.policies.find('default');
  await engine.policies.put('again', { ...usual, retry: { attempts: 2, delayMs: 5_000 } });
  await run(web);
  Object.assign(fleet.next, { moves: false, failure: { outcome: 'refused', message: 'no route to host' } });
  const { id } = await engine.startMigration({ vm: 'web', policy: 'again' }, by);
  let first: string | undefined;
  for await (const { phase, to, attempts = [] } of engine.watchMigration(id, patience())) {
    if (phase === 'transferring') first ??= to?.name;
    if (phase !== 'queued' || attempts.length === 0) continue;
    Object.assign(fleet.next, { moves: true, failure: undefined });
    break;
  }
  const done = await ended(id);
  assert.deepEqual([done.outcome, done.attempts?.length, done.policy?.version], ['succeeded', 1, 1]);
  assert.deepEqual(new Set([done.attempts?.[0]?.to?.name, done.to?.name]), new Set(['h2', 'h3']));
  assert.equal(done.attempts?.[0]?.to?.name, first);
});

test('a policy that is named must be there; labels and clusters select one', async () => {
  await run(web);
  await assert.rejects(engine.startMigration({ vm: 'web', policy: 'nonsense' }, by), refused('policy-unknown'));
  await assert.rejects(
    engine.changeCluster('default', (before) => ({ ...before, policy: 'nonsense' })),
    refused('policy-unknown'),
  );
  await assert.rejects(engine.policies.put('nova', engine.policies.find('default')), refused('policy-preset'));
  await engine.changeCluster('default', (before) => ({ ...before, policy: 'nova' }));
  assert.deepEqual([(await move()).policy?.name, (await move()).policy?.from], ['nova', 'cluster']);
  await engine.policies.bind('tier=db', 'harvester');
  await engine.labelVm('web', { add: ['tier=db'], remove: [] });
  assert.deepEqual((await move()).policy?.name, 'harvester');
  assert.deepEqual((await move({ policy: 'kubevirt' })).policy?.from, 'migration');
});

const predictionNotes = ({ decisions = [] }: Migration): readonly string[] =>
  decisions.flatMap(({ action, text }) => (action.do === 'note' && action.what === 'prediction' ? [text] : []));
const measured = (): number => fleet.calls.filter((call) => call.endsWith('dirty rate')).length;
const mib = 1_048_576;

test('a plan tells whether a running guest will converge; one that is shut off is not measured', async () => {
  await run(web);
  fleet.next.dirtyBytesPerSecond = 64 * mib;
  const plan = async (wishes: Partial<Parameters<Engine['planMigration']>[0]>) =>
    (await engine.planMigration({ vm: 'web', ...wishes }, patience())).prediction;
  assert.deepEqual(
    [
      (await plan({ maxBandwidthMiBPerSecond: 8 }))?.kind,
      (await plan({ maxBandwidthMiBPerSecond: 1_000 }))?.kind,
      (await plan({}))?.kind,
    ],
    ['does-not-converge', 'converges', 'unknown'],
  );
  assert.equal(measured(), 3, 'one, two and four seconds, once');
  await clock.sleep(300_000);
  delete fleet.next.dirtyBytesPerSecond;
  assert.match(
    (await plan({ maxBandwidthMiBPerSecond: 8 }))?.text ?? '',
    /cannot tell .*: the host cannot measure .*: this QEMU cannot measure it$/,
  );
  fleet.next.dirtyBytesPerSecond = new Error('connection lost');
  assert.match((await plan({ maxBandwidthMiBPerSecond: 8 }))?.text ?? '', /cannot tell .*: connection lost/);
  const before = measured();
  await run({ uuid: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'off', state: 'shut-off' });
  assert.equal((await engine.planMigration({ vm: 'off' }, patience())).prediction, undefined);
  assert.equal(measured(), before);
});

test('a policy that may leave a busy guest without an end says so before the transfer begins; others cost nothing', async () => {
  await run(web);
  fleet.next.dirtyBytesPerSecond = 64 * mib;
  const warned = await move({ to: 'h2', maxBandwidthMiBPerSecond: 8, policy: 'harvester' });
  assert.equal(warned.outcome, 'succeeded', 'told, not refused');
  assert.deepEqual([predictionNotes(warned).length, warned.decisions?.[0]?.text], [1, predictionNotes(warned)[0]]);
  assert.match(
    predictionNotes(warned)[0] ?? '',
    /will not end by itself.*"harvester" has no step that would help: it would be aborted after/,
  );
  assert.ok(
    (warned.decisions?.[0]?.at ?? Infinity) <= (warned.phases.find(({ phase }) => phase === 'transferring')?.at ?? 0),
  );
  const before = measured();
  assert.deepEqual(
    predictionNotes(await move({ to: 'h1', maxBandwidthMiBPerSecond: 8 })),
    [],
    'the default goes to post-copy',
  );
  assert.deepEqual(
    predictionNotes(await move({ to: 'h2', maxBandwidthMiBPerSecond: 8, policy: 'vmmanager' })),
    [],
    'this one powers off',
  );
  assert.deepEqual(predictionNotes(await move({ to: 'h1', policy: 'harvester' })), [], 'nothing to compare with');
  assert.equal(measured(), before);
});

test('what an operator lets measure is used while it is fresh, and held against what came', async () => {
  await run(web);
  fleet.next.dirtyBytesPerSecond = 4 * mib;
  const { curve } = await engine.measureDirtyRate('web', 5, patience());
  assert.deepEqual(
    curve.readings.map(({ seconds, bytesPerSecond }) => [seconds, bytesPerSecond / mib]),
    [
      [1, 4],
      [2, 4],
      [4, 4],
      [5, 4],
    ],
  );
  const before = measured();
  const predicted = await move({ to: 'h2', maxBandwidthMiBPerSecond: 64 });
  assert.equal(measured(), before);
  assert.deepEqual([predicted.prediction?.kind, predictionNotes(predicted)], ['converges', []]);
  assert.ok(predicted.prediction?.totalMs !== undefined);
  const { totalMs, downtimeMs } = await engine.predictionStats();
  assert.deepEqual([totalMs.count, downtimeMs.count], [1, 1]);
  assert.equal(
    downtimeMs.medianErrorMs,
    Math.abs((predicted.prediction.downtimeMs?.expected ?? 0) - (predicted.downtimeMs ?? 0)),
  );
  await clock.sleep(300_000);
  assert.equal((await move({ to: 'h1', maxBandwidthMiBPerSecond: 64 })).prediction, undefined, 'it is old');
});

test('a guest that takes longer than predicted widens the next prediction, also after a restart', async () => {
  await run(web);
  fleet.next.dirtyBytesPerSecond = 4 * mib;
  fleet.next.durationMs = 100_000;
  const planned = async () =>
    (await engine.planMigration({ vm: 'web', maxBandwidthMiBPerSecond: 64 }, patience())).prediction?.totalMs ??
    assert.fail('not predicted');
  const { low, expected, high = 0 } = await planned();
  const { phases } = await move({ to: 'h2', maxBandwidthMiBPerSecond: 64 });
  const took = (phases.find(({ phase }) => phase === 'verifying')?.at ?? 0) - (phases[3]?.at ?? 0);
  assert.ok(took > high, `${took} ms, of ${high}`);
  await engine.close();
  engine = await start();
  const wider = await planned();
  assert.deepEqual([Math.round(wider.low), Math.round(wider.expected)], [Math.round(low), Math.round(expected)]);
  assert.ok(Math.abs((wider.high ?? 0) - took) < 1_000, `${wider.high} ms`);
});

test('only what a running guest writes is measured, and a host that does not measure says why', async () => {
  await run({ ...web, state: 'shut-off' });
  await assert.rejects(engine.measureDirtyRate('web', 1, patience()), refused('vm-not-running'));
  await run({ uuid: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'busy' });
  await assert.rejects(engine.measureDirtyRate('busy', 1, patience()), refused('host-refused'));
});
