/**
 * Files on real hosts that are not the VM's own, or not proved to be: a move writes over none of them, deletes none,
 * and says whose they are. What moves leave behind is listed, and purged only while nobody uses it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execCommand, run, virsh, vmCreate, vmDelete, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { images } from './storage-fixture.ts';

let lab: LabRef;
let plane: ControlPlane;
let fleet: Fleet;
let move: Fleet['move'];
let seen: Fleet['seen'];
let sh: Fleet['sh'];
withFleet((made) => {
  fleet = made;
  ({ lab, plane, move, seen, sh } = made);
});

const nvramFolder = '/var/lib/libvirt/qemu/nvram';
const saveFolder = '/var/lib/libvirt/qemu/save';
const inactive = (host: string, name: string): Promise<string> =>
  virsh(lab, host, ['dumpxml', '--inactive', '--security-info', name]);
const define = (host: string, xml: string): Promise<string> =>
  run(execCommand(lab, host, ['bash', '-ec', 'cat >/tmp/define.xml; virsh -q define /tmp/define.xml']), { input: xml });
const shutOff = async (
  name: string,
  change: (xml: string) => string = (xml) => xml,
  disk: 'local' | 'none' = 'local',
): Promise<string> => {
  await vmCreate(lab, {
    name,
    host: 'host1',
    disk,
    ...(disk === 'local' ? { workload: 'disk' as const } : {}),
    until: 'defined',
  });
  const xml = change(await inactive('host1', name));
  await define('host1', xml);
  await seen(name, 'shut-off');
  return xml;
};
/** The same definition for another VM. */
const asOther = (xml: string, name: string, digit: string): string =>
  xml
    .replace(/<uuid>.*<\/uuid>/, `<uuid>${digit.repeat(8)}-0000-4000-8000-000000000000</uuid>`)
    .replace(/<name>.*<\/name>/, `<name>${name}</name>`)
    .replace(/<mac address='..:..:..:..:..:..'/, `<mac address='52:54:00:00:00:0${digit}'`);
async function refusal(name: string, ...options: readonly string[]): Promise<string> {
  const ran = await plane.ferry('vm', 'migrate', name, ...options);
  assert.equal(ran.code, 4, ran.stdout + ran.stderr);
  return ran.stderr;
}
const contentOf = (host: string, path: string): Promise<string> =>
  sh(host, `sha256sum <${path}; stat -c '%i %s' ${path}`);
const leftovers = async (vm: string): Promise<readonly string[]> =>
  (
    await plane.json<
      readonly { readonly host: string; readonly path: string; readonly vm: { readonly name: string } }[]
    >('volume', 'leftovers')
  )
    .filter((each) => each.vm.name === vm)
    .map(({ host, path }) => `${host} ${path}`);
const firmware =
  (nvram: string) =>
  (xml: string): string =>
    xml.replace(
      '<kernel>',
      `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram ` +
        `template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${nvram}</nvram><kernel>`,
    );

test(
  'saved memory of another VM of the same name, and memory that nobody knows: refused before anything is written',
  { timeout: 120_000 },
  async () => {
    const xml = await shutOff('twin');
    const uuid = /<uuid>(.*)<\/uuid>/.exec(xml)?.[1] ?? '';
    await sh('host1', `echo mine >${saveFolder}/twin.save`);
    await sh('host2', `mkdir -p ${saveFolder}; echo theirs >${saveFolder}/twin.save`);
    const before = await contentOf('host2', `${saveFolder}/twin.save`);
    await define('host2', asOther(xml, 'twin', '1'));
    await waitFor(
      'both to be seen',
      async () =>
        (await plane.json<readonly { name: string }[]>('vm', 'list')).filter(({ name }) => name === 'twin').length === 2
          ? true
          : undefined,
      { timeoutMs: 10_000 },
    );
    assert.match(await refusal(uuid, '--to', 'host2'), /host2 has another VM named twin \(11111111-/);
    assert.equal(await contentOf('host2', `${saveFolder}/twin.save`), before);
    // that of a VM which is not defined there any more
    await sh('host2', `rm ${saveFolder}/twin.save; virsh -q undefine twin; echo theirs >${saveFolder}/twin.save`);
    const orphan = await contentOf('host2', `${saveFolder}/twin.save`);
    await waitFor(
      'one to be seen',
      async () =>
        (await plane.json<readonly { name: string }[]>('vm', 'list')).filter(({ name }) => name === 'twin').length === 1
          ? true
          : undefined,
      { timeoutMs: 10_000 },
    );
    // its own is no memory that a guest could go on with
    assert.match(await refusal('twin', '--to', 'host2'), /the saved memory of twin on host1 needs cannot be read/);
    assert.equal(await contentOf('host2', `${saveFolder}/twin.save`), orphan);
    // also for one that is shut off and has no memory of its own: its next start would meet it
    await sh('host1', `rm ${saveFolder}/twin.save`);
    assert.match(
      await refusal('twin', '--to', 'host2'),
      /twin\.save on host2, where the saved memory of twin would be, and nothing proves that it is this VM's: Ferry has no record of it/,
    );
    assert.equal(await contentOf('host2', `${saveFolder}/twin.save`), orphan);
    assert.equal(await sh('host2', `ls ${images}`), '');
    await sh('host2', `rm ${saveFolder}/twin.save`);
    assert.equal((await move('twin', '--to', 'host2')).outcome, 'succeeded');
    await vmDelete(lab, 'twin');
  },
);

test(
  'UEFI variables that only the next start of a running guest has: they travel, there and back; a file that nobody knows is in the way',
  { timeout: 120_000 },
  async () => {
    const file = `${nvramFolder}/later_VARS.fd`;
    await vmCreate(lab, { name: 'later', host: 'host1' });
    await seen('later', 'running');
    await define('host1', firmware(file)(await inactive('host1', 'later')));
    for (const host of ['host1', 'host2'])
      await sh(host, `mkdir -p ${nvramFolder}; echo ${host} | cat /usr/share/OVMF/OVMF_VARS_4M.fd - >${file}`);
    const theirs = await contentOf('host2', file);
    assert.match(await refusal('later', '--to', 'host2'), /later_VARS\.fd on host2, where the UEFI variables of later/);
    assert.equal(await contentOf('host2', file), theirs);
    await sh('host2', `rm ${file}`);
    const sum = (host: string): Promise<string> => sh(host, `sha256sum <${file}`);
    for (const [from, to] of [
      ['host1', 'host2'],
      ['host2', 'host1'],
    ] as const) {
      await sh(from, `echo changed on ${from} >>${file}`);
      const before = await sum(from);
      assert.equal((await move('later', '--to', to)).outcome, 'succeeded');
      assert.equal(await sum(to), before);
      assert.ok((await inactive(to, 'later')).includes(file));
    }
    assert.deepEqual(await leftovers('later'), [`host2 ${file}`]);
    await vmDelete(lab, 'later');
  },
);

test(
  "UEFI variables at a path that is another VM's, or nobody's: refused live and cold; there and back when they are its own",
  { timeout: 240_000 },
  async () => {
    const nvram = `${nvramFolder}/before-the-rename_VARS.fd`;
    const xml = await shutOff('uefi', firmware(nvram), 'none');
    await sh('host2', `mkdir -p ${nvramFolder}; (echo theirs; head -c 540665 /dev/zero) >${nvram}`);
    const theirs = await contentOf('host2', nvram);
    await define('host2', asOther(xml, 'other', '2'));
    await virsh(lab, 'host1', ['start', 'uefi'], { timeoutMs: 60_000 });
    await seen('uefi', 'running');
    await seen('other', 'shut-off');
    const inUse =
      /before-the-rename_VARS\.fd on host2, where the UEFI variables of uefi would be, is part of other there/;
    assert.match(await refusal('uefi', '--to', 'host2'), inUse);
    assert.match(await refusal('uefi', '--to', 'host2', '--direct'), inUse);
    await sh('host2', 'virsh -q undefine other --keep-nvram');
    await waitFor(
      'the other to be gone',
      async () => ((await plane.ferry('vm', 'show', 'other')).code === 6 ? true : undefined),
      { timeoutMs: 10_000 },
    );
    assert.match(
      await refusal('uefi', '--to', 'host2'),
      /nothing proves that it is this VM's: Ferry has no record of it/,
    );
    await virsh(lab, 'host1', ['destroy', 'uefi']);
    await seen('uefi', 'shut-off');
    assert.match(await refusal('uefi', '--to', 'host2'), /nothing proves that it is this VM's/);
    assert.equal(await contentOf('host2', nvram), theirs);
    await sh('host2', `rm ${nvram}`);
    assert.equal((await move('uefi', '--to', 'host2')).outcome, 'succeeded');
    assert.deepEqual(await leftovers('uefi'), [`host1 ${nvram}`]);
    await virsh(lab, 'host2', ['start', 'uefi'], { timeoutMs: 60_000 });
    await seen('uefi', 'running');
    // live back, over what the cold move left, and there again over what the live one left
    for (const [to, from] of [
      ['host1', 'host2'],
      ['host2', 'host1'],
    ] as const) {
      assert.deepEqual((await move('uefi', '--to', to)).vmIsNow, { host: to, state: 'running' });
      assert.deepEqual(await leftovers('uefi'), [`${from} ${nvram}`]);
    }
    // one that somebody changed since is not its own any more
    await sh('host1', `echo changed | dd of=${nvram} conv=notrunc status=none`);
    assert.match(await refusal('uefi', '--to', 'host1'), /it was changed since a migration left it/);
    assert.equal((await plane.ferry('volume', 'leftovers', '--purge', '--path', nvram)).code, 8);
    await sh('host1', `rm ${nvram}`);
    await plane.json('volume', 'leftovers', '--purge', '--path', nvram);
    await virsh(lab, 'host2', ['destroy', 'uefi']);
    await sh('host2', 'virsh -q undefine uefi --nvram');
  },
);

test(
  '--copy-media: what is at the place stays, in a folder without a pool too, and one that is not started; there and back, and purged',
  { timeout: 240_000 },
  async () => {
    const folder = '/var/lib/libvirt/media';
    const iso = `${folder}/seed.iso`;
    await sh('host1', `mkdir -p ${folder}; head -c 300000 /dev/urandom >${iso}`);
    await shutOff(
      'media',
      (xml) =>
        xml.replace(
          '</devices>',
          `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${iso}'/>` +
            `<target dev='sda' bus='sata'/><readonly/></disk></devices>`,
        ),
      'none',
    );
    await sh('host2', `mkdir -p ${folder}; echo theirs >${iso}`);
    const theirs = await contentOf('host2', iso);
    assert.match(
      await refusal('media', '--to', 'host2', '--copy-media'),
      /host2 already has something at .*seed\.iso.*Ferry has no record of it/s,
    );
    await sh('host2', `virsh -q pool-define-as media dir --target ${folder}`);
    assert.match(
      await refusal('media', '--to', 'host2', '--copy-media'),
      /host2 already has something at .*seed\.iso/s,
    );
    assert.equal(await contentOf('host2', iso), theirs);
    await sh('host2', `rm ${iso}; virsh -q pool-start media`);
    const sum = await sh('host1', `sha256sum <${iso}`);
    for (const to of ['host2', 'host1', 'host2']) {
      assert.equal((await move('media', '--to', to, '--copy-media')).outcome, 'succeeded', to);
      assert.equal(await sh(to, `sha256sum <${iso}`), sum);
      assert.deepEqual(await leftovers('media'), [`${to === 'host1' ? 'host2' : 'host1'} ${iso}`]);
    }
    // another VM's drive has it: it stays
    await define('host1', asOther(await inactive('host2', 'media'), 'reader', '3'));
    assert.match(
      (await plane.ferry('volume', 'leftovers', '--purge', '--path', iso)).stderr,
      /seed\.iso on host1 is a disk of reader/,
    );
    assert.match(await refusal('media', '--to', 'host1', '--copy-media'), /which is a disk of reader there/);
    await virsh(lab, 'host1', ['undefine', 'reader']);
    await plane.json('volume', 'leftovers', '--purge', '--path', iso);
    assert.equal(await sh('host1', `ls ${folder}`), '');
    await sh('host2', `virsh -q undefine media; rm ${iso}; virsh -q pool-destroy media; virsh -q pool-undefine media`);
  },
);

test(
  'a disk that others use is not copied away, replaced or deleted; nor is a base that another chain needs',
  { timeout: 240_000 },
  async () => {
    const path = `${images}/mine.qcow2`;
    const xml = await shutOff('mine');
    // the path is spelled in another way, and the other VM does not run
    await define('host1', asOther(xml, 'second', '4').replace(path, `/var/lib/libvirt//images/../images/mine.qcow2`));
    assert.match(
      await refusal('mine', '--to', 'host2'),
      /mine's disk vda \(.*mine\.qcow2\) is a disk of second on host1, too: the two copies would diverge/,
    );
    await virsh(lab, 'host1', ['undefine', 'second']);
    await define(
      'host1',
      xml.replace(/(<target dev='vda'[^>]*>)/, '$1<shareable/>').replace(/type='qcow2'/, "type='raw'"),
    );
    assert.match(
      await refusal('mine', '--to', 'host2'),
      /is shareable: a copy on host2 would miss what others write on host1/,
    );
    await define('host1', xml);
    // a chain that only the images tell
    await sh(
      'host1',
      `cd ${images}; qemu-img create -q -f qcow2 -b mine.qcow2 -F qcow2 clone.qcow2; qemu-img create -q ` +
        '-f qcow2 -b clone.qcow2 -F qcow2 clone2.qcow2',
    );
    await define('host1', asOther(xml, 'clone', '5').replace(path, `${images}/clone2.qcow2`));
    assert.match(
      await refusal('mine', '--to', 'host2', '--delete-source-disks'),
      /cannot be deleted on host1: it is a base image of clone/,
    );
    assert.equal((await move('mine', '--to', 'host2')).outcome, 'succeeded');
    const base = await contentOf('host1', path);
    const purge = await plane.ferry('volume', 'leftovers', '--purge', '--path', path);
    assert.equal(purge.code, 8, purge.stdout);
    assert.match(purge.stderr, /mine\.qcow2 on host1 is a base image of clone/);
    assert.match(
      await refusal('mine', '--to', 'host1'),
      /would be copied to .*mine\.qcow2 on host1, which is a base image of clone there/,
    );
    assert.match(
      await refusal('mine', '--to', 'host1', '--use-existing-volumes'),
      /which is a base image of clone there/,
    );
    assert.equal(await contentOf('host1', path), base);
    await virsh(lab, 'host1', ['undefine', 'clone']);
    await sh('host1', `rm ${images}/clone.qcow2 ${images}/clone2.qcow2`);
    // a definition that names a place where nothing is: its next start would open what is copied there
    await sh('host1', `rm ${path}`);
    await define('host1', asOther(xml, 'waiting', '6'));
    assert.match(await refusal('mine', '--to', 'host1'), /which is a disk of waiting there/);
    await virsh(lab, 'host1', ['undefine', 'waiting']);
    assert.equal((await move('mine', '--to', 'host1')).outcome, 'succeeded');
    await vmDelete(lab, 'mine');
  },
);

test(
  'a folder behind a symbolic link is the same one: a disk that another VM has by it is neither copied away nor purged',
  { timeout: 120_000 },
  async () => {
    const xml = await shutOff('linked');
    await sh('host1', `ln -s ${images} /var/lib/behind`);
    const byLink = asOther(xml, 'by-link', '5').replaceAll(`'${images}/linked`, "'/var/lib/behind/linked");
    assert.match(byLink, /\/var\/lib\/behind\/linked\.qcow2/);
    await define('host1', byLink);
    assert.match(
      await refusal('linked', '--to', 'host2'),
      /linked's disk vda \(.*linked\.qcow2\) is a disk of by-link on host1, too: the two copies would diverge/,
    );
    await virsh(lab, 'host1', ['undefine', 'by-link']);
    assert.equal((await move('linked', '--to', 'host2')).outcome, 'succeeded');
    const path = `${images}/linked.qcow2`;
    assert.deepEqual(await leftovers('linked'), [`host1 ${path}`]);
    await define('host1', byLink);
    const purge = ['volume', 'leftovers', '--purge', '--path', path];
    assert.match((await plane.ferry(...purge)).stderr, /linked\.qcow2 on host1 is a disk of by-link/);
    assert.equal((await sh('host1', `ls ${path}`)).trim(), path);
    // and neither is it replaced by what comes back
    assert.match(await refusal('linked', '--to', 'host1'), /which is a disk of by-link there/);
    await virsh(lab, 'host1', ['undefine', 'by-link']);
    await plane.json(...purge);
    assert.equal((await sh('host1', `ls ${images}`)).trim(), '', 'no marker either');
    await sh('host1', 'rm /var/lib/behind');
    await vmDelete(lab, 'linked');
  },
);

test(
  'leftovers of a host that was removed and added again are its own; a record that cannot be purged does not keep the others',
  { timeout: 120_000 },
  async () => {
    for (const name of ['first', 'last']) {
      await shutOff(name);
      assert.equal((await move(name, '--to', 'host2')).outcome, 'succeeded');
    }
    const uri = fleet.temporary.status.hosts.find(({ name }) => name === 'host1')?.uri ?? assert.fail('no host1');
    await plane.json('host', 'remove', 'host1');
    const unknown = await plane.ferry('volume', 'leftovers', '--purge', '--host', 'host1');
    assert.equal(unknown.code, 6);
    assert.match(unknown.stderr, /host1.* is no longer in the fleet/s);
    await plane.json('host', 'add', uri, '--name', 'host1');
    await sh('host1', `qemu-io -f qcow2 -c 'write 0 64k' ${images}/first.qcow2 >/dev/null`);
    const ran = await plane.ferry('volume', 'leftovers', '--purge', '--host', 'host1');
    assert.equal(ran.code, 8, ran.stdout + ran.stderr);
    assert.match(ran.stderr, /first\.qcow2 on host1 was changed after migration/);
    assert.equal((await sh('host1', `ls ${images}`)).trim(), 'first.qcow2', 'the other one went');
    assert.equal((await move('last', '--to', 'host1')).outcome, 'succeeded');
    for (const name of ['first', 'last']) await vmDelete(lab, name);
  },
);
