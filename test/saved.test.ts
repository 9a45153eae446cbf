/**
 * Files of a VM other than disks: UEFI variables, TPM state, and saved memory with the definition inside. They arrive
 * with a VM that is shut off. Such a move does not inherit the limits of a live one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execCommand, run, virsh, vmCreate, vmDelete, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet, type VmJson } from './fleet.ts';
import { images } from './storage-fixture.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let seen: Fleet['seen'];
let sh: Fleet['sh'];
let accept: Fleet['accept'];
withFleet((fleet) => ({ lab, plane, move, seen, sh, accept } = fleet));

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
  accept(/does not start on host2/, 'a start may write both; it is started below');
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
  accept(/does not start on host2/, 'no host has that much memory');
  assert.deepEqual((await move('heavy')).vmIsNow, { host: 'host2', state: 'shut-off' });
  assert.equal(
    await virsh(lab, 'host2', ['dumpxml', '--inactive', '--security-info', 'heavy']),
    definition,
    'the definition arrives as it was',
  );
  await vmDelete(lab, 'heavy');
});

test(
  'saved memory comes back with the disks it was saved with, joined and at other places, and so does the definition ' +
    'that was changed since, there and back',
  { timeout: 180_000 },
  async () => {
    const other = '/var/lib/libvirt/other';
    const disk = (target: string, name: string): string =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${images}/kept-${name}.qcow2'/>` +
      `<target dev='${target}' bus='virtio'/></disk>`;
    const xml =
      "<domain type='qemu'><name>kept</name><memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' " +
      "machine='pc'>hvm</type></os><devices><controller type='usb' model='none'/><memballoon model='none'/>" +
      `${disk('vda', 'base')}${disk('vdb', 'now')}</devices></domain>`;
    await sh(
      'host1',
      `cd ${images}; for each in base later now; do qemu-img create -q -f qcow2 kept-$each.qcow2 16M; ` +
        'qemu-io -c "write -P 7 0 1M" kept-$each.qcow2 >/dev/null; done; ' +
        `cat > /root/kept.xml <<'EOF'\n${xml}\nEOF\nvirsh -q define /root/kept.xml`,
    );
    const on = (host: string, ...args: readonly string[]) => virsh(lab, host, args, { timeoutMs: 60_000 });
    await on('host1', 'start', 'kept');
    await on(
      'host1',
      'snapshot-create-as',
      'kept',
      's1',
      '--disk-only',
      '--no-metadata',
      '--diskspec',
      'vdb,snapshot=no',
    );
    await on('host1', 'managedsave', 'kept', '--running');
    await on('host1', 'detach-disk', 'kept', 'vdb', '--config');
    const later = ['kept', `${images}/kept-later.qcow2`, 'vdc', '--targetbus', 'virtio', '--subdriver', 'qcow2'];
    await on('host1', 'attach-disk', ...later, '--config');
    await seen('kept', 'shut-off');
    await sh(
      'host2',
      `mkdir -p ${other}; virsh -q pool-define-as other dir --target ${other}; virsh -q pool-start other`,
    );
    // what opens it by its old name is seen
    await sh(
      'host2',
      `for each in base.qcow2 base.s1 now.qcow2 later.qcow2; do echo foreign > ${images}/kept-$each; done`,
    );

    /** What the VM has on this host once it goes on: the running guest's disks, and its definition's. */
    const goesOn = async (host: string, folder: string): Promise<void> => {
      await on(host, 'start', 'kept');
      assert.match(await on(host, 'domstate', 'kept', '--reason'), /running \(restored\)/);
      const sources = async (...which: readonly string[]) =>
        [...(await on(host, 'dumpxml', 'kept', ...which)).matchAll(/<source file='([^']+)'/g)].map(([, path]) => path);
      const at = (...names: readonly string[]) => names.map((name) => `${folder}/kept-${name}`);
      assert.deepEqual(await sources(), at('base.s1', 'now.qcow2'));
      assert.deepEqual(await sources('--inactive'), at('base.s1', 'later.qcow2'));
    };
    const same = async (host: string, folder: string): Promise<void> => {
      for (const name of ['base.s1', 'now.qcow2', 'later.qcow2']) {
        const read = await sh(
          host,
          `qemu-io -r -c 'read -P 7 0 1M' -c 'read -P 0 1M 15M' ${folder}/kept-${name} 2>&1 || true`,
        );
        assert.match(read, /read 15728640/);
        assert.doesNotMatch(read, /verification failed/);
      }
    };
    assert.deepEqual((await move('kept', '--map-path', `${images}=${other}`)).vmIsNow, {
      host: 'host2',
      state: 'shut-off',
    });
    await goesOn('host2', other);
    await on('host2', 'managedsave', 'kept', '--running');
    await same('host2', other);
    await seen('kept', 'shut-off');
    assert.deepEqual((await move('kept', '--map-path', `${other}=${images}`)).vmIsNow, {
      host: 'host1',
      state: 'shut-off',
    });
    // two definitions of it, and only one has the memory: that one is never parked
    await sh('host2', `cat > /root/kept.xml <<'EOF'\n${await on('host1', 'dumpxml', '--inactive', 'kept')}\nEOF`);
    await on('host2', 'define', '/root/kept.xml');
    await waitFor(
      'both to be seen',
      async () => (await plane.json<VmJson>('vm', 'show', 'kept')).instances.length === 2 || undefined,
      { timeoutMs: 20_000 },
    );
    assert.match((await plane.ferry('vm', 'settle', 'kept')).stdout, /memory/);
    const given = await plane.ferry('vm', 'settle', 'kept', '--keep', 'host2');
    assert.equal(given.code, 4, given.stdout);
    assert.match(given.stderr, /The memory of kept is saved on host1/);
    await plane.json('vm', 'settle', 'kept', '--keep', 'host1');
    await goesOn('host1', images);
    await on('host1', 'destroy', 'kept');
    await on('host2', 'undefine', 'kept');
    await on('host1', 'undefine', 'kept');
  },
);
