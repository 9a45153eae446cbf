/**
 * Disks, pools and volumes as hosts report them, and Ferry's records of files that it made or left. Types and nothing
 * else.
 */
import type { TimeMs, VmUuid, MigrationId } from './ids.ts';
import type { Disk } from './vm.ts';

/** The header of a qcow2 image. */
export interface Qcow2Facts {
  readonly clusterBytes: number;
  readonly compat: '0.10' | '1.1';
  readonly lazyRefcounts: boolean;
  readonly extendedL2: boolean;
  /** Its data is in another file. */
  readonly dataFile: boolean;
  readonly refcountBits: number;
  readonly zstd: boolean;
  /** Inside the image, made by Ferry or not. */
  readonly snapshots: number;
}

/** How a qcow2 volume is created; if absent, with its host's defaults. */
export type ImageLayout = Pick<Qcow2Facts, 'clusterBytes' | 'compat' | 'lazyRefcounts' | 'extendedL2'>;

/** An image below another one. */
export interface BackingImage {
  readonly path: string;
  readonly format?: string;
}

/** A disk as its source host describes it. */
export interface DiskFacts extends Disk {
  /** What the guest sees; absent for an empty drive or when the host does not know. */
  readonly capacityBytes?: number;
  /** What it takes on the source's storage. */
  readonly allocationBytes?: number;
  /** Images below this one, nearest first: what its definition names, and below that what the images say. */
  readonly backing: readonly BackingImage[];
  /** It is not known whether there are such images. */
  readonly chainUnknown?: true;
  /** Names the same storage wherever it is said, e.g. an NBD export or a WWN; absent when nothing does. */
  readonly identity?: string;
  /** As the definition says; absent: QEMU's own, which is writeback. */
  readonly cache?: string;
  /** Length of the file. */
  readonly fileBytes?: number;
  /**
   * As its definition writes the path, where `source` is another way to write it that a link on another host would
   * make another file.
   */
  readonly written?: string;
  /** Named by its definition instead of a path. */
  readonly pool?: string;
  /** Of the image's content; a secret of the host holds the key. */
  readonly encryption?: { readonly format: string; readonly secretUuid?: string; readonly secretUsage?: string };
  /** Snapshots or bitmaps of checkpoints inside the image file, which a copy of its blocks would lose. */
  readonly internal?: 'snapshots' | 'checkpoints';
}

/** A storage volume in a pool of a host. */
export interface VolumeFacts {
  readonly pool: string;
  readonly name: string;
  readonly path: string;
  readonly format: string;
  readonly capacityBytes: number;
  readonly allocationBytes: number;
  /** Time of the last change as the host reports it; two equal texts mean that nobody wrote in between. */
  readonly modified?: string;
  /** Its base image. */
  readonly backing?: BackingImage;
}

export interface PoolFacts {
  readonly name: string;
  /** Folder of a pool of files. */
  readonly path?: string;
  readonly active: boolean;
  readonly availableBytes: number;
}

/** Whether two hosts see one storage, and how that is known. */
export interface SharingProof {
  /** `other-file`: both have the folder, or had it, and not the same file in it. */
  readonly verdict: 'shared' | 'separate' | 'unknown' | 'other-file';
  /**
   * `marker`: a volume made through one host was looked for through the other, and both see one file. `identity`: its
   * name is the same storage everywhere. `operator`: stated.
   */
  readonly method: 'marker' | 'identity' | 'operator' | 'none';
  readonly at: TimeMs;
  readonly detail?: string;
  /** How to make it known, or to make it one file again. */
  readonly remedy?: string;
}

/** A file that Ferry made or left behind: a disk's volume, or what it copies as a file. */
export interface VolumeRecord {
  readonly host: string;
  /** UUID of the machine, which it keeps when its host is removed and added again. */
  readonly machine: string;
  /** Absent: a disk. `media`: an image that nobody writes. `state`: UEFI variables, TPM state, saved memory. */
  readonly what?: 'media' | 'state';
  readonly hostName: string;
  readonly path: string;
  readonly pool: string;
  readonly name: string;
  readonly vm: { readonly uuid: VmUuid; readonly name: string };
  readonly migration: MigrationId;
  readonly at: TimeMs;
  /** `target`: made for a copy that is not finished. `source`: what a finished copy left on its source. */
  readonly role: 'target' | 'source';
  /** Of a `target`: it was seen to be made. */
  readonly made?: boolean;
  readonly capacityBytes: number;
  readonly allocationBytes?: number;
  readonly modified?: string;
}

/** The path of a file of the VM that is not a disk, whether it exists or not. */
export interface StatePlace {
  readonly path: string;
  readonly what: 'memory' | 'nvram' | 'tpm';
  /** Only the definition of a running guest's next start has it; absent: the guest as it is, too. */
  readonly when?: 'next-start';
}
