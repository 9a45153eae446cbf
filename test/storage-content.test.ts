/**
 * What a guest reads of its disks before and after a move, compared from inside QEMU: data, zeros, what was discarded and what was never written, of
 * images above others, however the definition names those. The guests only have disks and execute nothing of their own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh, type LabRef } from '@ferry/lab';
import { withFleet, type Fleet } from './fleet.ts';
import { images, storageOf, type StorageQuestions } from './storage-fixture.ts';

let lab: LabRef;
let move: Fleet['move'];
let seen: Fleet['seen'];
let sh: Fleet['sh'];
let state: Fleet['state'];
let leftOn: StorageQuestions['leftOn'];
withFleet((fleet) => {
  ({ lab, move, seen, sh, state } = fleet);
  ({ leftOn } = storageOf(fleet));
});

const shared = '/var/lib/libvirt/shared';
/** Where a host has it instead. */
let sharedOn: Readonly<Record<string, string>> = {};

/** Defines a VM that is shut off, with this disk. */
async function define(name: string, disk: string): Promise<void> {
  const devices = `<controller type='usb' model='none'/><memballoon model='none'/>${disk}`;
  const xml = `<domain type='qemu'><name>${name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>${devices}</devices></domain>`;
  await sh('host1', `cat > /root/${name}.xml <<'EOF'\n${xml}\nEOF\nvirsh -q define /root/${name}.xml`);
  await seen(name, 'shut-off');
}
const diskOf = (path: string, more = "<target dev='vda' bus='virtio'/>", driver = "<driver name='qemu' type='qcow2'/>"): string => `<disk type='file' device='disk'>${driver}<source file='${path}'/>${more}</disk>`;

/** Writes into the image above `base` (both at `folder`) what shows each way in which an image may answer; what a guest reads is kept for `sameInside`. */
async function write(name: string, top: string): Promise<void> {
  // of the base's pattern stays: 0-1 and 5-8 MiB
  await sh('host1', `qemu-io -c 'write -P 9 1M 1M' -c 'write -z 2M 1M' -c 'discard 3M 1M' -c 'write -P 5 4M 1M' -c 'write -P 6 40M 64k' ${top} >/dev/null; qemu-img convert -O raw ${top} ${shared}/${name}.expected`);
}
const makeBase = (path: string): Promise<string> => sh('host1', `qemu-img create -q -f qcow2 ${path} 64M; qemu-io -c 'write -P 7 0 8M' ${path} >/dev/null`);
/** An image of somebody else at the path of a base. */
const foreign = (host: string, path: string): Promise<string> => sh(host, `rm -f ${path}; qemu-img create -q -f qcow2 ${path} 64M; qemu-io -c 'write -P 0x77 0 64M' ${path} >/dev/null`);

/** Reads the whole disk through the QEMU that runs the guest. */
async function sameInside(host: string, name: string): Promise<void> {
  const qmp = async (execute: string, args: object = {}): Promise<unknown> => (JSON.parse(await virsh(lab, host, ['qemu-monitor-command', name, JSON.stringify({ execute, arguments: args })])) as { readonly return: unknown }).return;
  const socket = `/run/libvirt/${name}.nbd`;
  const devices = (await qmp('query-block')) as readonly { readonly inserted?: { readonly 'node-name': string } }[];
  const node = devices.flatMap(({ inserted }) => inserted?.['node-name'] ?? [])[0] ?? '';
  await qmp('nbd-server-start', { addr: { type: 'unix', data: { path: socket } } });
  await qmp('block-export-add', { type: 'nbd', id: 'seen', 'node-name': node, name: 'seen' });
  try {
    assert.match(await sh(host, `qemu-img compare -f raw -F raw 'nbd+unix:///seen?socket=${socket}' ${sharedOn[host] ?? shared}/${name}.expected || true`), /identical/, `${name} on ${host}`);
  } finally {
    await qmp('nbd-server-stop');
  }
}

/** No definition of the VM on this host speaks of `path`, and what it starts from is what it had. */
async function arrived(host: string, name: string, without?: string): Promise<void> {
  for (const which of [[], ['--inactive']]) {
    const xml = await virsh(lab, host, ['dumpxml', name, ...which]);
    if (without !== undefined) assert.ok(!xml.includes(`'${without}'`), `${which.join('')} on ${host} names ${without}: ${xml}`);
  }
  if ((await state(host, name)) === 'running') {
    await sameInside(host, name);
    await virsh(lab, host, ['destroy', name]);
  }
  await virsh(lab, host, ['start', name]);
  await sameInside(host, name);
  await seen(name, 'running');
}

async function gone(name: string, ...files: readonly string[]): Promise<void> {
  for (const host of ['host1', 'host2']) {
    await virsh(lab, host, ['destroy', name]).catch(() => '');
    await virsh(lab, host, ['undefine', name]).catch(() => '');
    await sh(host, `rm -f ${files.join(' ')} ${shared}/${name}.*`);
  }
}

for (const named of ['its definition', 'only its image'] as const) {
  test(`a base that ${named} names: joined into one image, live and cold, over what earlier moves left and beside what others have at its path`, { timeout: 180_000 }, async () => {
    const name = named === 'its definition' ? 'chained' : 'headed';
    const [base, top] = [`${images}/${name}.qcow2`, `${images}/${name}.s1`];
    await makeBase(base);
    await define(name, diskOf(named === 'its definition' ? base : top));
    if (named === 'its definition') await virsh(lab, 'host1', ['snapshot-create-as', name, 's1', '--disk-only', '--no-metadata']);
    else await sh('host1', `qemu-img create -q -f qcow2 -b ${base} -F qcow2 ${top}`);
    await write(name, top);
    await foreign('host2', base);
    await virsh(lab, 'host1', ['start', name]);
    await seen(name, 'running');
    assert.equal((await move(name)).vmIsNow?.host, 'host2');
    await arrived('host2', name, base);
    assert.doesNotMatch(await sh('host2', `qemu-img info -U ${top}`), /backing file/);
    await virsh(lab, 'host2', ['destroy', name]);
    await seen(name, 'shut-off');
    // the base is of nobody any more, and others may have changed it
    await foreign('host1', base);
    assert.equal((await move(name)).vmIsNow?.host, 'host1');
    await arrived('host1', name, base);

    // and the other way round: cold first, paused back
    await virsh(lab, 'host1', ['destroy', name]);
    await sh('host1', `rm -f ${base} ${top}`);
    await makeBase(base);
    await sh('host1', `qemu-img create -q -f qcow2 -b ${base} -F qcow2 ${top}; virsh -q undefine ${name}`);
    await define(name, diskOf(top, named === 'its definition' ? `<backingStore type='file'><format type='qcow2'/><source file='${base}'/></backingStore><target dev='vda' bus='virtio'/>` : undefined));
    await write(name, top);
    // libvirt believes its definition
    if (named === 'its definition') await sh('host1', `qemu-img rebase -u -b '' ${top}`);
    await sh('host2', `rm -f ${top}`);
    assert.equal((await move(name)).vmIsNow?.host, 'host2');
    await arrived('host2', name, base);
    assert.equal((await move(name, '--kind', 'suspended')).vmIsNow?.host, 'host1');
    await arrived('host1', name, base);
    assert.deepEqual(await leftOn('host1', 'ferry-proof'), []);
    await gone(name, base, top);
  });
}

test('images that both hosts have at other paths: the definition names them there, for a disk that is shared and for one that is copied above them', { timeout: 180_000 }, async () => {
  const elsewhere = '/var/lib/libvirt/elsewhere';
  await sh('host2', `mkdir -p ${elsewhere}; mount --bind ${shared} ${elsewhere}; mkdir -p /root/empty; mount --bind /root/empty ${shared}`);
  sharedOn = { host2: elsewhere };
  const maps = { host2: ['--map-path', `${shared}=${elsewhere}`], host1: ['--map-path', `${elsewhere}=${shared}`] };
  for (const kind of ['shared', 'copied'] as const) {
    const name = `${kind}-top`;
    const [base, top] = [`${shared}/${name}.base`, `${kind === 'shared' ? shared : images}/${name}.qcow2`];
    await makeBase(base);
    await sh('host1', `qemu-img create -q -f qcow2 -b ${base} -F qcow2 ${top}`);
    await define(name, diskOf(top));
    await write(name, top);
    await virsh(lab, 'host1', ['start', name]);
    await seen(name, 'running');
    for (const host of ['host2', 'host1'] as const) {
      assert.equal((await move(name, '--to', host, ...maps[host])).vmIsNow?.host, host);
      if (kind === 'copied') assert.ok(Number(await sh(host, `stat -c %b ${images}/${name}.qcow2`)) * 512 < 6 * 1_048_576, 'the base was copied, too');
      await arrived(host, name, host === 'host2' ? base : `${elsewhere}/${name}.base`);
      // live there, cold back
      if (host === 'host2') await virsh(lab, host, ['destroy', name]);
      if (host === 'host2') await seen(name, 'shut-off');
    }
    await gone(name, top, base);
  }
  sharedOn = {};
  await sh('host2', `umount ${shared}; umount ${elsewhere}`);
});
