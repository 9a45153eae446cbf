/**
 * What belongs to a VM beside its disks and memory: UEFI variables, TPM state. They arrive with a VM that is shut off,
 * which does not inherit the limits of a live move either.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execCommand, run, virsh, vmCreate, vmDelete, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet, type VmJson } from './fleet.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let seen: Fleet['seen'];
let sh: Fleet['sh'];
withFleet((fleet) => ({ lab, plane, move, seen, sh } = fleet));

test('UEFI variables and TPM state arrive with a VM that is shut off', { timeout: 120_000 }, async () => {
  await vmCreate(lab, { name: 'uefi', host: 'host1', disk: 'local', workload: 'disk', until: 'defined' });
  const xml = (await virsh(lab, 'host1', ['dumpxml', '--inactive', 'uefi']))
    .replace(
      '<kernel>',
      "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram " +
        "template='/usr/share/OVMF/OVMF_VARS_4M.fd'/><kernel>",
    )
    .replace('</devices>', "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>");
  await run(execCommand(lab, 'host1', ['bash', '-ec', 'cat > /root/uefi.xml']), { input: xml });
  await virsh(lab, 'host1', ['define', '/root/uefi.xml']);
  await virsh(lab, 'host1', ['start', 'uefi'], { timeoutMs: 60_000 });
  await seen('uefi', 'running');
  const uuid = (await virsh(lab, 'host1', ['domuuid', 'uefi'])).trim();
  const nvram = /<nvram[^>]*>([^<]+)</.exec(await virsh(lab, 'host1', ['dumpxml', 'uefi']))?.[1] ?? '';
  assert.match(nvram, /nvram/);
  const tpm = `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`;
  await waitFor(
    'the TPM to keep its state',
    async () => ((await sh('host1', `test -s ${tpm} && echo yes || true`)).includes('yes') ? true : undefined),
    { timeoutMs: 30_000 },
  );
  await virsh(lab, 'host1', ['destroy', 'uefi']);
  await seen('uefi', 'shut-off');
  await sh('host1', `echo marked-by-the-test | dd of=${nvram} bs=1 seek=400000 conv=notrunc status=none`);
  const sums = (host: string) => sh(host, `sha256sum ${nvram} ${tpm}; stat -c '%a %s' ${nvram} ${tpm}`);
  const before = await sums('host1');
  assert.deepEqual((await move('uefi')).vmIsNow, { host: 'host2', state: 'shut-off' });
  assert.equal(await sums('host2'), before);
  await virsh(lab, 'host2', ['start', 'uefi'], { timeoutMs: 60_000 });
  await virsh(lab, 'host2', ['destroy', 'uefi']);
  await vmDelete(lab, 'uefi');
});

test('a VM that is shut off does not inherit the limits of a live move', { timeout: 120_000 }, async () => {
  await vmCreate(lab, { name: 'heavy', host: 'host1', disk: 'local', until: 'defined' });
  const xml = (await virsh(lab, 'host1', ['dumpxml', '--inactive', 'heavy']))
    .replace(/<memory unit='KiB'>\d+</, "<memory unit='KiB'>1073741824<")
    .replace(/<currentMemory unit='KiB'>\d+</, "<currentMemory unit='KiB'>1073741824<")
    .replace(
      /<cpu[\s\S]*?<\/cpu>/,
      "<cpu mode='custom' match='exact'><model>Opteron_G5</model><feature policy='require' name='fma4'/></cpu>",
    )
    .replace(
      '</devices>',
      "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x7f' " +
        "slot='0x1f' function='0x0'/></source></hostdev></devices>",
    );
  await run(execCommand(lab, 'host1', ['bash', '-ec', 'cat > /root/heavy.xml']), { input: xml });
  await virsh(lab, 'host1', ['define', '/root/heavy.xml']);
  await seen('heavy', 'shut-off');
  await waitFor(
    'the new definition to be seen',
    async () => (await plane.json<VmJson>('vm', 'show', 'heavy')).memoryBytes > 2 ** 39 || undefined,
    { timeoutMs: 15_000 },
  );
  const definition = await virsh(lab, 'host1', ['dumpxml', '--inactive', '--security-info', 'heavy']);
  const started = await plane.ferry('vm', 'migrate', 'heavy', '--auto-start');
  assert.equal(started.code, 4, 'there is not that much memory to start it');
  assert.deepEqual((await move('heavy')).vmIsNow, { host: 'host2', state: 'shut-off' });
  assert.equal(
    await virsh(lab, 'host2', ['dumpxml', '--inactive', '--security-info', 'heavy']),
    definition,
    'the definition arrives as it was',
  );
  await vmDelete(lab, 'heavy');
});
