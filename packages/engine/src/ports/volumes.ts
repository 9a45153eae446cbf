/** Ports: the storage of a host: volumes of its pools, paths as it sees them, and files beside the disks. */
import type { BackingImage, DiskPlan, ImageFacts, PoolFacts, SeenFile, VolumeFacts } from '@ferry/core';

/** Volumes of a host, through its pools. */
export interface VolumePort {
  pools(signal: AbortSignal): Promise<readonly PoolFacts[]>;
  /**
   * What is at this path, the folder read again; `pool` is empty where the folder is no pool's. Rejects with
   * `volume-failed` where it cannot be looked into.
   */
  at(path: string, signal: AbortSignal): Promise<VolumeFacts | undefined>;
  /** The image file at this path; undefined where the host has none. Only a qcow2 image is looked into. */
  imageAt(path: string, format: string | undefined, signal: AbortSignal): Promise<ImageFacts | undefined>;
  /** What the image file at this path lies above, nearest first; undefined when that cannot be read. */
  imagesBelow(path: string, signal: AbortSignal): Promise<readonly BackingImage[] | undefined>;
  /** Makes a sparse volume. Rejects with FerryError `volume-exists`, `volume-failed`. */
  create(
    volume: {
      readonly pool: string;
      readonly name: string;
      readonly format: string;
      readonly capacityBytes: number;
    } & Pick<NonNullable<DiskPlan['volume']>, 'backing' | 'layout' | 'encryption'>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** What a host sees at a path; compared to find out whether two hosts see one storage. */
export interface PathPort {
  /**
   * The file at this path as the host sees it now, links followed. Rejects with FerryError `volume-failed` where it
   * cannot look.
   */
  fileAt(path: string, signal: AbortSignal): Promise<SeenFile | undefined>;
  /**
   * What names the block device at this path on every host: the key that its pool gives it (LVM's UUID, a WWN or
   * serial). Undefined when no pool has it.
   */
  identityOf(path: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * The block device at this path; undefined where the host has none, `unseen` where libvirt has no safe way to look.
   * Rejects with `volume-failed`.
   */
  deviceAt(path: string, signal: AbortSignal): Promise<{ readonly sizeBytes: number } | 'unseen' | undefined>;
  /**
   * A small volume in a folder, with a pool for just this long where the folder has none. `find` says whether it is
   * there; `folder` is false when the host has no such folder.
   */
  marker(
    action: 'leave' | 'find' | 'remove',
    folder: string,
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly folder: boolean; readonly found: boolean }>;
}

/** A file of a host: a disk's image, UEFI variables, TPM state, saved memory. */
export interface FileFacts {
  readonly path: string;
  readonly sizeBytes: number;
  readonly owner: number;
  readonly group: number;
  /** Octal, as in a volume's XML. */
  readonly mode: string;
  /** What it takes on the storage. */
  readonly allocationBytes: number;
  /** Time of the last change as the host reports it; two equal texts mean that nobody wrote in between. */
  readonly modified?: string;
}

/** A piece of a file; a hole is a run of zeros. */
export type FilePiece =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'hole'; readonly lengthBytes: number };

/** Files of a host, reached through pools that are there just as long. */
export interface FilePort {
  /** Undefined when there is none. Rejects with `volume-failed` where that cannot be seen. */
  look(path: string, signal: AbortSignal): Promise<FileFacts | undefined>;
  read(path: string, signal: AbortSignal): AsyncIterable<FilePiece>;
  /**
   * Makes an empty file of this length where there is none, and its folder if need be. Rejects with `volume-exists`,
   * `volume-failed`.
   */
  create(file: Omit<FileFacts, 'allocationBytes' | 'modified'>, signal: AbortSignal): Promise<void>;
  fill(path: string, pieces: AsyncIterable<FilePiece>, signal: AbortSignal): Promise<void>;
  /** One that is not there is fine. */
  remove(path: string, signal: AbortSignal): Promise<void>;
}
