/** The file of a fleet: the same answers as from the fleet itself, and every fault in a sentence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId, vmUuid, type Fleet, type HostFacts } from '@ferry/core';
import * as fc from 'fast-check';
// test support, no part of the product
import { exampleFleet } from '../../../core/src/planning/fleet/example-fleet.ts';
import { ApiError } from '../client.ts';
import { drainOnFile, fileOfFleet, fleetFileSchema, fleetOfFile, moveOnFile, type FleetFileJson } from './offline.ts';

const example = exampleFleet({ hosts: 12, vms: 100, seed: 7 });
const [first, second] = example.vms;
assert.ok(first !== undefined && second !== undefined);
const [here, there] = example.hosts.filter(({ host }) => host.id !== first.hostId);
assert.ok(here !== undefined && there !== undefined);
/** With one of everything that a file can have. */
const fleet: Fleet = {
  ...example,
  vms: [
    {
      ...first,
      instances: [
        ...first.instances,
        ...first.instances.map(({ instance }) => ({
          hostId: here.host.id,
          role: 'parked' as const,
          instance: { ...instance, name: 'old', state: 'shut-off' as const },
        })),
      ],
    },
    ...example.vms.slice(1),
  ],
  parkedOn: new Map([[first.uuid, new Set([here.host.id])]]),
  arrivedPaused: new Set([vmUuid(second.uuid)]),
  clusters: [{ name: 'default', maxIncomingPerHost: 3 }],
  settings: { maxMigrations: 7 },
  migrations: [
    {
      id: migrationId('m1'),
      vm: { uuid: second.uuid, name: second.name },
      from: { id: second.hostId, name: '' },
      to: { id: there.host.id, name: there.host.name },
      request: { to: there.host.name },
    },
  ],
  reservations: {
    [`host/${there.host.id}`]: {
      m1: { vm: second.name, side: 'target', memoryBytes: second.memoryBytes, ports: [49_152] },
    },
    fleet: { m1: { vm: second.name } },
  },
};
const nameOf = (id: string): string => fleet.hosts.find(({ host }) => host.id === id)?.host.name ?? id;
const configuration = {
  version: 1 as const,
  clusters: { default: { maxIncomingPerHost: 3 } },
  hostLabels: Object.fromEntries(fleet.hosts.map(({ host }) => [host.name, host.labels ?? []])),
  vmLabels: Object.fromEntries(fleet.labels),
  rules: Object.fromEntries(fleet.rules.map(({ name, ...content }) => [name, content])),
};
const named: Fleet = {
  ...fleet,
  migrations: fleet.migrations.map((each) => ({ ...each, from: { ...each.from, name: nameOf(each.from.id) } })),
};
const file = (): FleetFileJson => structuredClone(fileOfFleet(named, configuration));
const read = (value: unknown) => fleetOfFile(fleetFileSchema.parse(value));
const again = (): Fleet => {
  const found = read(JSON.parse(JSON.stringify(file())));
  assert.ok('fleet' in found, JSON.stringify(found));
  return found.fleet;
};
const problems = (change: (file: FleetFileJson) => object): string => {
  const found = read(change(file()));
  return 'problems' in found ? found.problems.join('\n') : '';
};
const outcome = (plan: () => unknown): unknown => {
  try {
    return plan();
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return [error.code, error.message, error.reasons];
  }
};

test('a file says what the fleet says: every plan on it is the same', () => {
  const copy = again();
  for (const { name } of fleet.vms)
    assert.deepEqual(
      outcome(() => moveOnFile(copy, name, {})),
      outcome(() => moveOnFile(named, name, {})),
    );
  for (const { host } of fleet.hosts)
    assert.deepEqual(
      outcome(() => drainOnFile(copy, [host.name], 0, {})),
      outcome(() => drainOnFile(named, [host.name], 0, {})),
    );
  assert.deepEqual(copy.parkedOn, new Map([[first.uuid, new Set([hostId(here.host.name)])]]));
  assert.deepEqual(copy.arrivedPaused, fleet.arrivedPaused);
  assert.deepEqual(fileOfFleet(copy, configuration), file());
});

test('what others have written needs little', () => {
  const found = read({
    version: 1,
    takenAt: '2026-01-01T00:00:00.000Z',
    hosts: [
      { name: 'a', uri: 'qemu+tcp://a/system' },
      { name: 'b', uri: 'qemu+tcp://b/system' },
    ],
    vms: [{ uuid: '00000000-0000-4000-8000-000000000000', name: 'web', host: 'a', memoryBytes: 1 }],
  });
  assert.ok('fleet' in found);
  const plan = moveOnFile(found.fleet, 'web', {});
  assert.deepEqual([plan.from, plan.to, plan.kind, plan.takenAt], ['a', 'b', 'live', '2026-01-01T00:00:00.000Z']);
  assert.deepEqual(
    plan.hosts.map(({ host, verdict, findings }) => [host, verdict, findings.map(({ code }) => code)]),
    [['b', 'fits', ['target-not-asked']]],
  );
});

test('a VM that is not there, and one that no host takes, are refused as the control plane refuses them', () => {
  const refusedWith = (code: string, says: RegExp) => (error: unknown) =>
    error instanceof ApiError && error.code === code && says.test(error.message);
  assert.throws(() => moveOnFile(named, 'nobody', {}), refusedWith('vm-unknown', /There is no VM "nobody"/));
  assert.throws(() => moveOnFile(named, second.name, {}), refusedWith('vm-already-migrating', /by migration m1/));
  assert.throws(() => moveOnFile(named, 'vm5', { to: 'nowhere' }), refusedWith('host-unknown', /"nowhere"/));
  assert.throws(() => moveOnFile(named, 'vm5', { policy: 'none' }), refusedWith('policy-unknown', /"none"/));
  const full = { ...named, hosts: named.hosts.map((view) => ({ ...view, freeMemoryBytes: 0 })) };
  assert.throws(
    () => moveOnFile(full, 'vm5', {}),
    (error: unknown) =>
      error instanceof ApiError &&
      error.code === 'migration-refused' &&
      error.reasons.filter(({ code }) => code === 'target-memory').length > 5 &&
      error.hosts.length > 5 &&
      error.hosts.every(({ verdict }) => verdict === 'refused'),
  );
  assert.throws(() => drainOnFile(named, ['host1', 'host1'], 0, {}), refusedWith('drain-refused', /named twice/));
});

test('what a schema cannot see is named with its place', () => {
  assert.match(
    problems(({ vms, ...rest }) => ({ ...rest, vms: vms.slice(1) })),
    /^It is not whole: it says that it has 12 hosts and 100 VMs, and has 12 and 99\./,
  );
  assert.match(
    problems(({ counts: _counts, hosts, ...rest }) => ({ ...rest, hosts: [...hosts, ...hosts.slice(0, 1)] })),
    /hosts\.12: There is another host host0\./,
  );
  assert.match(
    problems(({ counts: _counts, vms, ...rest }) => ({ ...rest, vms: [...vms, ...vms.slice(0, 1)] })),
    /vms\.100: There is another VM with the UUID/,
  );
  assert.match(
    problems(({ vms, ...rest }) => ({ ...rest, vms: vms.map((vm) => ({ ...vm, host: 'gone' })) })),
    /vms\.0: There is no host "gone"\./,
  );
  assert.match(
    problems((whole) => ({
      ...whole,
      configuration: { version: 1, rules: { r: { kind: 'apart', strength: 'hard' } } },
    })),
    /configuration\.rules\.r: It names no VM/,
  );
});

test('a hostile file is refused or planned on, and nothing else happens', () => {
  const hostile = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(-1, 1e308, Number.NaN, '', '__proto__', '\u001b[2J', [], {}, null, 'x'.repeat(100_000)),
  );
  const places = [
    'version',
    'takenAt',
    'counts',
    'configuration',
    'settings',
    'hosts',
    'vms',
    'migrations',
    'reservations',
  ];
  fc.assert(
    fc.property(fc.constantFrom(...places), hostile, fc.nat(5), (place, value, depth) => {
      const whole: Record<string, unknown> = { ...file() };
      const list = whole[place];
      // the whole of a part, or one field of its first entry
      if (depth > 0 && Array.isArray(list)) {
        const entry = { ...(list[0] as Record<string, unknown>) };
        entry[Object.keys(entry)[depth] ?? 'extra'] = value;
        whole[place] = [entry, ...(list as unknown[]).slice(1)];
      } else whole[place] = value;
      const parsed = fleetFileSchema.safeParse(whole);
      if (!parsed.success) return parsed.error.issues.length > 0;
      const found = fleetOfFile(parsed.data);
      if ('problems' in found) return found.problems.length > 0;
      outcome(() => moveOnFile(found.fleet, 'vm5', {}));
      return true;
    }),
    { numRuns: 300 },
  );
});

test('every fact of a host is one that a file can have', () => {
  const [view] = fleet.hosts;
  assert.ok(view?.facts !== undefined);
  // whoever adds a fact adds it here
  const facts: Required<HostFacts> & { readonly cpu: Required<HostFacts['cpu']> } = {
    ...view.facts,
    qemuVersion: '10.0.0',
    cpu: { ...view.facts.cpu, signature: '6/85/7', microcode: '83898371', tsc: { hz: 2_600_000_000, scaling: false } },
    guests: [
      { arch: 'x86_64', emulator: '/usr/bin/qemu', machines: ['pc-q35-10.0'], aliases: ['q35'], domainTypes: ['kvm'] },
    ],
    linkMbit: 10_000,
    firmware: 'Maker 1.2 01/02/2025',
    nodes: [{ id: 0, cpus: '0-3,8' }],
    cards: [],
  };
  const written = fileOfFleet({ ...named, hosts: [{ ...view, facts }, ...fleet.hosts.slice(1)] }, configuration);
  const found = read(JSON.parse(JSON.stringify(written)));
  assert.ok('fleet' in found, JSON.stringify(found));
  const { cards: _cards, ...kept } = facts;
  assert.deepEqual(found.fleet.hosts[0]?.facts, kept);
});
