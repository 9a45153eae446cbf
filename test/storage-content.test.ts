/**
 * What a guest reads of its disks before and after a move, compared from inside QEMU: data, zeros, what was discarded
 * and what was never written, of images above others, however the definition names those. The guests only have disks
 * and execute nothing of their own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { images, storageOf, type StorageQuestions, unmount } from './storage-fixture.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let seen: Fleet['seen'];
let sh: Fleet['sh'];
let state: Fleet['state'];
let leftOn: StorageQuestions['leftOn'];
withFleet((fleet) => {
  ({ lab, plane, move, seen, sh, state } = fleet);
  ({ leftOn } = storageOf(fleet));
});

const shared = '/var/lib/libvirt/shared';
/** Where a host has it instead. */
let sharedOn: Readonly<Record<string, string>> = {};

/** Defines a VM that is shut off, with this disk. */
async function define(name: string, disk: string): Promise<void> {
  const devices = `<controller type='usb' model='none'/><memballoon model='none'/>${disk}`;
  const xml =
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type ` +
    `arch='x86_64' machine='pc'>hvm</type></os><devices>${devices}</devices></domain>`;
  await sh('host1', `cat > /root/${name}.xml <<'EOF'\n${xml}\nEOF\nvirsh -q define /root/${name}.xml`);
  await seen(name, 'shut-off');
}
const diskOf = (
  path: string,
  more = "<target dev='vda' bus='virtio'/>",
  driver = "<driver name='qemu' type='qcow2'/>",
): string => `<disk type='file' device='disk'>${driver}<source file='${path}'/>${more}</disk>`;

/**
 * Writes into the image above `base` (both at `folder`) what shows each way in which an image may answer; what a
 * guest reads is kept for `sameInside`.
 */
async function write(name: string, top: string): Promise<void> {
  // of the base's pattern stays: 0-1 and 5-8 MiB
  await sh(
    'host1',
    `qemu-io -c 'write -P 9 1M 1M' -c 'write -z 2M 1M' -c 'discard 3M 1M' -c 'write -P 5 4M 1M' -c ` +
      `'write -P 6 40M 64k' ${top} >/dev/null; qemu-img convert -O raw ${top} ${shared}/${name}.expected`,
  );
}
const makeBase = (path: string): Promise<string> =>
  sh('host1', `qemu-img create -q -f qcow2 ${path} 64M; qemu-io -c 'write -P 7 0 8M' ${path} >/dev/null`);
/** An image of somebody else at the path of a base. */
const foreign = (host: string, path: string): Promise<string> =>
  sh(
    host,
    `rm -f ${path}; qemu-img create -q -f qcow2 ${path} 64M; qemu-io -c 'write -P 0x77 0 64M' ${path} >/dev/null`,
  );

/** Reads the whole disk through the QEMU that runs the guest. */
async function sameInside(host: string, name: string): Promise<void> {
  const qmp = async (execute: string, args: object = {}): Promise<unknown> =>
    (
      JSON.parse(
        await virsh(lab, host, ['qemu-monitor-command', name, JSON.stringify({ execute, arguments: args })]),
      ) as { readonly return: unknown }
    ).return;
  const socket = `/run/libvirt/${name}.nbd`;
  const devices = (await qmp('query-block')) as readonly { readonly inserted?: { readonly 'node-name': string } }[];
  const node = devices.flatMap(({ inserted }) => inserted?.['node-name'] ?? [])[0] ?? '';
  await qmp('nbd-server-start', { addr: { type: 'unix', data: { path: socket } } });
  await qmp('block-export-add', { type: 'nbd', id: 'seen', 'node-name': node, name: 'seen' });
  try {
    assert.match(
      await sh(
        host,
        `qemu-img compare -f raw -F raw 'nbd+unix:///seen?socket=${socket}' ${sharedOn[host] ?? shared}/${name}.expected || true`,
      ),
      /identical/,
      `${name} on ${host}`,
    );
  } finally {
    await qmp('nbd-server-stop');
  }
}

/** No definition of the VM on this host speaks of `path`, and what it starts from is what it had. */
async function arrived(host: string, name: string, without?: string): Promise<void> {
  for (const which of [[], ['--inactive']]) {
    const xml = await virsh(lab, host, ['dumpxml', name, ...which]);
    if (without !== undefined)
      assert.ok(!xml.includes(`'${without}'`), `${which.join('')} on ${host} names ${without}: ${xml}`);
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
  test(
    `a base that ${named} names: joined into one image, live and cold, over what earlier moves left and ` +
      'beside what others have at its path',
    { timeout: 180_000 },
    async () => {
      const name = named === 'its definition' ? 'chained' : 'headed';
      const [base, top] = [`${images}/${name}.qcow2`, `${images}/${name}.s1`];
      await makeBase(base);
      await define(name, diskOf(named === 'its definition' ? base : top));
      if (named === 'its definition')
        await virsh(lab, 'host1', ['snapshot-create-as', name, 's1', '--disk-only', '--no-metadata']);
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
      await define(
        name,
        diskOf(
          top,
          named === 'its definition'
            ? `<backingStore type='file'><format type='qcow2'/><source file='${base}'/></backingStore><target dev='vda' bus='virtio'/>`
            : undefined,
        ),
      );
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
    },
  );
}

test(
  'images that both hosts have at other paths: the definition names them there, for a disk that is ' +
    'shared and for one that is copied above them',
  { timeout: 180_000 },
  async () => {
    const elsewhere = '/var/lib/libvirt/elsewhere';
    await sh(
      'host2',
      `mkdir -p ${elsewhere}; mount --bind ${shared} ${elsewhere}; mkdir -p /root/empty; mount --bind /root/empty ${shared}`,
    );
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
        if (kind === 'copied')
          assert.ok(
            Number(await sh(host, `stat -c %b ${images}/${name}.qcow2`)) * 512 < 6 * 1_048_576,
            'the base was copied, too',
          );
        await arrived(host, name, host === 'host2' ? base : `${elsewhere}/${name}.base`);
        // live there, cold back
        if (host === 'host2') await virsh(lab, host, ['destroy', name]);
        if (host === 'host2') await seen(name, 'shut-off');
      }
      await gone(name, top, base);
    }
    sharedOn = {};
    await sh('host2', unmount(shared, elsewhere));
  },
);

/** What the guest reads of each of its disks: device and digest. */
async function inside(host: string, name: string): Promise<readonly string[]> {
  const socket = `/run/libvirt/${name}.nbd`;
  const qmp = (execute: string, args: object = {}): string =>
    `qemu-monitor-command ${name} '${JSON.stringify({ execute, arguments: args })}'`;
  const { return: devices } = JSON.parse(
    await virsh(lab, host, ['qemu-monitor-command', name, '{"execute":"query-block"}']),
  ) as { readonly return: readonly { readonly qdev?: string; readonly inserted?: { readonly 'node-name': string } }[] };
  const nodes = devices.flatMap(({ qdev = '', inserted }) =>
    inserted === undefined ? [] : [{ device: qdev.replaceAll(/\W/g, ''), node: inserted['node-name'] }],
  );
  const exports = nodes.map(({ device, node }) =>
    qmp('block-export-add', { type: 'nbd', id: device, 'node-name': node, name: device }),
  );
  const serve = qmp('nbd-server-start', { addr: { type: 'unix', data: { path: socket } } });
  const script = [
    `virsh -q <<'EOF' >/dev/null\n${[serve, ...exports].join('\n')}\nEOF`,
    ...nodes.map(
      ({ device }) =>
        `qemu-img convert -f raw -O raw 'nbd+unix:///${device}?socket=${socket}' /root/${name}.read; ` +
        `echo ${device} $(sha256sum < /root/${name}.read)`,
    ),
    `rm /root/${name}.read`,
    `virsh -q "${qmp('nbd-server-stop').replaceAll('"', '\\"')}" >/dev/null`,
  ];
  return (await sh(host, script.join('\n'))).trim().split('\n');
}

test(
  'disks of every kind arrive as they are made: layouts, pools, floppies, encrypted ones, paths that are written in other ways',
  { timeout: 180_000 },
  async () => {
    const secret = 'aaaaaaaa-1111-1111-1111-111111111111';
    for (const host of ['host1', 'host2']) {
      await sh(
        host,
        `echo "<secret ephemeral='no' private='no'><uuid>${secret}</uuid><usage type='volume'>` +
          '<volume>/kinds</volume></usage></secret>" > /root/secret.xml; virsh -q secret-define ' +
          `/root/secret.xml; virsh -q secret-set-value ${secret} --base64 c2VjcmV0 2>/dev/null`,
      );
    }
    const encryption = `<encryption format='luks'><secret type='passphrase' uuid='${secret}'/></encryption>`;
    const layouts = {
      small: 'cluster_size=4096,lazy_refcounts=on',
      old: 'compat=0.10',
      split: 'cluster_size=128k,extended_l2=on',
    };
    for (const [file, options] of Object.entries(layouts))
      await sh(
        'host1',
        `cd ${images}; qemu-img create -q -f qcow2 -o ${options} kinds-${file} 8M; qemu-io -f qcow2 -c ` +
          `'write -P 5 1M 1M' kinds-${file} >/dev/null`,
      );
    await sh(
      'host1',
      `cd ${images}; for i in slashed parent; do qemu-img create -q -f qcow2 kinds-$i 8M; qemu-io -f ` +
        `qcow2 -c 'write -P 6 1M 1M' kinds-$i >/dev/null; done; qemu-img create -q -f raw kinds-pooled 8M; ` +
        `qemu-img create -q -f raw kinds-floppy 1440k; for i in pooled floppy; do qemu-io -f raw -c 'write ` +
        `-P 7 64k 64k' kinds-$i >/dev/null; done`,
    );
    // QEMU measures how long a key takes, and fails on a busy host
    await sh(
      'host1',
      'echo "<volume><name>kinds-locked</name><capacity>8388608</capacity><target><format ' +
        `type='raw'/>${encryption}</target></volume>" > /root/v.xml; for i in 1 2 3 4 5 6; do virsh -q ` +
        'vol-create default /root/v.xml && break; done',
    );
    await sh(
      'host1',
      `cd ${images}; qemu-io --object secret,id=s,data=secret -c 'write -P 8 1M 1M' --image-opts ` +
        'driver=luks,key-secret=s,file.filename=kinds-locked >/dev/null; virsh -q pool-refresh default',
    );
    const target = (dev: string): string => `<target dev='${dev}' bus='virtio'/>`;
    const disks = [
      ...Object.keys(layouts).map((file, index) =>
        diskOf(`${images}/kinds-${file}`, target(`vd${'abc'[index] ?? ''}`)),
      ),
      `<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='default' ` +
        `volume='kinds-pooled'/>${target('vdd')}</disk>`,
      diskOf('/var/lib/libvirt/images//kinds-slashed', target('vde')),
      diskOf('/var/lib/libvirt/images/../images/kinds-parent', target('vdf')),
      diskOf(`${images}/kinds-locked`, `${target('vdg')}${encryption}`, "<driver name='qemu' type='raw'/>"),
      `<disk type='file' device='floppy'><driver name='qemu' type='raw'/><source ` +
        `file='${images}/kinds-floppy'/><target dev='fda' bus='fdc'/></disk>`,
    ];
    await define('kinds', disks.join(''));
    const definition = async (host: string): Promise<readonly string[]> =>
      (await virsh(lab, host, ['dumpxml', '--inactive', 'kinds'])).match(/<disk [^]*?<\/disk>/g) ?? [];
    const before = await definition('host1');
    assert.ok(before.some((xml) => xml.includes('images//kinds-slashed')));
    // a link on the other host would lead elsewhere, so that one is written plainly there
    const plainly = before.map((xml) => xml.replace('images/../images', 'images'));
    await virsh(lab, 'host1', ['start', 'kinds']);
    await seen('kinds', 'running');
    const had = await inside('host1', 'kinds');
    assert.equal(had.length, 8);

    const live = await move('kinds');
    assert.deepEqual(
      [live.vmIsNow?.host, live.disks?.map(({ how }) => how)],
      ['host2', Array.from({ length: 8 }, () => 'copy')],
    );
    assert.deepEqual(await inside('host2', 'kinds'), had);
    assert.deepEqual(await definition('host2'), plainly);
    const layoutOf = async (host: string, file: string): Promise<readonly unknown[]> => {
      const {
        'cluster-size': cluster,
        'format-specific': { data },
      } = JSON.parse(await sh(host, `qemu-img info -U --output=json ${images}/kinds-${file}`)) as {
        readonly 'cluster-size': number;
        readonly 'format-specific': { readonly data: Readonly<Record<string, unknown>> };
      };
      return [cluster, data['compat'], data['lazy-refcounts'] ?? false, data['extended-l2'] ?? false];
    };
    for (const file of Object.keys(layouts))
      assert.deepEqual(await layoutOf('host2', file), await layoutOf('host1', file), file);
    assert.match(await sh('host2', `qemu-img info -U ${images}/kinds-locked`), /file format: luks/);

    await virsh(lab, 'host2', ['destroy', 'kinds']);
    await seen('kinds', 'shut-off');
    const cold = await move('kinds');
    assert.equal(cold.vmIsNow?.host, 'host1');
    await virsh(lab, 'host1', ['start', 'kinds']);
    assert.deepEqual(await inside('host1', 'kinds'), had);
    assert.deepEqual(await definition('host1'), plainly);
    await gone('kinds', `${images}/kinds-*`);
    for (const host of ['host1', 'host2']) await virsh(lab, host, ['secret-undefine', secret]);
  },
);

test(
  'space is checked for what a copy may take; what only the header of an image says is not lost',
  { timeout: 120_000 },
  async () => {
    await sh(
      'host1',
      `cd ${images}; qemu-img create -q -f qcow2 -o cluster_size=512 room.qcow2 64M; for i in $(seq 0 ` +
        '63); do echo "write -P 3 $((i * 128))k 512"; done | qemu-io -f qcow2 room.qcow2 >/dev/null',
    );
    await sh(
      'host1',
      `cd ${images}; qemu-img create -q -f qcow2 room.base 64M; qemu-io -f qcow2 -c 'write -P 4 0 16M' ` +
        'room.base >/dev/null; qemu-img create -q -f qcow2 -b room.base -F qcow2 room.top',
    );
    await sh('host2', `mount -t tmpfs -o size=3M tmpfs ${images}; virsh -q pool-refresh default`);
    const refused = async (name: string): Promise<string> => {
      const ran = await plane.ferry('vm', 'migrate', name);
      assert.equal(ran.code, 4, ran.stdout + ran.stderr);
      return ran.stderr;
    };
    await define('room', diskOf(`${images}/room.top`));
    assert.match(await refused('room'), /pool default on host2 has 3\.0 MiB free.*take up to 16\.\d MiB/);
    await virsh(lab, 'host1', ['undefine', 'room']);
    await define('room', diskOf(`${images}/room.qcow2`));
    await virsh(lab, 'host1', ['start', 'room']);
    await seen('room', 'running');
    assert.match(await refused('room'), /take up to \d+\.\d MiB there, .*small clusters/);
    await virsh(lab, 'host1', ['destroy', 'room']);
    await seen('room', 'shut-off');
    assert.equal((await move('room')).vmIsNow?.host, 'host2', 'the file itself is small');
    assert.match(await sh('host2', `qemu-img info --output=json ${images}/room.qcow2`), /"cluster-size": 512/);
    await virsh(lab, 'host2', ['undefine', 'room']);
    await sh('host2', `${unmount(images)}; virsh -q pool-refresh default`);

    await sh(
      'host1',
      `cd ${images}; rm -f room.*; qemu-img create -q -f qcow2 -o ` +
        `data_file=${images}/room.data,data_file_raw=on room.qcow2 64M; qemu-io -f qcow2 -c 'write -P 9 1M ` +
        `2M' room.qcow2 >/dev/null; qemu-img convert -O raw room.qcow2 ${shared}/room.expected`,
    );
    await define('room', diskOf(`${images}/room.qcow2`));
    const plan = await plane.ferry('vm', 'migrate', 'room', '--dry-run');
    assert.match(plan.stdout, /copy of vda loses the data file/);
    assert.equal((await move('room')).vmIsNow?.host, 'host2');
    await virsh(lab, 'host2', ['start', 'room']);
    await sameInside('host2', 'room');
    await virsh(lab, 'host2', ['destroy', 'room']);
    // a snapshot that libvirt knows nothing of
    await sh('host2', `qemu-img snapshot -c mine ${images}/room.qcow2; virsh -q start room`);
    await seen('room', 'running');
    assert.match(await refused('room'), /snapshots inside its file/);
    await virsh(lab, 'host2', ['destroy', 'room']);
    await seen('room', 'shut-off');
    assert.equal((await move('room')).vmIsNow?.host, 'host1');
    assert.match(await sh('host1', `qemu-img snapshot -l ${images}/room.qcow2`), /mine/);
    await gone('room', `${images}/room.*`);
  },
);
