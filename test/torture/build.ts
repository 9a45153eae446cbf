/**
 * A scenario on the hosts of a lab: images, media, variables, definitions, VMs in their states; and away again with all
 * of it. Each host gets one script. Guests have nothing to boot, so they run (SeaBIOS looks for a disk and waits) and
 * write nothing.
 */
import { dirname } from 'node:path';
import { execCommand, run, type LabRef } from '@ferry/lab';
import {
  chainOf,
  diskKib,
  folders,
  lunPath,
  mediumKib,
  memoryMib,
  nbdPort,
  nvramPath,
  passphrase,
  pathOf,
  poolOf,
  spelledPath,
  torturedHosts,
  tpmFolder,
  type Disk,
  type HostName,
  type Image,
  type Medium,
  type Scenario,
  type SecretThere,
  type TorturedVm,
} from './scenario.ts';

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;');
const bash = (lab: LabRef, host: HostName, lines: readonly string[], timeoutMs = 120_000): Promise<string> =>
  run(execCommand(lab, host, ['bash', '--norc', '-euc', lines.join('\n')]), { timeoutMs });
const virsh = 'virsh -q -c qemu:///system';

/** Pools, folders and the second bridge that all seeds use. */
export async function prepareHosts(lab: LabRef): Promise<void> {
  await Promise.all(
    torturedHosts.map((host) =>
      bash(lab, host, [
        `mkdir -p ${folders.second} ${folders.asleep} ${folders.bare} /var/lib/libvirt/qemu/nvram ${dirname(lunPath('x'))}`,
        'ip link add br1 type bridge; ip link set br1 up',
        ...(host === 'host1' ? [`mkdir -p ${folders.lone}`] : []),
        ...(['second', 'asleep'] as const).map(
          (name) => `${virsh} pool-define-as ${name} dir --target ${folders[name]} >/dev/null`,
        ),
        `${virsh} pool-start second >/dev/null`,
      ]),
    ),
  );
}

/** Resolves with the memory of the VM where it is saved. */
export async function build(lab: LabRef, scenario: Scenario): Promise<string | undefined> {
  const vms = [...scenario.others, scenario.vm];
  const made = new Set<string>();
  let memory: string | undefined;
  const buildOn = async (host: HostName): Promise<void> => {
    const here = vms.filter((vm) => vm.host === host);
    const foreign = scenario.foreign.filter((each) => each.host === host);
    const { small, secret } = scenario;
    await bash(lab, host, [
      ...(small?.host === host ? [`mount -t tmpfs -o size=${small.mib}M tmpfs ${folders[small.folder]}`] : []),
      ...(secret === undefined ? [] : secretLines(secret.uuid, secret.on[host])),
      ...[
        ...here.flatMap(({ disks, media }) =>
          [...disks.flatMap(({ image }) => chainOf(image)), ...media].map(({ folder }) => folders[folder]),
        ),
        ...foreign.map(({ path }) => dirname(path)),
      ].map((folder) => `mkdir -p ${folder}`),
      ...(scenario.awake.includes(host) ? [`${virsh} pool-start asleep >/dev/null`] : []),
      ...here.flatMap(({ disks }) => disks.flatMap(({ image }) => imageLines(image, host, made))),
      ...here.flatMap(({ media }) => media.map(mediumLine)),
      ...here.flatMap(({ nvram, uuid }) => (nvram === undefined ? [] : nvramLines(nvramPath(nvram), uuid))),
      ...foreign.map(({ path, byte }) => patternLine(path, byte, 640)),
      ...here.flatMap(({ disks }) => disks.flatMap((disk) => (disk.by === 'nbd' ? exportLines(disk) : []))),
      // pools know the files that were created without them
      `for pool in $(${virsh} pool-list --name); do ${virsh} pool-refresh $pool >/dev/null; done`,
    ]);
    for (const vm of here) {
      const saved = await buildVm(lab, vm, secret?.uuid);
      if (vm === scenario.vm) memory = saved;
    }
  };
  // a base on the shared file system is created for the first disk that needs it
  const [first, ...others] = torturedHosts;
  for (const { image } of scenario.vm.disks.filter(({ by }) => by === 'block')) await makeLun(lab, image);
  await buildOn(first);
  for (const host of others) await buildOn(host);
  return memory;
}

const secretLines = (uuid: string, there: SecretThere): readonly string[] =>
  there === 'missing'
    ? []
    : [
        `${virsh} secret-define <(echo "<secret ephemeral='no' private='${there === 'private' ? 'yes' : 'no'}'>` +
          `<uuid>${uuid}</uuid><usage type='volume'><volume>/torture</volume></usage></secret>") >/dev/null`,
        ...(there === 'empty'
          ? []
          : [`${virsh} secret-set-value ${uuid} --base64 $(printf %s ${passphrase} | base64) >/dev/null 2>&1`]),
      ];

const exportLines = ({ image }: Disk): readonly string[] => [
  `qemu-nbd --fork --persistent --shared=0 --bind=0.0.0.0 --port=${nbdPort} --export-name=${quoted(image.file)} ` +
    `--format=raw --cache=none --pid-file=/run/torture-nbd ${quoted(pathOf(image))}`,
];

/** One device, and a node of its own on each host, as with a SAN. */
async function makeLun(lab: LabRef, image: Image): Promise<void> {
  const made = await bash(lab, 'host1', [
    `mkdir -p ${folders[image.folder]}`,
    ...imageLines(image, 'host1', new Set()),
    `device=$(losetup --find --show ${quoted(pathOf(image))})`,
    'stat --format "%Hr %Lr" $device',
  ]);
  await Promise.all(
    torturedHosts.map((host) => bash(lab, host, [`mknod ${quoted(lunPath(image.file))} b ${made.trim()}`])),
  );
}

/** The image and its bases, deepest first; each file once. */
function imageLines(image: Image, host: HostName, made: Set<string>): readonly string[] {
  const path = pathOf(image);
  const place = image.folder === 'shared' ? path : `${host} ${path}`;
  if (made.has(place)) return [];
  made.add(place);
  const below = image.base === undefined ? [] : imageLines(image.base, host, made);
  const real = image.linkedTo === undefined ? path : `${folders[image.linkedTo]}/link-${image.file}`;
  const raw = image.format === 'raw';
  const node = quoted(
    `json:${JSON.stringify({
      driver: image.luks === true && raw ? 'luks' : image.format,
      ...(image.luks !== true
        ? {}
        : raw
          ? { 'key-secret': 'key' }
          : { encrypt: { format: 'luks', 'key-secret': 'key' } }),
      file: { driver: 'file', filename: real },
    })}`,
  );
  const key = image.luks === true ? `--object secret,id=key,data=${passphrase}` : '';
  const luks = image.luks !== true ? '' : raw ? lukses('') : `-o encrypt.format=luks ${lukses('encrypt.')}`;
  const create =
    `qemu-img create -q ${key} -f ${image.luks === true && raw ? 'luks' : image.format} ` +
    `${luks} ${image.create.map((option) => `-o ${option}`).join(' ')} ` +
    `${image.base === undefined ? '' : `-b ${quoted(pathOf(image.base))} -F ${image.base.format}`} ` +
    `${quoted(real)} ${diskKib}K`;
  const commands = image.writes.map(
    ({ op, byte, fromKib, kib }) =>
      `-c ${quoted(`${op === 'data' ? `write -q -P ${byte}` : op === 'zero' ? 'write -q -z' : 'discard -q'} ${fromKib}k ${kib}k`)}`,
  );
  return [
    ...below,
    create,
    `qemu-io ${key} -d unmap ${commands.join(' ')} ${node} >/dev/null`,
    ...(image.linkedTo === undefined ? [] : [`ln -s ${quoted(real)} ${quoted(path)}`]),
  ];
}

/** Few rounds, since a key is made for each image. */
const lukses = (prefix: string): string => `-o ${prefix}key-secret=key -o ${prefix}iter-time=10`;

const patternLine = (path: string, byte: number, kib: number): string =>
  `head -c ${kib}K /dev/zero | tr '\\0' '\\${byte.toString(8).padStart(3, '0')}' >${quoted(path)}`;
const mediumLine = (medium: Medium): string => patternLine(pathOf(medium), medium.byte, mediumKib);
/** Variables that differ from another VM's: QEMU's firmware does not read the end of its file. */
const nvramLines = (path: string, uuid: string): readonly string[] => [
  `cp /usr/share/OVMF/OVMF_VARS_4M.fd ${quoted(path)}`,
  `printf %s ${uuid} | dd of=${quoted(path)} bs=1 seek=$(($(stat -c %s ${quoted(path)}) - 64)) conv=notrunc status=none`,
];

async function buildVm(lab: LabRef, vm: TorturedVm, secret: string | undefined): Promise<string | undefined> {
  const define = (which: 'live' | 'inactive'): Promise<string> =>
    run(execCommand(lab, vm.host, ['bash', '-ec', `${virsh} define <(cat)`]), {
      input: definitionOf(vm, which, secret),
    });
  const on = (...args: readonly string[]): Promise<string> =>
    run(execCommand(lab, vm.host, ['virsh', '-q', '-c', 'qemu:///system', ...args]));
  const runs = vm.state !== 'shut-off';
  let memory: string | undefined;
  await define(runs ? 'live' : 'inactive');
  if (runs) {
    await on('start', vm.uuid, ...(vm.state === 'paused' ? ['--paused'] : []));
    if (vm.state === 'saved') memory = await save(lab, vm.host, vm.uuid);
    else if (vm.disks.some((disk) => disk.in !== 'both')) await define('inactive');
  }
  // its TPM is made by its first start
  if (!runs && vm.tpm === true) {
    await on('start', vm.uuid, '--paused');
    await on('destroy', vm.uuid);
  }
  if (vm.autostart) await on('autostart', vm.uuid);
  if (vm.snapshot) await on('snapshot-create-as', vm.uuid, 's1');
  return memory;
}

/** Its memory as it is, which nothing but itself is like: firmware writes the time of day into it. */
export async function memoryOf(lab: LabRef, host: HostName, uuid: string): Promise<string> {
  const read = await bash(lab, host, [
    // hosts share the folder
    'file=$(mktemp -u /var/tmp/torture-memory-XXXXXX)',
    `${virsh} qemu-monitor-command ${uuid} --hmp "pmemsave 0 ${memoryMib * 1_048_576} \\"$file\\"" >/dev/null`,
    'sha256sum <$file | cut -c1-16; rm -f $file',
  ]);
  return read.trim();
}

/** Saves a guest that runs, or goes on running; resolves with its memory. */
export async function save(lab: LabRef, host: HostName, uuid: string): Promise<string> {
  await bash(lab, host, [
    // until its firmware has set the clock
    `for look in $(seq 50); do ${virsh} qemu-monitor-command ${uuid} --hmp 'xp /1wx 0x46c' | ` +
      `grep -q ': 0x00000000' || break; sleep 0.1; done`,
    `${virsh} suspend ${uuid} >/dev/null`,
  ]);
  const memory = await memoryOf(lab, host, uuid);
  await bash(lab, host, [`${virsh} managedsave ${uuid} --running >/dev/null`]);
  return memory;
}

export function definitionOf(vm: TorturedVm, which: 'live' | 'inactive', secret?: string): string {
  const disks = vm.disks.filter((disk) => disk.in === 'both' || disk.in === which);
  return [
    `<domain type='qemu'><name>${escaped(vm.name)}</name><uuid>${vm.uuid}</uuid><title>${escaped(vm.title)}</title>`,
    `<memory unit='MiB'>${memoryMib}</memory><vcpu>1</vcpu>`,
    `<os><type arch='x86_64' machine='q35'>hvm</type>${vm.nvram === undefined ? '' : firmwareXml(vm.nvram)}</os>`,
    `<features><acpi/><apic/></features><cpu mode='custom' match='exact'><model>qemu64</model></cpu>`,
    `<devices>`,
    ...(disks.some(({ bus }) => bus === 'scsi') ? ["<controller type='scsi' model='virtio-scsi'/>"] : []),
    ...disks.map((disk) => diskXml(disk, secret)),
    ...vm.media.map(mediumXml),
    `<interface type='bridge'><mac ` +
      `address='52:54:00:${vm.uuid.slice(0, 2)}:${vm.uuid.slice(2, 4)}:${vm.uuid.slice(4, 6)}'/><source ` +
      `bridge='br0'/><model type='virtio'/><rom enabled='no'/></interface>`,
    ...(vm.share
      ? [
          `<filesystem type='mount' accessmode='mapped'><source dir='${folders.bare}'/><target dir='share'/></filesystem>`,
        ]
      : []),
    ...(vm.tpm === true ? ["<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"] : []),
    `</devices></domain>`,
  ].join('\n');
}

const firmwareXml = (nvram: string): string =>
  "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>" +
  `<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${escaped(nvramPath(nvram))}</nvram>`;

function diskXml(disk: Disk, secret: string | undefined): string {
  const path = spelledPath(disk);
  const pool = poolOf[disk.image.folder] ?? '';
  const file = escaped(disk.image.file);
  const key =
    disk.image.luks === true
      ? `<encryption format='luks'><secret type='passphrase' uuid='${secret ?? ''}'/></encryption>`
      : '';
  const [type, source] =
    disk.by === 'nbd'
      ? ['network', `<source protocol='nbd' name='${file}'><host name='host1' port='${nbdPort}'/></source>`]
      : disk.by === 'block'
        ? ['block', `<source dev='${escaped(lunPath(disk.image.file))}'/>`]
        : path === undefined
          ? ['volume', `<source pool='${pool}' volume='${file}'>${key}</source>`]
          : ['file', `<source file='${escaped(path)}'>${key}</source>`];
  const chain = disk.chainWritten ? chainXml(chainOf(disk.image).slice(1)) : '';
  return (
    `<disk type='${type}' device='disk'><driver name='qemu' ` +
    `type='${disk.image.format}' cache='${disk.cache}'/>${source}${chain}<target dev='${disk.target}' ` +
    `bus='${disk.bus}'/>${disk.shareable ? '<shareable/>' : ''}</disk>`
  );
}

function chainXml(bases: readonly Image[]): string {
  const [base, ...deeper] = bases;
  return base === undefined
    ? '<backingStore/>'
    : `<backingStore type='file'><format type='${base.format}'/><source ` +
        `file='${escaped(pathOf(base))}'/>${chainXml(deeper)}</backingStore>`;
}

const mediumXml = (medium: Medium): string =>
  medium.device === 'cdrom'
    ? `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source ` +
      `file='${escaped(pathOf(medium))}'/><target dev='sdz' bus='sata'/><readonly/></disk>`
    : `<disk type='file' device='floppy'><driver name='qemu' type='raw'/><source ` +
      `file='${escaped(pathOf(medium))}'/><target dev='fda' bus='fdc'/></disk>`;

/** Everything of a seed, whatever became of it. */
export async function clear(lab: LabRef): Promise<void> {
  await Promise.all(
    torturedHosts.map((host) =>
      bash(lab, host, [
        // first of all: libvirt refuses to undefine a VM that has a file of saved memory which it does not know of
        'find /var/lib/libvirt/qemu/save -mindepth 1 -delete',
        `for uuid in $(${virsh} list --all --uuid); do`,
        `  ${virsh} destroy $uuid >/dev/null 2>&1 || true`,
        // a VM whose variables are another's file, or gone, goes without them
        `  ${virsh} undefine $uuid --managed-save --snapshots-metadata --nvram >/dev/null 2>&1 || ` +
          `${virsh} undefine $uuid --managed-save --snapshots-metadata --keep-nvram >/dev/null`,
        'done',
        `for uuid in $(${virsh} secret-list | grep -o '^ *[0-9a-f-]\\{36\\}' || true); do ${virsh} secret-undefine $uuid >/dev/null; done`,
        'if [ -e /run/torture-nbd ]; then kill $(cat /run/torture-nbd) || true; rm -f /run/torture-nbd; fi',
        `for file in ${folders.bare}/*.raw; do losetup -j "$file" | cut -d: -f1 | xargs -r losetup -d || true; done`,
        `rm -rf ${lunPath('*')} ${tpmFolder('*')}`,
        ...[folders.images, folders.second].map((folder) => `! mountpoint -q ${folder} || umount --lazy ${folder}`),
        `for pool in $(${virsh} pool-list --name); do case $pool in default|second) ;; *) ${virsh} ` +
          'pool-destroy $pool >/dev/null || true ;; esac; done',
        // the shared one is one: whoever comes second would miss files
        ...Object.values(folders)
          .filter((folder) => host === 'host1' || folder !== folders.shared)
          .map((folder) => `if [ -d ${folder} ]; then find ${folder} -mindepth 1 -delete; fi`),
        'find /var/lib/libvirt/qemu/nvram -mindepth 1 -delete',
        ...(host === 'host1' ? [] : [`rm -rf ${folders.lone}`]),
      ]),
    ),
  );
}
