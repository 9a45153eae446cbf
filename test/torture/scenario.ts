/**
 * The scenario of a seed: a VM with its disks, media and firmware, other VMs, files of others in the way, and moves
 * with faults. Plain data, made by generate.ts, built on hosts by build.ts, carried out by execute.ts.
 */

export const torturedHosts = ['host1', 'host2', 'host3'] as const;
export type HostName = (typeof torturedHosts)[number];

const libvirt = '/var/lib/libvirt';
/** Where files may lie, on all hosts unless said otherwise. */
export const folders = {
  /** With a pool that is started. */
  images: `${libvirt}/images`,
  second: `${libvirt}/second`,
  /** Its pool is defined, and started where the scenario says. */
  asleep: `${libvirt}/asleep`,
  /** Without a pool. */
  bare: `${libvirt}/bare`,
  /** On host1 only, without a pool. */
  lone: `${libvirt}/lone`,
  /** One file system for all hosts, without a pool. */
  shared: `${libvirt}/shared`,
} as const;
export type Folder = keyof typeof folders;
export const poolOf: Readonly<Partial<Record<Folder, string>>> = {
  images: 'default',
  second: 'second',
  asleep: 'asleep',
};

/** A stretch of the disk, in KiB, in the order in which it was written. */
export interface Write {
  readonly op: 'data' | 'zero' | 'discard';
  readonly byte: number;
  readonly fromKib: number;
  readonly kib: number;
}
export interface Image {
  readonly folder: Folder;
  readonly file: string;
  readonly format: 'qcow2' | 'raw';
  readonly writes: readonly Write[];
  /** Options of `qemu-img create`. */
  readonly create: readonly string[];
  readonly base?: Image;
  /** The path is a symbolic link to a file of this folder of its host. */
  readonly linkedTo?: Folder;
  /** Encrypted with the scenario's secret. */
  readonly luks?: true;
}
export interface Disk {
  readonly target: string;
  readonly bus: 'virtio' | 'scsi' | 'sata' | 'usb';
  readonly image: Image;
  /** Which definition has it. */
  readonly in: 'both' | 'live' | 'inactive';
  /** How the definition writes its path. */
  readonly spelled: 'plain' | 'double-slash' | 'dot-dot' | 'volume';
  /** The definition names the chain, as `virsh snapshot-create-as --disk-only --no-metadata` leaves it. */
  readonly chainWritten: boolean;
  readonly shareable: boolean;
  readonly cache: 'none' | 'writeback';
  /**
   * Absent: a file. `nbd`: host1 exports its file, and each host reads the export. `block`: a loop device on it, with a
   * node of its own on each host.
   */
  readonly by?: 'nbd' | 'block';
}
export interface Medium {
  readonly device: 'cdrom' | 'floppy';
  readonly folder: Folder;
  readonly file: string;
  readonly byte: number;
}
export type VmState = 'shut-off' | 'running' | 'paused' | 'saved';
export interface TorturedVm {
  readonly name: string;
  readonly uuid: string;
  readonly host: HostName;
  readonly state: VmState;
  readonly disks: readonly Disk[];
  readonly media: readonly Medium[];
  /** UEFI, with its variables in this file of qemu/nvram. */
  readonly nvram?: string;
  readonly snapshot: boolean;
  /** A folder of the host that the guest sees (9p). */
  readonly share: boolean;
  readonly tpm?: true;
  readonly autostart: boolean;
  /** Tells definitions of the same VM apart. */
  readonly title: string;
}
/** Of nobody that Ferry knows. */
export interface ForeignFile {
  readonly host: HostName;
  readonly path: string;
  readonly byte: number;
  readonly why: string;
}
/** `empty`: it is defined and has no value. `private`: libvirt shows its value to nobody. */
export type SecretThere = 'value' | 'private' | 'empty' | 'missing';
export type Fault = 'kill-control-plane' | 'kill-source-daemon' | 'kill-target-daemon' | 'cut-data' | 'abort';
export interface Step {
  readonly to: HostName;
  readonly options: readonly string[];
  /** What is done on the host of the VM before the move. */
  readonly bring?: VmState;
  readonly fault?: { readonly kind: Fault; readonly afterMs: number };
  /** The target loses sight of the shared file system before the move; it is back after it. */
  readonly unmountShared?: true;
  readonly dryRunFirst: boolean;
  /** `ferry volume leftovers --purge` afterwards. */
  readonly purge: boolean;
}
export interface Scenario {
  readonly seed: number;
  /** What it was made for, where that was not left to chance. */
  readonly corner?: string;
  readonly vm: TorturedVm;
  /** VMs of others. One with the VM's own UUID is an old definition of it. */
  readonly others: readonly TorturedVm[];
  readonly foreign: readonly ForeignFile[];
  /** Hosts on which the pool `asleep` is started. */
  readonly awake: readonly HostName[];
  /** What opens encrypted images, and what each host has of it. */
  readonly secret?: { readonly uuid: string; readonly on: Readonly<Record<HostName, SecretThere>> };
  /** A folder of this host has room for so much. */
  readonly small?: { readonly host: HostName; readonly folder: 'images' | 'second'; readonly mib: number };
  readonly steps: readonly Step[];
}

export const diskKib = 2048;
export const mediumKib = 64;
export const memoryMib = 24;
/** Of encrypted images. */
export const passphrase = 'torture';
/** Where host1 exports disks, each by the name of its file. */
export const nbdPort = 10_809;
export const lunPath = (file: string): string => `${libvirt}/lun/${file}`;
export const tpmFolder = (uuid: string): string => `${libvirt}/swtpm/${uuid}`;
export const pathOf = ({ folder, file }: { readonly folder: Folder; readonly file: string }): string =>
  `${folders[folder]}/${file}`;
export const nvramPath = (file: string): string => `${libvirt}/qemu/nvram/${file}`;
export const chainOf = (image: Image): readonly Image[] => [
  image,
  ...(image.base === undefined ? [] : chainOf(image.base)),
];
/** The path as the definition writes it; undefined for a volume of a pool. */
export function spelledPath({ image, spelled }: Disk): string | undefined {
  const folder = folders[image.folder];
  if (spelled === 'volume') return undefined;
  if (spelled === 'double-slash') return `${folder}//${image.file}`;
  if (spelled === 'dot-dot') return `${folder}/../${folder.split('/').at(-1) ?? ''}/${image.file}`;
  return pathOf(image);
}

/** Folders that a step's maps put elsewhere, and names in definitions that go along. */
export interface Mapped {
  readonly folders: readonly (readonly [from: string, to: string])[];
  readonly networks: readonly (readonly [from: string, to: string])[];
}
export function mapsOf(options: readonly string[]): Mapped {
  const given = (name: string): readonly (readonly [string, string])[] =>
    options.flatMap((option, index) => {
      const [from, to] = option === name ? (options[index + 1] ?? '').split('=') : [];
      return from === undefined || to === undefined ? [] : [[from, to] as const];
    });
  const folderOf = (pool: string): string =>
    folders[Object.entries(poolOf).find(([, name]) => name === pool)?.[0] as Folder];
  return {
    folders: [
      ...given('--map-path'),
      ...given('--map-pool').map(([from, to]) => [folderOf(from), folderOf(to)] as const),
    ],
    networks: given('--map-network'),
  };
}
export function placedBy({ folders: pairs }: Mapped, path: string): string {
  const found = pairs.find(([from]) => path.startsWith(`${from}/`));
  return found === undefined ? path : found[1] + path.slice(found[0].length);
}
