import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '../../model/errors.ts';
import { hostId, migrationId } from '../../model/ids.ts';
import { hostKey } from '../ledger.ts';
import { chooseHost, planMove } from './choose.ts';
import { exampleFleet } from './example-fleet.ts';
import type { Fleet } from './fleet.ts';
import { knownFleet } from './known-fleet.ts';
import { planDrain } from './plan-drain.ts';

const gib = 1_073_741_824;
const refusedWith = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;

test('the choice that looks at few hosts is the one that looks at all', () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const known = knownFleet(exampleFleet({ hosts: 40, vms: 400, seed, used: 0.5 + seed / 25 }));
    for (const vm of known.fleet.vms.filter((_, at) => at % 13 === 0)) {
      const [quick, full] = [chooseHost(known, vm), planMove(known, vm, {})];
      assert.equal(quick.kind, full.kind, `seed ${seed}, ${vm.name}`);
      if (quick.kind === 'refused' || full.kind === 'refused') continue;
      assert.equal(quick.to.name, full.to.name, `seed ${seed}, ${vm.name}`);
      known.given(vm, known.host(quick.to.id));
    }
  }
});

test('a move that may degrade no guest is decided as the choice that looks at all decides it', () => {
  const fleet = exampleFleet({ hosts: 30, vms: 300, seed: 4 });
  // more is free than was not given: guests that balloon
  const ballooned = fleet.hosts.map((view, at) => ({
    ...view,
    freeMemoryBytes: (view.freeMemoryBytes ?? 0) + (at % 5) * 8 * gib,
  }));
  const known = knownFleet({ ...fleet, hosts: ballooned });
  for (const vm of fleet.vms.slice(0, 40)) {
    const [quick, full] = [chooseHost(known, vm, { neverDegrade: true }), planMove(known, vm, { neverDegrade: true })];
    assert.equal(quick.kind === 'refused' ? '' : quick.to.name, full.kind === 'refused' ? '' : full.to.name);
  }
});

test('what was given counts: no host gets more than it has, and the next goes elsewhere', () => {
  const fleet = exampleFleet({ hosts: 10, vms: 200, seed: 3 });
  const known = knownFleet(fleet);
  const taken = new Map<string, number>();
  for (const vm of fleet.vms) {
    const result = chooseHost(known, vm);
    if (result.kind !== 'chosen') continue;
    taken.set(result.to.id, (taken.get(result.to.id) ?? 0) + vm.memoryBytes);
    known.given(vm, known.host(result.to.id));
  }
  assert.ok(taken.size > 3);
  for (const { host, freeMemoryBytes = 0 } of fleet.hosts) assert.ok((taken.get(host.id) ?? 0) <= freeMemoryBytes);
});

test('reservations and migrations that run are seen, and what no host was asked is said to be unknown', () => {
  const fleet = { ...exampleFleet({ hosts: 4, vms: 8, seed: 1 }), rules: [] };
  const [vm] = fleet.vms;
  assert.ok(vm);
  const first = planMove(knownFleet(fleet), vm, {});
  assert.ok(first.kind === 'chosen');
  const { id, name } = first.to;
  const busy: Fleet = {
    ...fleet,
    reservations: { [hostKey(id)]: { m1: { vm: 'other', side: 'target', memoryBytes: 1_000 * gib } } },
    migrations: [
      {
        id: migrationId('m1'),
        vm: { uuid: fleet.vms[1]?.uuid ?? vm.uuid, name: 'other' },
        from: { id: hostId('elsewhere'), name: 'elsewhere' },
        to: { id, name },
        request: {},
      },
    ],
  };
  const then = planMove(knownFleet(busy), vm, {});
  assert.ok(then.kind === 'chosen' && then.to.id !== id);
  const there = then.answers?.find(({ host }) => host.id === id);
  assert.deepEqual([there?.verdict, there?.weighs?.load], ['waits', 1]);
  assert.deepEqual(
    there?.findings.map(({ code }) => code),
    ['target-not-asked', 'target-memory-promised'],
  );
  assert.ok(there?.notAsked.includes('disks') && there.notAsked.includes('cpu'));
});

test('a drain is planned as a group, and hosts that are drained together take none of the VMs', () => {
  const fleet = exampleFleet({ hosts: 12, vms: 120, seed: 5 });
  const drained = fleet.hosts.filter(({ state }) => state === 'connected').slice(0, 2);
  const members = planDrain(
    fleet,
    drained.map(({ host }) => host.name),
    0,
  );
  assert.ok(members.length > 10 && members.every(({ to, note }) => (to === undefined) === (note !== undefined)));
  assert.ok(members.every(({ to }) => !drained.some(({ host }) => host.id === to?.id)));
  const taken = new Map<string, number>();
  for (const { to, memoryBytes } of members)
    if (to !== undefined) taken.set(to.id, (taken.get(to.id) ?? 0) + memoryBytes);
  for (const { host, freeMemoryBytes = 0 } of fleet.hosts) assert.ok((taken.get(host.id) ?? 0) <= freeMemoryBytes);
  assert.deepEqual(
    planDrain(
      fleet,
      drained.map(({ host }) => host.id),
      0,
    ),
    members,
  );
});

test('names that nobody or several have are refused', () => {
  const known = knownFleet(exampleFleet({ hosts: 3, vms: 3, seed: 1 }));
  assert.throws(() => known.vm('nobody'), refusedWith('vm-unknown'));
  assert.throws(() => known.host('nowhere'), refusedWith('host-unknown'));
  const [vm] = known.fleet.vms;
  assert.ok(vm);
  assert.throws(() => known.input(vm, { policy: 'none' }), refusedWith('policy-unknown'));
  assert.throws(() => planDrain(known.fleet, ['nowhere'], 0), refusedWith('host-unknown'));
});
