/**
 * What belongs to a VM beside its disks: memory that libvirt saved, UEFI variables, TPM state. It arrives with a VM that is
 * shut off, and what is inside is the same.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execCommand, readTicks, run, temporaryLab, virsh, vmCheck, vmCreate, vmDelete, vmLog, waitFor, type DiskKind, type LabRef, type TemporaryLab } from '@ferry/lab';
import { controlPlane, type ControlPlane } from './control-plane.ts';

interface MigrationJson {
  readonly outcome?: string;
  readonly kind: string;
  readonly vmIsNow?: { readonly host: string; readonly state: string };
}

let temporary: TemporaryLab;
let lab: LabRef;
let plane: ControlPlane;

before(async () => {
  temporary = await temporaryLab({ hosts: 2 });
  lab = temporary.lab;
  plane = await controlPlane();
  for (const { uri, name } of temporary.status.hosts) await plane.json('host', 'add', uri, '--name', name);
});
after(async () => {
  await plane?.[Symbol.asyncDispose]();
  await temporary?.[Symbol.asyncDispose]();
});

const move = (...args: readonly string[]): Promise<MigrationJson> => plane.json<MigrationJson>('vm', 'migrate', ...args);
const sh = (host: string, command: string): Promise<string> => run(execCommand(lab, host, ['bash', '-ec', command]));
const seen = (name: string, state: string) =>
  waitFor(`the control plane to see ${name} ${state}`, async () => {
    const ran = await plane.ferry('vm', 'show', name, '-o', 'json');
    return (ran.code === 0 && (JSON.parse(ran.stdout) as { state: string }).state === state) || undefined;
  }, { timeoutMs: 10_000 });

for (const disk of ['none', 'local', 'shared'] satisfies DiskKind[]) {
  test(`a saved VM (disk: ${disk}) arrives saved, twice, and counts on where it was`, { timeout: 120_000 }, async () => {
    const name = `saved-${disk}`;
    await vmCreate(lab, { name, host: 'host1', disk, workload: disk === 'none' ? 'dirty:4' : 'disk' });
    await virsh(lab, 'host1', ['managedsave', name], { timeoutMs: 60_000 });
    await seen(name, 'shut-off');
    const { last } = readTicks(vmLog(lab, name));
    const there = await move(name);
    assert.deepEqual([there.outcome, there.kind, there.vmIsNow], ['succeeded', 'suspended', { host: 'host2', state: 'shut-off' }]);
    assert.match(await sh('host2', `ls /var/lib/libvirt/qemu/save`), new RegExp(name));
    assert.doesNotMatch(await sh('host1', `ls /var/lib/libvirt/qemu/save`), new RegExp(name), 'a second start from this memory would be a second copy');
    const back = await move(name, '--auto-start');
    assert.deepEqual([back.outcome, back.vmIsNow], ['succeeded', { host: 'host1', state: 'running' }]);
    const ticks = await waitFor('the guest to count on', () => {
      const now = readTicks(vmLog(lab, name));
      return now.last > last + 2 ? now : undefined;
    }, { timeoutMs: 30_000 });
    assert.deepEqual([ticks.boots.length, ticks.contiguous], [1, true], 'its memory is the one that was saved');
    if (disk !== 'none') {
      const verdict = await vmCheck(lab, name);
      assert.ok(verdict.contiguous && verdict.corrupt === 0 && !verdict.duplicateWriters, JSON.stringify(verdict));
    }
    await vmDelete(lab, name);
  });
}
