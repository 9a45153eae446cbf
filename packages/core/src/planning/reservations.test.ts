/** What a migration holds, and that no two are given the same memory, port or slot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh, plan, to } from '../migration/step-fixture.ts';
import type { Cluster, Host } from '../model/host.ts';
import { hostId, migrationId } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import {
  fleetKey,
  hostKey,
  memoryPromised,
  networkKey,
  portsTaken,
  settled,
  type Ledger,
  type Reservations,
} from './ledger.ts';
import { holdsReservations, reservationsOf, reserve } from './reservations.ts';
import { loadOn, roomOn } from './room.ts';

const mib = 1_048_576;
const cluster: Cluster = {
  name: 'default',
  migrationNetwork: '10.1.0.0/16',
  migrationPorts: { first: 50_000, last: 50_003 },
};
const transfer = { mode: 'peer-to-peer' as const, modeReason: '', migrateUri: 'tcp://h2:50000', disksPort: 50_001 };
const planned = (id: string, more: Partial<Migration> = {}, how: Partial<MigrationPlan> = { transfer }): Planned => ({
  ...fresh,
  id: migrationId(id),
  to,
  memoryBytes: 256 * mib,
  phase: 'preparing',
  ...more,
  plan: { ...plan, ...how },
});
const ledgerOf = (held: Readonly<Record<string, Reservations>>, more: Partial<Cluster> = {}): Ledger => ({
  of: (key) => held[key] ?? {},
  clusterOf: () => ({ ...cluster, ...more }),
  fleet: () => ({ maxMigrations: 3 }),
});
const [onSource, onTarget, onNetwork] = [hostKey(fresh.from.id), hostKey(to.id), networkKey(cluster)];

test('it holds from the choice of its target to its end, and nothing while it waits', () => {
  const held = (['queued', 'checking', 'preparing', 'verifying', 'cleaning'] as const).map((phase) =>
    holdsReservations(planned('m1', { phase })),
  );
  assert.deepEqual(held, [false, false, true, true, true]);
  assert.equal(holdsReservations(planned('m1', { phase: 'failed', outcome: 'failed' })), false);
  const closing = { outcome: 'succeeded' as const, at: 9 };
  assert.equal(holdsReservations(planned('m1', { phase: 'cleaning', evidence: { closing } })), false, 'hooks are told');
});

test('what it holds: a slot of each, memory where a guest arrives, its ports and those that others have', () => {
  const one = reservationsOf(planned('m1', { evidence: { portsBusy: [50_003] } }), cluster);
  assert.deepEqual(Object.fromEntries(one), {
    [onSource]: { vm: 'web', side: 'source' },
    [onTarget]: {
      vm: 'web',
      side: 'target',
      memoryBytes: 256 * mib,
      ports: [50_000, 50_001],
      portsBusy: [50_003],
    },
    [onNetwork]: { vm: 'web' },
    [fleetKey]: { vm: 'web' },
  });
  const definition = reservationsOf(planned('m1', {}, { how: 'definition' }), cluster);
  assert.deepEqual([definition.has(onNetwork), definition.get(onTarget)], [false, { vm: 'web', side: 'target' }]);
  const rescue = reservationsOf(planned('m1', {}, { how: 'stored-definition' }), cluster);
  assert.deepEqual([rescue.has(onSource), rescue.get(onTarget)?.memoryBytes], [false, 256 * mib]);
});

test('ports that others have are exchanged for free ones; if none is left, it waits', () => {
  const busy = { [onTarget]: { mX: { vm: 'x', side: 'target' as const, ports: [50_001] } } };
  const given = reserve({ migration: planned('m1'), ledger: ledgerOf(busy) });
  assert.ok(given.kind === 'fits');
  assert.deepEqual(
    [given.migration.plan.transfer?.migrateUri, given.migration.plan.transfer?.disksPort],
    ['tcp://h2:50000', 50_002],
  );
  assert.deepEqual(given.takes.get(onTarget)?.ports, [50_000, 50_002]);
  const most = {
    [onTarget]: { mX: { vm: 'x', side: 'target' as const, ports: [50_000, 50_001], portsBusy: [50_002] } },
  };
  const full = reserve({ migration: planned('m1'), ledger: ledgerOf(most) });
  assert.ok(full.kind === 'full');
  assert.deepEqual(
    [full.reasons.map(({ code }) => code), full.on],
    [['migration-ports'], [{ host: to.id, ports: 2, memoryBytes: 256 * mib, travels: true }]],
  );
});

test('what is full is named, each on its own; what it holds itself does not count', () => {
  const entry = { vm: 'x' };
  const held = {
    [onSource]: { mX: { ...entry, side: 'source' as const }, mY: { ...entry, side: 'target' as const } },
    [onTarget]: { mX: { ...entry, side: 'target' as const, memoryBytes: 100 * mib } },
    [onNetwork]: { mX: entry },
    [fleetKey]: { mX: entry, mY: entry, mZ: entry },
  };
  const limits = { maxOutgoingPerHost: 1, maxIncomingPerHost: 1, maxPerMigrationNetwork: 1 };
  const codes = (id: string, ledger: Ledger, freeMemoryBytes = 300 * mib): readonly string[] => {
    const outcome = reserve({ migration: planned(id), ledger, freeMemoryBytes });
    return outcome.kind === 'fits' ? [] : outcome.reasons.map(({ code }) => code);
  };
  assert.deepEqual(codes('m1', ledgerOf(held, limits)), [
    'source-slots',
    'target-slots',
    'network-slots',
    'fleet-slots',
    'target-memory-promised',
  ]);
  assert.deepEqual(codes('mX', ledgerOf(held, limits)), []);
  assert.deepEqual(codes('m1', ledgerOf({}, limits), 255 * mib), ['target-memory-promised']);
});

test('a migration that runs keeps what it has, whatever others hold by now; where any host may do, none is waited for', () => {
  const others = { [onTarget]: { mX: { vm: 'x', side: 'target' as const, ports: [50_000], memoryBytes: 900 * mib } } };
  const running = planned('m1', { phase: 'transferring' });
  assert.equal(reserve({ migration: running, ledger: ledgerOf(others), freeMemoryBytes: 1 }).kind, 'fits');
  const held = reservationsOf(running, cluster);
  const busy = planned('m1', { phase: 'transferring', evidence: { portsBusy: [50_003] } });
  assert.equal(reserve({ migration: busy, ledger: ledgerOf(others), held }).kind, 'fits');
  const anywhere = reserve({ migration: planned('m1', { request: {} }), ledger: ledgerOf({}), freeMemoryBytes: 1 });
  assert.deepEqual(anywhere.kind === 'full' && anywhere.on, []);
});

test('room: slots of the host and of its network, ports, and memory that nobody has been promised', () => {
  const held = {
    [onTarget]: {
      mX: { vm: 'x', side: 'target' as const, memoryBytes: 100 * mib, ports: [50_000], portsBusy: [50_003] },
    },
    [onNetwork]: { mX: { vm: 'x' }, mY: { vm: 'y' } },
  };
  const view = {
    host: { id: to.id, name: to.name, uri: '', cluster: 'default', machineUuid: '', addedAt: 0 },
    freeMemoryBytes: 300 * mib,
  };
  assert.deepEqual(roomOn(view, ledgerOf(held, { maxPerMigrationNetwork: 5 })), {
    slots: 7,
    networkSlots: 3,
    ports: 2,
    memoryBytes: 200 * mib,
  });
  const { migrationPorts: _, ...rangeless } = cluster;
  const free = roomOn({ host: view.host }, { ...ledgerOf(held), clusterOf: () => rangeless });
  assert.deepEqual(free, {
    slots: 7,
    networkSlots: Number.POSITIVE_INFINITY,
    ports: Number.POSITIVE_INFINITY,
    memoryBytes: Number.POSITIVE_INFINITY,
  });
  assert.deepEqual(
    [memoryPromised(ledgerOf(held).of(onTarget)), portsTaken(ledgerOf(held).of(onTarget))],
    [100 * mib, [50_000, 50_003]],
  );
  assert.deepEqual(
    ['h1', 'h2', 'h3'].map((id) => loadOn(hostId(id), [planned('m1'), fresh])),
    [2, 1, 0],
  );
});

test('at the start, what ended holds nothing any more, and what runs has what it holds', () => {
  const before = { m1: { vm: 'a' }, m2: { vm: 'b' } };
  assert.deepEqual(settled(before, new Set(['m1']), new Map([['m3', { vm: 'c' }]])), {
    m2: { vm: 'b' },
    m3: { vm: 'c' },
  });
  assert.equal(settled(before, new Set(['m9']), new Map([['m2', { vm: 'other' }]])), before, 'nothing to do');
});

test('a target that takes no VMs any more gets none, and no room is waited for; what runs to it holds what it has', () => {
  const host: Host = {
    id: to.id,
    name: to.name,
    uri: 'qemu:///system',
    cluster: 'default',
    machineUuid: 'm2',
    addedAt: 0,
    service: { state: 'maintenance', since: 1 },
  };
  const refused = reserve({ migration: planned('m1'), ledger: ledgerOf({}), target: host });
  assert.ok(refused.kind === 'full');
  assert.deepEqual([refused.reasons.map(({ code }) => code), refused.on], [['target-cordoned'], []]);
  const removed = reserve({ migration: planned('m1'), ledger: ledgerOf({}), target: 'removed' });
  assert.ok(removed.kind === 'full');
  assert.deepEqual([removed.reasons.map(({ code }) => code), removed.on], [['target-removed'], []]);
  const running = planned('m1', { phase: 'transferring' });
  assert.equal(reserve({ migration: running, ledger: ledgerOf({}), target: host }).kind, 'fits');
});
