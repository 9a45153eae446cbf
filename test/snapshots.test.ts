/**
 * VMs with snapshots and checkpoints move with them, or stay with them: names, tree and the current one are compared
 * before and after, on whichever side the VM ends up.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execCommand, readTicks, run, virsh, vmCreate, vmDelete, vmLog, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet } from './fleet.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let seen: Fleet['seen'];
let migration: Fleet['migration'];
let ended: Fleet['ended'];
withFleet((fleet) => ({ lab, plane, move, seen, migration, ended } = fleet));

/** Tree, current one and what each was taken of. */
async function snapshots(host: string, name: string): Promise<string> {
  const tree = await virsh(lab, host, ['snapshot-list', name, '--tree']);
  const current = await virsh(lab, host, ['snapshot-current', name, '--name']).catch(() => 'none');
  const list = (await virsh(lab, host, ['snapshot-list', name])).trim();
  const checkpoints = await virsh(lab, host, ['checkpoint-list', name, '--parent']);
  return [tree.trim(), current.trim(), list, checkpoints.trim()].join('\n--\n');
}
async function withSnapshots(name: string, disk: 'local' | 'shared'): Promise<string> {
  await vmCreate(lab, { name, host: 'host1', disk, workload: 'disk' });
  await virsh(lab, 'host1', ['snapshot-create-as', name, 'first', 'the first one'], { timeoutMs: 60_000 });
  await virsh(lab, 'host1', ['snapshot-create-as', name, 'second'], { timeoutMs: 60_000 });
  await virsh(lab, 'host1', ['snapshot-revert', name, 'first', '--running'], { timeoutMs: 60_000 });
  await virsh(lab, 'host1', ['snapshot-create-as', name, 'third'], { timeoutMs: 60_000 });
  await seen(name, 'running');
  return snapshots('host1', name);
}

test(
  'shared disk: live with its snapshots, back after an abort, found again after a crash',
  { timeout: 180_000 },
  async () => {
    const before = await withSnapshots('tree', 'shared');
    assert.match(before, /first[\s\S]*second[\s\S]*third/);
    const { stdout } = await plane.ferry('vm', 'migrate', 'tree', '--detach', '--max-bandwidth-mb', '1');
    await waitFor('the transfer', async () => (await migration(stdout.trim())).phase === 'transferring' || undefined, {
      timeoutMs: 20_000,
    });
    assert.doesNotMatch(await snapshots('host1', 'tree'), /first/, 'libvirt would refuse the move');
    await plane.json('migration', 'abort', stdout.trim());
    assert.equal((await ended(stdout.trim())).outcome, 'cancelled');
    assert.equal(await snapshots('host1', 'tree'), before);

    assert.equal((await move('tree')).outcome, 'succeeded');
    assert.equal(await snapshots('host2', 'tree'), before);

    const again = (await plane.ferry('vm', 'migrate', 'tree', '--detach', '--max-bandwidth-mb', '1')).stdout.trim();
    await waitFor('some progress', async () => ((await migration(again)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 20_000,
    });
    await plane.kill();
    await virsh(lab, 'host2', ['domjobabort', 'tree']);
    await plane.start();
    assert.equal((await ended(again)).outcome, 'failed');
    assert.equal(await snapshots('host2', 'tree'), before);
    const { last } = readTicks(vmLog(lab, 'tree'));
    await virsh(lab, 'host2', ['snapshot-revert', 'tree', 'first', '--running'], { timeoutMs: 60_000 });
    await waitFor(
      'the guest to run from its snapshot',
      () => (/^tick \d+/m.test(vmLog(lab, 'tree')) && readTicks(vmLog(lab, 'tree')).last !== last) || undefined,
      { timeoutMs: 30_000 },
    );
    await vmDelete(lab, 'tree');
  },
);

test(
  'local disk: refused live, since the copy would lose what is inside the file; cold the file travels as it is',
  { timeout: 180_000 },
  async () => {
    const before = await withSnapshots('inside', 'local');
    const refused = await plane.ferry('vm', 'migrate', 'inside');
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /snapshots inside its file/);
    assert.equal(await snapshots('host1', 'inside'), before);
    await virsh(lab, 'host1', ['destroy', 'inside']);
    await seen('inside', 'shut-off');
    assert.equal((await move('inside')).outcome, 'succeeded');
    assert.equal(await snapshots('host2', 'inside'), before);
    const image = '/var/lib/libvirt/images/inside.qcow2';
    const list = (host: string) => run(execCommand(lab, host, ['qemu-img', 'snapshot', '-l', image]));
    assert.equal(await list('host2'), await list('host1'));
    await run(execCommand(lab, 'host2', ['qemu-img', 'check', '-q', image]));
    await virsh(lab, 'host2', ['snapshot-revert', 'inside', 'second', '--running'], { timeoutMs: 60_000 });
    const { last } = readTicks(vmLog(lab, 'inside'));
    await waitFor(
      'the guest to count on from its snapshot',
      () => readTicks(vmLog(lab, 'inside')).last > last || undefined,
      { timeoutMs: 30_000 },
    );
    await vmDelete(lab, 'inside');
  },
);

test('checkpoints travel with the VM when both hosts have the disk', { timeout: 120_000 }, async () => {
  await vmCreate(lab, { name: 'points', host: 'host1', disk: 'shared', workload: 'disk' });
  await virsh(lab, 'host1', ['checkpoint-create-as', 'points', 'one']);
  await virsh(lab, 'host1', ['checkpoint-create-as', 'points', 'two']);
  await seen('points', 'running');
  const before = await snapshots('host1', 'points');
  assert.match(before, /one[\s\S]*two/);
  assert.equal((await move('points')).outcome, 'succeeded');
  assert.equal(await snapshots('host2', 'points'), before);
  await vmDelete(lab, 'points');
});
