// Records what libvirt's own client and daemon say to each other, as golden bytes for golden.test.ts.
//
//   node packages/libvirt/test/golden/capture.ts        (Debian packages: libvirt-daemon, libvirt-clients,
// qemu-system-x86)
//
// Starts a libvirtd of its own, puts a recording proxy before its socket and lets virsh, that is libvirt's C library,
// walk through the calls of this package, on the test driver and on a guest without disks and operating system. One
// frame of each content is kept; other procedures, keepalive, long texts and what names the machine are left out. Look
// through frames.json before you commit it.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventKinds } from '../../src/events.ts';
import { createFrameParser, FrameStatus, FrameType, Program } from '../../src/frame.ts';
import type { Frame } from '../../src/frame.ts';
import { procedures } from '../../src/procedures.ts';
import { startPrivateLibvirtd } from '../private-libvirtd.ts';

const run = promisify(execFile);
const MAX_FRAME_BYTES = 4000;
const NAMES_THE_MACHINE = [procedures.connectGetHostname.number, procedures.connectGetCapabilities.number];
const keyOf = (program: number, procedure: number): string => `${program}/${procedure}`;
const procedureNames = new Map(
  Object.values(procedures).map(({ program, number, name }) => [keyOf(program, number), name]),
);
const eventNames = new Map(eventKinds.map(({ procedure, eventId }) => [procedure, `event ${eventId}`]));

interface Recorded {
  readonly from: 'client' | 'server';
  readonly what: string;
  readonly hex: string;
}

await using daemon = await startPrivateLibvirtd(['host_uuid = "01234567-89ab-4cde-8f01-0123456789aa"']);
await using second = await startPrivateLibvirtd(['host_uuid = "01234567-89ab-4cde-8f01-0123456789ab"']);
const recorded = new Map<string, Recorded>();

const record = (from: Recorded['from']) => {
  const parser = createFrameParser();
  return (chunk: Buffer): void => {
    parser.push(chunk, (frame) => {
      const what = whatOf(frame);
      if (what === undefined || frame.payload.length > MAX_FRAME_BYTES) return;
      const key = `${from} ${what} ${frame.payload.toString('hex')}`;
      if (!recorded.has(key)) recorded.set(key, { from, what, hex: hexOf(frame) });
    });
  };
};

const recordingProxy = async ({ directory, socket }: { readonly directory: string; readonly socket: string }) => {
  const path = join(directory, 'proxy');
  const server = createServer((near) => {
    const far = connect(socket);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.on('data', record('client'));
    far.on('data', record('server'));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  return { path, server };
};
const proxy = await recordingProxy(daemon);
const secondProxy = await recordingProxy(second);
const proxySocket = proxy.path;

try {
  const testDriver = `test+unix:///default?socket=${proxySocket}`;
  const qemuDriver = `qemu+unix:///session?socket=${proxySocket}`;
  const xml = join(daemon.directory, 'golden.xml');
  const domainXml = (type: string, devices = ''): string =>
    `<domain type='${type}'><name>golden</name><uuid>01234567-89ab-4cde-8f01-23456789abcd</uuid><memory unit='MiB'>64</memory>` +
    `<vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os><features><acpi/></features>${devices}</domain>`;
  const virsh = async (uri: string, ...commands: readonly string[]): Promise<void> => {
    for (const command of commands) {
      // refusals are wanted too
      await run('virsh', ['-c', uri, ...command.split(' ')], { timeout: 30_000 }).catch((error: Error) =>
        process.stderr.write(`${error.message}\n`),
      );
    }
  };

  writeFileSync(xml, domainXml('test'));
  const listening = virsh(testDriver, 'event --all --loop --timeout 5');
  await virsh(
    testDriver,
    'hostname',
    'version --daemon',
    'nodeinfo',
    'freecell',
    `define ${xml} --validate`,
    'list --all --name',
    'start golden --force-boot',
    'dumpxml golden',
  );
  await virsh(
    testDriver,
    'domstate golden --reason',
    'dominfo golden',
    'domid golden',
    'domuuid golden',
    'domstats --nowait golden',
    'suspend golden',
    'resume golden',
  );
  await virsh(
    testDriver,
    'desc golden --title words',
    'metadata golden urn:example:marker --key m --set <marker/>',
    'metadata golden urn:example:marker',
  );
  await virsh(
    testDriver,
    'domjobinfo golden',
    'domjobabort golden',
    'domjobabort golden --postcopy',
    'reboot golden',
    'destroy golden --graceful',
    'undefine golden',
    `create ${xml}`,
    'destroy golden',
    'dominfo nosuch',
  );
  writeFileSync(
    xml,
    domainXml(
      'test',
      "<devices><disk type='file' device='disk'><source file='/golden/vda'/><target dev='vda'/></disk></devices>",
    ),
  );
  await virsh(
    testDriver,
    `define ${xml}`,
    'autostart golden',
    'autostart golden --disable',
    'dominfo golden',
    'domblkinfo golden vda',
    'start golden',
    'managedsave golden',
    'managedsave-remove golden',
    'start golden',
  );
  await virsh(
    testDriver,
    'snapshot-create-as golden one',
    'snapshot-create-as golden two',
    'snapshot-list golden --topological',
    'snapshot-dumpxml golden one --security-info',
  );
  await virsh(
    testDriver,
    'snapshot-info golden two',
    'snapshot-delete golden two',
    'snapshot-delete golden one',
    'checkpoint-create-as golden point',
    'checkpoint-list golden --topological',
    'checkpoint-dumpxml golden point',
    'checkpoint-delete golden point',
  );
  const pool = join(daemon.directory, 'pool.xml');
  const volume = join(daemon.directory, 'volume.xml');
  writeFileSync(
    pool,
    "<pool type='dir'><name>folder</name><uuid>01234567-89ab-4cde-8f01-23456789abce</uuid><target><path>/golden</path></target></pool>",
  );
  writeFileSync(volume, '<volume><name>disk</name><capacity>1048576</capacity><allocation>0</allocation></volume>');
  await virsh(
    testDriver,
    `pool-create ${pool}`,
    'pool-list --all --details',
    'pool-info folder',
    'pool-refresh folder',
    'pool-dumpxml folder',
    `vol-create folder ${volume}`,
    'vol-list folder',
  );
  await virsh(
    testDriver,
    'vol-info disk folder',
    'vol-info /golden/disk',
    'vol-dumpxml disk folder',
    'vol-pool /golden/disk',
    'vol-delete disk folder',
    'pool-destroy folder',
    'vol-info nosuch default-pool',
    'pool-list --type dir',
  );
  const net = join(daemon.directory, 'net.xml');
  writeFileSync(
    net,
    "<network><name>golden-net</name><uuid>01234567-89ab-4cde-8f01-23456789abcf</uuid><bridge name='golden0'/></network>",
  );
  await virsh(
    testDriver,
    `net-define ${net}`,
    'net-start golden-net',
    'net-list --all',
    'net-info golden-net',
    'net-dumpxml golden-net',
    'net-autostart golden-net',
    'net-destroy golden-net',
    'net-undefine golden-net',
    'iface-list --all',
  );
  await virsh(
    testDriver,
    'destroy golden',
    'undefine golden --snapshots-metadata --checkpoints-metadata --managed-save',
  );
  await listening;

  writeFileSync(xml, domainXml('qemu'));
  const device = join(daemon.directory, 'device.xml');
  writeFileSync(
    device,
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-rng'/></rng>",
  );
  const alsoListening = virsh(qemuDriver, 'event --all --loop --timeout 15');
  await virsh(
    qemuDriver,
    'version',
    'capabilities',
    `define ${xml}`,
    'start golden --force-boot',
    'domjobinfo golden',
    'domjobabort golden',
  );
  await virsh(
    qemuDriver,
    'migrate-setmaxdowntime golden 300',
    'migrate-getmaxdowntime golden',
    'migrate-setspeed golden 64',
    'migrate-getspeed golden',
    'migrate-postcopy golden',
  );
  await virsh(
    qemuDriver,
    'domdirtyrate-calc golden --seconds 1',
    `attach-device golden ${device}`,
    'reboot golden',
    'setmem golden 32M --live',
    'domstats --nowait golden',
  );
  // no agent answers in this guest, and no system obeys the power button
  await virsh(
    qemuDriver,
    'domtime golden --time 1700000000',
    'domtime golden --sync',
    'shutdown golden --mode acpi',
    'qemu-monitor-command golden {"execute":"query-name"}',
    'qemu-monitor-command golden {"execute":"announce-self"}',
  );
  // nobody listens there: the source's daemon refuses
  await virsh(
    qemuDriver,
    'migrate --live --p2p --persistent golden qemu+tcp://127.0.0.2:1/session --migrateuri ' +
      'tcp://127.0.0.2 --bandwidth 64 --migrate-disks vda,vdb --copy-storage-all --parallel ' +
      '--parallel-connections 2',
    `save golden ${join(daemon.directory, 'saved')}`,
    `save-image-dumpxml ${join(daemon.directory, 'saved')}`,
    `save-image-define ${join(daemon.directory, 'saved')} ${xml}`,
    'domjobinfo golden --completed',
  );
  await alsoListening;
  const cpu = join(daemon.directory, 'cpu.xml');
  writeFileSync(cpu, "<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>");
  await virsh(
    qemuDriver,
    `hypervisor-cpu-compare ${cpu} --virttype qemu --arch x86_64 --error`,
    `hypervisor-cpu-baseline ${cpu} --virttype qemu --arch x86_64`,
    'domcapabilities --virttype qemu --arch x86_64',
    'sysinfo',
    'freepages --cellno 0 --pagesize 4',
  );
  const secret = join(daemon.directory, 'secret.xml');
  const secretUuid = '01234567-89ab-4cde-8f01-23456789abd0';
  writeFileSync(
    secret,
    `<secret ephemeral='no' private='no'><uuid>${secretUuid}</uuid><usage type='iscsi'><target>golden</target></usage></secret>`,
  );
  await virsh(testDriver, 'nodedev-list --cap net', 'nodedev-dumpxml computer', 'iface-dumpxml eth1');
  await virsh(
    qemuDriver,
    `secret-define ${secret}`,
    'secret-list',
    `secret-dumpxml ${secretUuid}`,
    `secret-set-value ${secretUuid} Z29sZGVu`,
    `secret-get-value ${secretUuid}`,
    `secret-undefine ${secretUuid}`,
  );
  // refused to this user, which the calls do not know
  writeFileSync(secret, "<filter name='golden'><uuid>01234567-89ab-4cde-8f01-23456789abd1</uuid></filter>");
  await virsh(qemuDriver, 'nwfilter-list', `nwfilter-define ${secret}`);
  // virsh drives: each of its calls is seen
  const elsewhere = `qemu+unix:///session?socket=${secondProxy.path}`;
  await virsh(
    qemuDriver,
    `define ${xml}`,
    'start golden',
    `migrate --live --persistent --undefinesource golden ${elsewhere} --migrateuri tcp://127.0.0.1 --listen-address 127.0.0.1`,
  );
} finally {
  // the guest would outlive its daemon
  await run('virsh', ['-c', `qemu+unix:///session?socket=${daemon.socket}`, 'destroy', 'golden']).catch(() => {});
  await run('virsh', ['-c', `qemu+unix:///session?socket=${second.socket}`, 'destroy', 'golden']).catch(() => {});
  proxy.server.close();
  secondProxy.server.close();
}

const file = join(import.meta.dirname, 'frames.json');
const { stdout } = await run('virsh', ['--version']);
const lines = [...recorded.values()].map((frame) => `    ${JSON.stringify(frame)}`);
writeFileSync(file, `{\n  "libvirt": ${JSON.stringify(stdout.trim())},\n  "frames": [\n${lines.join(',\n')}\n  ]\n}\n`);
process.stdout.write(`${lines.length} frames in ${file}\n`);

function whatOf(frame: Frame): string | undefined {
  if (frame.type === FrameType.MESSAGE)
    return frame.program === Program.REMOTE ? eventNames.get(frame.procedure) : undefined;
  const name = procedureNames.get(keyOf(frame.program, frame.procedure));
  if (name === undefined) return undefined;
  if (frame.type !== FrameType.CALL && frame.program === Program.REMOTE && NAMES_THE_MACHINE.includes(frame.procedure))
    return undefined;
  return frame.type === FrameType.CALL
    ? `${name} call`
    : `${name} ${frame.status === FrameStatus.OK ? 'reply' : 'error'}`;
}

function hexOf(frame: Frame): string {
  const header = Buffer.alloc(28);
  const { program, version, procedure, type, serial, status, payload } = frame;
  [payload.length + 28, program, version, procedure, type, serial, status].forEach((word, index) =>
    header.writeUInt32BE(word, index * 4),
  );
  return Buffer.concat([header, payload]).toString('hex');
}
