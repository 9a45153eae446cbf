/** Many clients change the same things at once: what is stored and published. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, presets } from '@ferry/core';
import { startEngine } from '../engine.ts';
import type { NumberedEvent } from '../events/events.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { HostLink, Stores } from '../ports/ports.ts';

const web = { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' };
const patience = () => AbortSignal.timeout(5_000);
let clock: ReturnType<typeof countingClock>;
let fleet: FakeFleet;
let stores: Stores;
let engine: Engine;
const pruned: string[] = [];

beforeEach(async () => {
  clock = countingClock();
  fleet = fakeFleet(clock);
  const plain = memoryStores();
  pruned.length = 0;
  stores = { ...plain, journal: { ...plain.journal, prune: async (kind) => pruned.push(kind) } };
  engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  fleet.add('h1');
  await engine.addHost({ uri: uriOf('h1'), name: 'h1' }, patience());
  fleet.run('h1', web);
  for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

const texts = Array.from({ length: 100 }, (_, index) => `l${String(index).padStart(3, '0')}`);

test('a hundred labels that are set at once are all kept', async () => {
  await Promise.all(texts.map((label) => engine.labelVm('web', { add: [label], remove: [] })));
  assert.deepEqual(engine.policies.labelsOf(engine.vm('web').uuid), texts);
  await Promise.all(texts.map((label) => engine.labelVm('web', { add: [], remove: [label] })));
  assert.deepEqual(engine.policies.labelsOf(engine.vm('web').uuid), []);
});

test('a hundred settings of one cluster that are changed at once are all kept', async () => {
  await Promise.all(
    texts.map((name) =>
      engine.changeCluster('racks', (before) => ({
        ...before,
        map: { ...before.map, networks: { ...before.map?.networks, [name]: name } },
      })),
    ),
  );
  const stored = (await stores.intents.get('clusters/racks'))?.value as { readonly map: { readonly networks: object } };
  assert.deepEqual(Object.keys(stored.map.networks).sort(), texts);
});

test('each of many who store a policy at once gets a version of its own', async () => {
  const content = presets.get('default');
  assert.ok(content);
  const { name: _, version: _version, ...rest } = content;
  const versions = await Promise.all(
    Array.from({ length: 20 }, async () => (await engine.policies.put('mine', rest)).policy.version),
  );
  assert.deepEqual(
    versions.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_each, index) => index + 1),
  );
});

test('the cluster and the address of a host that are set at once are both kept', async () => {
  await Promise.all([
    engine.changeHost('h1', { cluster: 'racks' }),
    engine.changeHost('h1', { migrationAddress: '10.0.0.1' }),
  ]);
  const { host } = engine.host('h1');
  assert.deepEqual([host.cluster, host.migrationAddress], ['racks', '10.0.0.1']);
  assert.deepEqual((await stores.intents.get(`hosts/${host.id}`))?.value, host);
});

test('of two who changed what they read, the second is told, and nothing is overwritten', async () => {
  fleet.add('h2');
  await engine.addHost({ uri: uriOf('h2'), name: 'h2' }, patience());
  const content = presets.get('default');
  assert.ok(content);
  const { name: _, version: _version, ...rest } = content;
  await engine.policies.put('mine', rest);
  await engine.changeCluster('racks', (before) => before);
  await engine.labelVm('web', { add: ['a'], remove: [] });
  fleet.next.durationMs = 60_000;
  const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, { actor: 'operator', client: 'test' });
  for (let turn = 0; turn < 10_000 && (await engine.migration(id)).phase !== 'transferring'; turn += 1)
    await clock.sleep(10);
  const { uuid } = engine.vm('web');
  const host = engine.host('h1').host.id;
  const each: [string, () => Promise<number>, (expected: number) => Promise<unknown>, () => unknown][] = [
    [
      'The host h1',
      async () => engine.hostRevisionOf(host),
      (expected) => engine.changeHost('h1', { migrationAddress: `10.0.0.${expected % 200}` }, expected),
      () => engine.host('h1').host,
    ],
    [
      'The cluster racks',
      async () => engine.clusters().find(({ cluster }) => cluster.name === 'racks')?.revision ?? 0,
      (expected) => engine.changeCluster('racks', (before) => ({ ...before, tls: !(before.tls ?? false) }), expected),
      () => engine.clusters(),
    ],
    [
      'The policy "mine"',
      async () => engine.policies.revisionOf('mine'),
      (expected) => engine.policies.put('mine', rest, expected),
      () => engine.policies.find('mine'),
    ],
    [
      'The labels of web',
      async () => engine.policies.labelsRevisionOf(uuid),
      (expected) => engine.labelVm('web', { add: [`l${expected}`], remove: [] }, expected),
      () => engine.policies.labelsOf(uuid),
    ],
    [
      `Migration ${id}`,
      async () => (await engine.migration(id)).revision ?? 0,
      (expected) => engine.tuneMigration(id, { maxBandwidthMiBPerSecond: expected }, expected),
      () => fleet.calls.filter((call) => call.includes('tune')),
    ],
  ];
  for (const [what, revision, change, state] of each) {
    const read = await revision();
    assert.ok(read > 0, what);
    await change(read);
    const after = await revision();
    const before = structuredClone(state());
    await assert.rejects(
      change(read),
      (error) =>
        error instanceof FerryError &&
        error.code === 'revision-stale' &&
        error.message === `${what} has revision ${after} now; the request is for revision ${read}.`,
      what,
    );
    assert.deepEqual(state(), before, what);
  }
  await engine.abortMigration(id);
});

test('events of a VM carry its labels, and a change of them is one', async () => {
  const seen: NumberedEvent[] = [];
  const watching = new AbortController();
  const watch = (async () => {
    for await (const each of engine.events(undefined, watching.signal)) seen.push(each);
  })();
  await clock.sleep(100);
  await engine.labelVm('web', { add: ['tier=db'], remove: [] });
  await clock.sleep(1_000);
  fleet.run('h1', { ...web, state: 'paused', reason: 'user' });
  await clock.sleep(1_000);
  watching.abort();
  await watch;
  assert.deepEqual(
    seen.flatMap(({ event }) => (event.type === 'vm' ? [[event.vm.state, event.labels]] : [])),
    [
      ['running', ['tier=db']],
      ['paused', ['tier=db']],
    ],
  );
});

test('the journal is pruned as time goes by, not only at the start', async () => {
  assert.deepEqual(pruned, ['event', 'sample', 'inspection']);
  await clock.sleep(3 * 3_600_000 + 60_000);
  assert.equal(pruned.filter((kind) => kind === 'event').length, 4);
});

test('a VM that does not run has nothing to announce', async () => {
  fleet.run('h1', { ...web, state: 'shut-off', reason: 'other' });
  await clock.sleep(1_000);
  await assert.rejects(
    engine.announceVm('web', patience()),
    (error) =>
      error instanceof FerryError &&
      error.code === 'vm-not-running' &&
      error.message.startsWith('web does not run (on h1)'),
  );
});

test('a host is added when its VMs are known, however long that takes', async () => {
  const slow = fleet.add('h2');
  fleet.run('h2', { uuid: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'db' });
  const connect = (uri: string, signal: AbortSignal): Promise<HostLink> => fleet.hypervisor.connect(uri, signal);
  const hypervisor = {
    ...fleet.hypervisor,
    connect: async (uri: string, signal: AbortSignal): Promise<HostLink> => {
      const link = await connect(uri, signal);
      if (uri !== slow.uri) return link;
      return {
        ...link,
        instances: {
          ...link.instances,
          all: async (asked: AbortSignal) => (await clock.sleep(60_000, asked), link.instances.all(asked)),
        },
      };
    },
  };
  await engine.close();
  engine = await startEngine({ hypervisor, stores, clock, log: silentLog });
  const view = await engine.addHost({ uri: slow.uri, name: 'h2' }, patience());
  assert.equal(view.state, 'connected');
  assert.equal(engine.vmCountOf(view.host.id), 1);
});

test('what is read of one VM while all are read is not overwritten by what was seen before', async () => {
  const h1 = fleet.hosts.get('h1');
  assert.ok(h1);
  const connect = (uri: string, signal: AbortSignal): Promise<HostLink> => fleet.hypervisor.connect(uri, signal);
  const held: (() => void)[] = [];
  let hold = false;
  const hypervisor = {
    ...fleet.hypervisor,
    connect: async (uri: string, signal: AbortSignal): Promise<HostLink> => {
      const link = await connect(uri, signal);
      const all = async (asked: AbortSignal) => {
        const seen = await link.instances.all(asked);
        if (hold) await new Promise<void>((resolve) => held.push(resolve));
        return seen;
      };
      return { ...link, instances: { ...link.instances, all } };
    },
  };
  await engine.close();
  engine = await startEngine({ hypervisor, stores, clock, log: silentLog });
  for (let turn = 0; turn < 1_000 && engine.vms()[0]?.state !== 'running'; turn += 1) await clock.sleep(10);
  hold = true;
  for (let turn = 0; turn < 10_000 && held.length === 0; turn += 1) await clock.sleep(10);
  assert.ok(held.length > 0, 'all are being read');
  fleet.run('h1', { ...web, state: 'paused', reason: 'user' });
  for (let turn = 0; turn < 1_000 && engine.vm('web').state !== 'paused'; turn += 1) await clock.sleep(10);
  hold = false;
  for (const go of held) go();
  await clock.sleep(1_000);
  assert.equal(engine.vm('web').state, 'paused');
});
