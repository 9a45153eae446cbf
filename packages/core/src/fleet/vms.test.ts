import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '../model/errors.ts';
import { hostId, migrationId, vmUuid } from '../model/ids.ts';
import type { HostState } from '../model/host.ts';
import type { Migration } from '../model/migration.ts';
import type { Instance, Vm } from '../model/vm.ts';
import { parkedKey, resolve, vmOf } from './vms.ts';

const instance = (
  state: Instance['state'],
  reason: Instance['reason'] = 'other',
  uuid = 'aaaa-1',
  name = 'web',
): Instance => ({ uuid: vmUuid(uuid), name, state, reason, persistent: true, memoryBytes: 1, vcpus: 1, disks: [] });
interface Report {
  readonly id: string;
  readonly instances: readonly Instance[];
  readonly state: HostState;
}
const report = (id: string, instances: readonly Instance[], state: HostState = 'connected'): Report => ({
  id,
  instances,
  state,
});
/** Of all UUIDs in the reports, by name. */
function vmsOf(
  reports: readonly Report[],
  active: readonly Migration[] = [],
  parked: ReadonlySet<string> = new Set(),
): readonly Vm[] {
  const all = reports.flatMap(({ id, instances, state }) =>
    instances.map((instance) => ({
      hostId: hostId(id),
      instance,
      silent: state !== 'connected',
      parked: parked.has(parkedKey(instance.uuid, hostId(id))),
    })),
  );
  return [...Map.groupBy(all, ({ instance: { uuid } }) => uuid)].map(([uuid, placed]) =>
    vmOf(
      uuid,
      placed,
      active.find(({ vm }) => vm.uuid === uuid),
    ),
  );
}
const roles = (reports: readonly Report[], active: readonly Migration[] = []) =>
  vmsOf(reports, active).map((vm) => [vm.state, ...vm.instances.map(({ hostId: id, role }) => `${id} ${role}`)]);
const moving: Migration = {
  id: migrationId('m1'),
  name: 'm',
  vm: { uuid: vmUuid('aaaa-1'), name: 'web' },
  kind: 'live',
  origin: 'operator',
  actor: 'a',
  client: 'c',
  request: {},
  from: { id: hostId('h1'), name: 'h1' },
  phase: 'transferring',
  phases: [],
  evidence: {},
};

test('what runs is authoritative; a definition elsewhere is parked; an incoming half is incoming', () => {
  assert.deepEqual(roles([report('h1', [instance('shut-off')]), report('h2', [instance('running')])]), [
    ['running', 'h2 authoritative', 'h1 parked'],
  ]);
  assert.deepEqual(
    roles([report('h1', [instance('paused', 'migration')]), report('h2', [instance('running', 'booted')])]),
    [['running', 'h2 authoritative', 'h1 incoming']],
  );
});

test('a second copy on a side of a migration whose hooks are told of its end is a conflict', () => {
  const closing = { ...moving, to: { id: hostId('h2'), name: 'h2' }, phase: 'cleaning' as const };
  const told = { ...closing, evidence: { closing: { outcome: 'succeeded' as const, at: 1 } } };
  const reports = [report('h2', [instance('running', 'migrated')]), report('h1', [instance('paused', 'user')])];
  assert.deepEqual(roles(reports, [closing]), [['running', 'h2 authoritative', 'h1 incoming']]);
  assert.deepEqual(roles(reports, [told]), [['running', 'h2 authoritative', 'h1 conflict']]);
  assert.equal(vmsOf(reports, [told])[0]?.currentMigration, 'm1', 'it has not ended');
});

test('in the switch, with both halves paused, the source of the migration stays authoritative', () => {
  const halves = [report('h2', [instance('paused', 'migration')]), report('h1', [instance('paused', 'migration')])];
  assert.deepEqual(roles(halves, [moving]), [['paused', 'h1 authoritative', 'h2 incoming']]);
  assert.equal(vmsOf(halves, [moving])[0]?.currentMigration, 'm1');
});

test('two running copies are a conflict', () => {
  assert.deepEqual(roles([report('h1', [instance('running')]), report('h2', [instance('running')])]), [
    ['running', 'h1 authoritative', 'h2 conflict'],
  ]);
});

test('two definitions that are shut off are a conflict, unless one is known to be parked, or is the other side of a move', () => {
  const both = [
    report('h1', [instance('shut-off')]),
    report('h2', [instance('shut-off', 'other', 'aaaa-1', 'web-old')]),
  ];
  assert.deepEqual(roles(both), [['shut-off', 'h1 authoritative', 'h2 conflict']]);
  const known = (...hosts: readonly string[]) =>
    vmsOf(both, [], new Set(hosts.map((host) => parkedKey(vmUuid('aaaa-1'), hostId(host))))).map((vm) =>
      vm.instances.map(({ hostId: id, role }) => `${id} ${role}`),
    );
  assert.deepEqual(known('h1'), [['h2 authoritative', 'h1 parked']]);
  assert.deepEqual(known('h1', 'h2'), [['h1 authoritative', 'h2 conflict']]);
  assert.deepEqual(roles(both, [{ ...moving, to: { id: hostId('h2'), name: 'h2' } }]), [
    ['shut-off', 'h1 authoritative', 'h2 parked'],
  ]);
});

test('the state of a VM on a host that does not answer is unknown', () => {
  assert.deepEqual(roles([report('h1', [instance('running')], 'unreachable')]), [['unknown', 'h1 authoritative']]);
});

test('a copy that was active when its host was last seen is one still, but for the sides of a move and what is parked', () => {
  const copies = (there: Instance, ...more: readonly Migration[]) =>
    roles([report('h1', [instance('running')]), report('h2', [there], 'unreachable')], more);
  const twice = [['running', 'h1 authoritative', 'h2 conflict']];
  const once = [['running', 'h1 authoritative', 'h2 parked']];
  assert.deepEqual(copies(instance('running')), twice);
  assert.deepEqual(copies(instance('paused', 'user')), twice);
  for (const reason of ['migration', 'post-copy', 'post-copy-failed'] as const)
    assert.deepEqual(copies(instance('paused', reason)), once, 'a half is no copy');
  assert.deepEqual(copies(instance('shut-off')), once);
  assert.deepEqual(copies(instance('running'), { ...moving, to: { id: hostId('h2'), name: 'h2' } }), once);
  // it was started elsewhere because its host is dead
  const dead = [report('h1', [instance('running')]), report('h2', [instance('running')], 'unreachable')];
  const rescued = vmsOf(dead, [], new Set([parkedKey(vmUuid('aaaa-1'), hostId('h2'))]));
  assert.deepEqual(
    rescued.map(({ instances }) => instances.map(({ role }) => role)),
    [['authoritative', 'parked']],
  );
});

test('a name, a UUID and its beginning find a VM; what is ambiguous lists the candidates', () => {
  const vms = vmsOf(
    [
      report('h1', [
        instance('running', 'booted', 'aaaa-1'),
        instance('running', 'booted', 'aaab-2', 'db'),
        instance('running', 'booted', 'cccc-3', 'db'),
      ]),
    ],
    [],
  );
  const find = (ref: string) =>
    resolve(vms, ref, { kind: 'vm', id: ({ uuid }) => uuid, name: ({ name }) => name, describe: ({ uuid }) => uuid })
      .uuid;
  assert.deepEqual([find('web'), find('aaab-2'), find('cccc')], ['aaaa-1', 'aaab-2', 'cccc-3']);
  assert.equal(find('AAAB-2'), 'aaab-2', 'as somebody may write a UUID');
  assert.throws(
    () => find('db'),
    (error) => error instanceof FerryError && error.code === 'vm-ambiguous' && /aaab-2, cccc-3/.test(error.message),
  );
  for (const ref of ['nobody', 'ccc', ''])
    assert.throws(
      () => find(ref),
      (error) => error instanceof FerryError && error.code === 'vm-unknown',
    );
});

test('a UUID is that of its VM, whatever another VM is named; a VM is found by the name it has on another host, too', () => {
  const vms = vmsOf(
    [
      report('h1', [
        instance('running', 'booted', 'aaaa-1'),
        instance('running', 'booted', 'bbbb-2', 'aaaa-1'),
        instance('shut-off', 'other', 'cccc-3', 'mail'),
      ]),
      report('h2', [instance('shut-off', 'other', 'cccc-3', 'post')]),
    ],
    [],
  );
  const find = (ref: string) =>
    resolve(vms, ref, {
      kind: 'vm',
      id: ({ uuid }) => uuid,
      name: ({ name }) => name,
      otherNames: ({ instances }) => instances.map((each) => each.instance.name),
      describe: ({ uuid }) => uuid,
    }).uuid;
  assert.deepEqual(
    [find('aaaa-1'), find('bbbb-2'), find('mail'), find('post')],
    ['aaaa-1', 'bbbb-2', 'cccc-3', 'cccc-3'],
  );
});
