/** Copies of disks on real hosts that are cut short: the control plane killed in the middle, the target dead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { powerOff, powerOn, virsh, vmDelete, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { images, storageOf, type StorageQuestions } from './storage-fixture.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let migration: Fleet['migration'];
let endOf: Fleet['ended'];
let sh: Fleet['sh'];
let state: Fleet['state'];
let create: StorageQuestions['create'];
let leftOn: StorageQuestions['leftOn'];
let recordsUnbroken: StorageQuestions['recordsUnbroken'];
withFleet((fleet) => {
  ({ lab, plane, move, migration, ended: endOf, sh, state } = fleet);
  ({ create, leftOn, recordsUnbroken } = storageOf(fleet));
});

test('the control plane killed in a cold copy: started again it finishes the move', { timeout: 120_000 }, async () => {
  await create('adopt', 'local', false);
  await sh('host1', `qemu-io -f qcow2 -c 'write -P 3 0 24M' ${images}/adopt.qcow2 >/dev/null`);
  const { stdout } = await plane.ferry('vm', 'migrate', 'adopt', '--detach', '--auto-start', '--max-bandwidth-mb', '6');
  const id = stdout.trim();
  await waitFor('the copy', async () => ((await migration(id)).progress?.percent ?? 0) > 0 || undefined, {
    timeoutMs: 20_000,
  });
  await plane.kill();
  await plane.start();
  const ended = await endOf(id, 60_000);
  assert.deepEqual([ended.outcome, ended.adopted], ['succeeded', true], ended.error?.message);
  assert.deepEqual([await state('host1', 'adopt'), await state('host2', 'adopt')], ['absent', 'running']);
  assert.deepEqual(await leftOn('host1', 'adopt'), ['adopt.qcow2']);
  await vmDelete(lab, 'adopt');
});

test(
  'the control plane killed in a cold copy and the target gone with it: the VM stays, nothing stays paused',
  { timeout: 180_000 },
  async () => {
    await create('gone', 'local', false);
    await sh('host1', `qemu-io -f qcow2 -c 'write -P 3 0 32M' ${images}/gone.qcow2 >/dev/null`);
    const { stdout } = await plane.ferry('vm', 'migrate', 'gone', '--detach', '--max-bandwidth-mb', '1');
    const id = stdout.trim();
    await waitFor('the copy', async () => ((await migration(id)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 20_000,
    });
    await plane.kill();
    await powerOff(lab, 'host2');
    await plane.start();
    await powerOn(lab, 'host2');
    const ended = await endOf(id, 120_000);
    assert.equal(ended.outcome, 'failed');
    assert.deepEqual(ended.vmIsNow, { host: 'host1', state: 'shut-off' });
    assert.deepEqual([await leftOn('host1', 'gone'), await leftOn('host2', 'gone')], [['gone.qcow2'], []]);
    assert.equal((await move('gone', '--auto-start')).outcome, 'succeeded');
    await vmDelete(lab, 'gone');
  },
);

test(
  'a cold copy to a target that lost power, and whose firewall then drops what it does not know: it ends, the VM stays',
  { timeout: 180_000, skip: onlyFull('libvirt takes half a minute to end a QEMU that hangs') },
  async () => {
    await create('dropped', 'local', false);
    await sh('host1', `qemu-io -f qcow2 -c 'write -P 3 0 32M' ${images}/dropped.qcow2 >/dev/null`);
    const { stdout } = await plane.ferry('vm', 'migrate', 'dropped', '--detach', '--max-bandwidth-mb', '2');
    const id = stdout.trim();
    await waitFor('the copy', async () => ((await migration(id)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 20_000,
    });
    await sh(
      'host1',
      `nft -f - <<'RULES'
table ip dropped {
chain input { type filter hook input priority 0; tcp sport 49152-49215 tcp flags & rst != 0 counter drop; }
}
RULES`,
    );
    await powerOff(lab, 'host2');
    await powerOn(lab, 'host2');
    const ended = await endOf(id, 90_000);
    await sh('host1', 'nft delete table ip dropped');
    assert.deepEqual([ended.outcome, ended.vmIsNow], ['failed', { host: 'host1', state: 'shut-off' }]);
    assert.deepEqual([await leftOn('host1', 'dropped'), await leftOn('host2', 'dropped')], [['dropped.qcow2'], []]);
    assert.equal((await move('dropped', '--auto-start')).outcome, 'succeeded');
    await vmDelete(lab, 'dropped');
  },
);

test(
  'the target dies in a live copy: the guest is freed from it while the target is dead, what was made is ' +
    'taken back once the target answers, and it moves then',
  { timeout: 240_000, skip: onlyFull('Ferry waits 18 s for a copy that stands still') },
  async () => {
    await create('half', 'local');
    const { stdout } = await plane.ferry('vm', 'migrate', 'half', '--detach', '--max-bandwidth-mb', '1');
    const id = stdout.trim();
    await waitFor('the copy', async () => ((await migration(id)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 20_000,
    });
    await powerOff(lab, 'host2');
    // a write of it waits for the dead copy: neither libvirt nor the kernel would end that for minutes
    await waitFor(
      'the guest to be free again',
      async () => (await virsh(lab, 'host1', ['domjobinfo', 'half']).catch(String)).includes('None') || undefined,
      { timeoutMs: 90_000 },
    );
    await recordsUnbroken('half');
    assert.match(
      (await migration(id)).decisions?.at(-1)?.text ?? '',
      /nothing has moved for \d+ s and host2 does not answer, aborting/,
    );
    await plane.kill();
    await powerOn(lab, 'host2');
    await plane.start();
    const ended = await endOf(id, 60_000);
    assert.deepEqual([ended.outcome, ended.vmIsNow], ['failed', { host: 'host1', state: 'running' }]);
    assert.deepEqual(await leftOn('host2', 'half'), [], 'it was taken back once the target answered');
    assert.equal((await move('half')).outcome, 'succeeded');
    await recordsUnbroken('half');
    await vmDelete(lab, 'half');
  },
);
