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
  mediumKib,
  nvramPath,
  pathOf,
  poolOf,
  spelledPath,
  torturedHosts,
  type Disk,
  type HostName,
  type Image,
  type Medium,
  type Scenario,
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

/** Pools and folders that all seeds use. */
export async function prepareHosts(lab: LabRef): Promise<void> {
  await Promise.all(
    torturedHosts.map((host) =>
      bash(lab, host, [
        `mkdir -p ${folders.second} ${folders.asleep} ${folders.bare} /var/lib/libvirt/qemu/nvram`,
        ...(host === 'host1' ? [`mkdir -p ${folders.lone}`] : []),
        ...(['second', 'asleep'] as const).map(
          (name) => `${virsh} pool-define-as ${name} dir --target ${folders[name]} >/dev/null`,
        ),
        `${virsh} pool-start second >/dev/null`,
      ]),
    ),
  );
}

export async function build(lab: LabRef, scenario: Scenario): Promise<void> {
  const vms = [...scenario.others, scenario.vm];
  const made = new Set<string>();
  const buildOn = async (host: HostName): Promise<void> => {
    const here = vms.filter((vm) => vm.host === host);
    const foreign = scenario.foreign.filter((each) => each.host === host);
    await bash(lab, host, [
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
      // pools know what was made beside them
      `for pool in $(${virsh} pool-list --name); do ${virsh} pool-refresh $pool >/dev/null; done`,
    ]);
    for (const vm of here) await buildVm(lab, vm);
  };
  // bases on the shared file system are made by the first that stands on them
  for (const host of torturedHosts) await buildOn(host);
}

/** The image and what it stands on, deepest first; each file once. */
function imageLines(image: Image, host: HostName, made: Set<string>): readonly string[] {
  const path = pathOf(image);
  const key = image.folder === 'shared' ? path : `${host} ${path}`;
  if (made.has(key)) return [];
  made.add(key);
  const below = image.base === undefined ? [] : imageLines(image.base, host, made);
  const real = image.linkedTo === undefined ? path : `${folders[image.linkedTo]}/link-${image.file}`;
  const node = quoted(`json:${JSON.stringify({ driver: image.format, file: { driver: 'file', filename: real } })}`);
  const create =
    `qemu-img create -q -f ${image.format} ${image.create.map((option) => `-o ${option}`).join(' ')} ` +
    `${image.base === undefined ? '' : `-b ${quoted(pathOf(image.base))} -F ${image.base.format}`} ` +
    `${quoted(real)} ${diskKib}K`;
  const commands = image.writes.map(
    ({ op, byte, fromKib, kib }) =>
      `-c ${quoted(`${op === 'data' ? `write -q -P ${byte}` : op === 'zero' ? 'write -q -z' : 'discard -q'} ${fromKib}k ${kib}k`)}`,
  );
  return [
    ...below,
    create,
    `qemu-io -d unmap ${commands.join(' ')} ${node} >/dev/null`,
    ...(image.linkedTo === undefined ? [] : [`ln -s ${quoted(real)} ${quoted(path)}`]),
  ];
}

const patternLine = (path: string, byte: number, kib: number): string =>
  `head -c ${kib}K /dev/zero | tr '\\0' '\\${byte.toString(8).padStart(3, '0')}' >${quoted(path)}`;
const mediumLine = (medium: Medium): string => patternLine(pathOf(medium), medium.byte, mediumKib);
/** Variables that can be told from those of another VM: QEMU's firmware does not look at the end of its file. */
const nvramLines = (path: string, uuid: string): readonly string[] => [
  `cp /usr/share/OVMF/OVMF_VARS_4M.fd ${quoted(path)}`,
  `printf %s ${uuid} | dd of=${quoted(path)} bs=1 seek=$(($(stat -c %s ${quoted(path)}) - 64)) conv=notrunc status=none`,
];

async function buildVm(lab: LabRef, vm: TorturedVm): Promise<void> {
  const define = (which: 'live' | 'inactive'): Promise<string> =>
    run(execCommand(lab, vm.host, ['bash', '-ec', `${virsh} define <(cat)`]), { input: definitionOf(vm, which) });
  const on = (...args: readonly string[]): Promise<string> =>
    run(execCommand(lab, vm.host, ['virsh', '-q', '-c', 'qemu:///system', ...args]));
  const runs = vm.state !== 'shut-off';
  await define(runs ? 'live' : 'inactive');
  if (runs) {
    await on('start', vm.uuid, ...(vm.state === 'running' ? [] : ['--paused']));
    if (vm.state === 'saved') await on('managedsave', vm.uuid, '--running');
    else if (vm.disks.some((disk) => disk.in !== 'both')) await define('inactive');
  }
  if (vm.autostart) await on('autostart', vm.uuid);
  if (vm.snapshot) await on('snapshot-create-as', vm.uuid, 's1');
}

export function definitionOf(vm: TorturedVm, which: 'live' | 'inactive'): string {
  const disks = vm.disks.filter((disk) => disk.in === 'both' || disk.in === which);
  return [
    `<domain type='qemu'><name>${escaped(vm.name)}</name><uuid>${vm.uuid}</uuid><title>${escaped(vm.title)}</title>`,
    `<memory unit='MiB'>24</memory><vcpu>1</vcpu>`,
    `<os><type arch='x86_64' ` +
      `machine='q35'>hvm</type>${vm.nvram === undefined ? '' : `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${escaped(nvramPath(vm.nvram))}</nvram>`}</os>`,
    `<features><acpi/><apic/></features><cpu mode='custom' match='exact'><model>qemu64</model></cpu>`,
    `<devices>`,
    ...(disks.some(({ bus }) => bus === 'scsi') ? ["<controller type='scsi' model='virtio-scsi'/>"] : []),
    ...disks.map(diskXml),
    ...vm.media.map(mediumXml),
    `<interface type='bridge'><mac ` +
      `address='52:54:00:${vm.uuid.slice(0, 2)}:${vm.uuid.slice(2, 4)}:${vm.uuid.slice(4, 6)}'/><source ` +
      `bridge='br0'/><model type='virtio'/><rom enabled='no'/></interface>`,
    ...(vm.share
      ? [
          `<filesystem type='mount' accessmode='mapped'><source dir='${folders.bare}'/><target dir='share'/></filesystem>`,
        ]
      : []),
    `</devices></domain>`,
  ].join('\n');
}

function diskXml(disk: Disk): string {
  const path = spelledPath(disk);
  const pool = poolOf[disk.image.folder] ?? '';
  const source =
    path === undefined
      ? `<source pool='${pool}' volume='${escaped(disk.image.file)}'/>`
      : `<source file='${escaped(path)}'/>`;
  const chain = disk.chainWritten ? chainXml(chainOf(disk.image).slice(1)) : '';
  return (
    `<disk type='${path === undefined ? 'volume' : 'file'}' device='disk'><driver name='qemu' ` +
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
