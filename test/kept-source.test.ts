/** What the source keeps of a VM that has moved, on real hosts: its definition parked, or its own again when a temporary move ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTicks, virsh, vmDelete, vmLog, waitFor, type LabRef } from '@ferry/lab';
import { withFleet, type Fleet } from './fleet.ts';
import { storageOf, type StorageQuestions } from './storage-fixture.ts';

let lab: LabRef;
let move: Fleet['move'];
let show: Fleet['show'];
let seen: Fleet['seen'];
let state: Fleet['state'];
let create: StorageQuestions['create'];
let recordsUnbroken: StorageQuestions['recordsUnbroken'];
withFleet((fleet) => {
  ({ lab, move, show, seen, state } = fleet);
  ({ create, recordsUnbroken } = storageOf(fleet));
});

test('temporary: when it shuts down on the target it is its source\'s again', { timeout: 120_000 }, async () => {
  await create('guest', 'shared');
  const moved = await move('guest', '--temporary');
  assert.deepEqual(moved.vmIsNow, { host: 'host2', state: 'running' });
  const there = await show('guest');
  assert.deepEqual(there.instances.map(({ host, role, persistent }) => [host, role, persistent]), [['host2', 'authoritative', false], ['host1', 'parked', true]]);
  await virsh(lab, 'host2', ['destroy', 'guest']);
  await waitFor('it to be host1\'s again', async () => {
    const vm = await show('guest');
    return (vm.host === 'host1' && vm.state === 'shut-off' && vm.instances.length === 1) || undefined;
  }, { timeoutMs: 10_000 });
  await virsh(lab, 'host1', ['start', 'guest']);
  await recordsUnbroken('guest');
  await vmDelete(lab, 'guest');
});

test('keep-source parks a definition without autostart; configuration moves nothing else; autostart goes along', { timeout: 120_000 }, async () => {
  await create('keep', 'shared', false);
  await virsh(lab, 'host1', ['autostart', 'keep']);
  await seen('keep', 'shut-off');
  const plain = await virsh(lab, 'host1', ['dumpxml', '--inactive', '--security-info', 'keep']);
  assert.equal((await move('keep', '--keep-source')).outcome, 'succeeded');
  const kept = await show('keep');
  assert.deepEqual([kept.host, ...kept.instances.map(({ host, role }) => `${host} ${role}`)], ['host2', 'host2 authoritative', 'host1 parked']);
  assert.match(await virsh(lab, 'host1', ['dominfo', 'keep']), /Autostart:\s+disable/);
  assert.match(await virsh(lab, 'host2', ['dominfo', 'keep']), /Autostart:\s+enable/);
  assert.equal(await virsh(lab, 'host2', ['dumpxml', '--inactive', '--security-info', 'keep']), plain, 'the definition arrives as it was');
  const back = await move('keep', '--kind', 'configuration');
  assert.deepEqual([back.outcome, back.vmIsNow], ['succeeded', { host: 'host1', state: 'shut-off' }]);
  assert.deepEqual((await show('keep')).instances.map(({ host, role }) => `${host} ${role}`), ['host1 authoritative']);
  await vmDelete(lab, 'keep');
});

test('a running guest keeps its source definition parked with --keep-source, and counts on', { timeout: 120_000 }, async () => {
  await create('both', 'shared');
  assert.equal((await move('both', '--keep-source')).outcome, 'succeeded');
  assert.deepEqual((await show('both')).instances.map(({ host, role }) => `${host} ${role}`), ['host2 authoritative', 'host1 parked']);
  assert.deepEqual([await state('host1', 'both'), await state('host2', 'both')], ['shut off', 'running']);
  const { boots, contiguous } = readTicks(vmLog(lab, 'both'));
  assert.deepEqual([boots.length, contiguous], [1, true]);
  await vmDelete(lab, 'both');
});
