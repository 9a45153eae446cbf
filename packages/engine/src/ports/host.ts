/** Ports: a host, and what of it can be read and changed besides moving a guest. */
import type {
  BackingImage,
  DefinitionPlan,
  DiskPlan,
  HostFacts,
  HostResources,
  HostUses,
  ImageFacts,
  Instance,
  OwnDefinition,
  PoolFacts,
  ResourceRef,
  SeenFile,
  VmFacts,
  VmUuid,
  VolumeFacts,
} from '@ferry/core';
import type { HelperDomain, MigrationDriver, MigrationMarker } from './migration.ts';

/** Opens a host. Rejects with FerryError `uri-*` or `host-*`. */
export interface Hypervisor {
  connect(uri: string, signal: AbortSignal): Promise<HostLink>;
  /** What a definition says by itself, without asking a host. Throws when it cannot be read. */
  describeDefinition(xml: string): VmFacts;
  /** Whose it is, and what it names. Throws when it cannot be read. */
  identityOfDefinition(xml: string): OwnDefinition;
  /** The same definition with other names; what the plan does not speak of stays byte for byte. */
  rewriteDefinition(xml: string, plan: DefinitionPlan): string;
}

/** One open host. Resolve `closed` with the reason when the connection is lost, with undefined when we closed it. */
export interface HostLink {
  readonly inventory: HostInventory;
  readonly migration: MigrationDriver;
  readonly definitions: DefinitionDriver;
  readonly storage: HostStorage;
  readonly files: HostFiles;
  readonly resources: ResourceDriver;
  /**
   * Opens a further connection as far as its first answer, and closes it. Rejects with the reason why it does not
   * come about.
   */
  takesAnother(signal: AbortSignal): Promise<void>;
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
}

export interface HostInventory {
  facts(signal: AbortSignal): Promise<HostFacts & { readonly freeMemoryBytes: number }>;
  /** Names the machine that answers at this moment. */
  machineUuid(signal: AbortSignal): Promise<string>;
  /** Bytes; costs the host next to nothing. */
  freeMemory(signal: AbortSignal): Promise<number>;
  /** Every domain of the host, from one bulk call and the XML of those that changed. */
  instances(signal: AbortSignal): Promise<readonly Instance[]>;
  /** One domain; undefined when the host has none with this UUID. */
  instance(uuid: VmUuid, signal: AbortSignal): Promise<Instance | undefined>;
  /** Changes from the moment the promise resolves. `gap`: some were lost, look at everything again. */
  watch(signal: AbortSignal): Promise<AsyncIterable<HostChange>>;
}

export type HostChange =
  | { readonly type: 'domain'; readonly uuid: VmUuid }
  | { readonly type: 'migration-suspended'; readonly uuid: VmUuid }
  | { readonly type: 'migration-resumed'; readonly uuid: VmUuid }
  | { readonly type: 'gap' };

/** What libvirt knows of a snapshot or checkpoint, as it gives it out and takes it back. */
export interface SnapshotMetadata {
  readonly kind: 'snapshot' | 'checkpoint';
  readonly name: string;
  readonly xml: string;
  readonly current: boolean;
}

/** The definitions of a host's VMs. None of these decides. */
export interface DefinitionDriver {
  /** What a move has to know of the VM. Rejects when the host has none with this UUID. */
  describe(uuid: VmUuid, signal: AbortSignal): Promise<VmFacts>;
  /**
   * Every file that a definition of this host names or a chain leads to: of all domains, running or not, both
   * definitions, and snapshots.
   */
  filesInUse(signal: AbortSignal): Promise<HostUses>;
  /**
   * The inactive definition with its secrets, without what libvirt adds to every one by itself, so that an older
   * libvirt takes it too.
   */
  read(uuid: VmUuid, signal: AbortSignal): Promise<string>;
  /** What libvirt would give a target: the running guest's definition with its secrets. */
  readMigratable(uuid: VmUuid, signal: AbortSignal): Promise<string>;
  /** The definition inside the saved memory of the VM of this name, with its secrets. */
  readSaved(vm: string, signal: AbortSignal): Promise<string>;
  /** Replaces it; libvirt refuses what the guest would see, and what is longer than the room it left. */
  writeSaved(vm: string, xml: string, signal: AbortSignal): Promise<void>;
  /** Defines, or redefines, the domain. */
  write(xml: string, signal: AbortSignal): Promise<void>;
  /** Forgets that libvirt saved the memory of this VM, and the file. */
  dropSaved(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  setAutostart(uuid: VmUuid, autostart: boolean, signal: AbortSignal): Promise<void>;
  start(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** Metadata of all snapshots and checkpoints, parents before children. */
  readSnapshots(uuid: VmUuid, signal: AbortSignal): Promise<readonly SnapshotMetadata[]>;
  /** Takes the metadata off, children first; images are left alone, and what is not there is fine. */
  stripSnapshots(uuid: VmUuid, snapshots: readonly SnapshotMetadata[], signal: AbortSignal): Promise<void>;
  /** Puts the metadata back, parents first; what is there already is left as it is. */
  restoreSnapshots(uuid: VmUuid, snapshots: readonly SnapshotMetadata[], signal: AbortSignal): Promise<void>;
  /** Starts the helper, paused; one that is there already is left as it is. */
  startHelper(helper: HelperDomain, marker: MigrationMarker, signal: AbortSignal): Promise<void>;
}

/** A resource as it can be made on another host. */
export interface ResourceCopy {
  readonly xml: string;
  /** Of a secret. */
  readonly value?: Uint8Array;
}

/** Networks, filters and secrets of a host. */
export interface ResourceDriver {
  /** Of these secrets it is asked, too, whether they have a value; of these networks and bridges, their MTU. */
  look(secrets: readonly string[], links: readonly string[], signal: AbortSignal): Promise<HostResources>;
  read(ref: ResourceRef, signal: AbortSignal): Promise<ResourceCopy>;
  /** A network is started, too. */
  create(ref: ResourceRef, copy: ResourceCopy, signal: AbortSignal): Promise<void>;
  /** What is not there is fine. */
  remove(ref: ResourceRef, signal: AbortSignal): Promise<void>;
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
  /** Time of the last change as the host tells it; two equal texts mean that nobody wrote in between. */
  readonly modified?: string;
}

/** A piece of a file; a hole is a run of zeros. */
export type FilePiece =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'hole'; readonly lengthBytes: number };

/** Files of a host, reached through pools that are there just as long. */
export interface HostFiles {
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

/** Storage of a host, through its pools. */
export interface HostStorage {
  pools(signal: AbortSignal): Promise<readonly PoolFacts[]>;
  /**
   * What is at this path, the folder looked at anew; `pool` is empty where the folder is no pool's. Rejects with
   * `volume-failed` where it cannot be looked into.
   */
  volumeAt(path: string, signal: AbortSignal): Promise<VolumeFacts | undefined>;
  /** The image file at this path; undefined where the host has none. Only a qcow2 image is looked into. */
  imageAt(path: string, format: string | undefined, signal: AbortSignal): Promise<ImageFacts | undefined>;
  /** What the image file at this path lies above, nearest first; undefined when that cannot be told. */
  imagesBelow(path: string, signal: AbortSignal): Promise<readonly BackingImage[] | undefined>;
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
  /** Makes a sparse volume. Rejects with FerryError `volume-exists`, `volume-failed`. */
  createVolume(
    volume: {
      readonly pool: string;
      readonly name: string;
      readonly format: string;
      readonly capacityBytes: number;
    } & Pick<NonNullable<DiskPlan['volume']>, 'backing' | 'layout' | 'encryption'>,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * A small volume in a folder, with a pool for just this long where the folder has none. `find` tells whether it is
   * there; `folder` is false when the host has no such folder.
   */
  marker(
    action: 'leave' | 'find' | 'remove',
    folder: string,
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly folder: boolean; readonly found: boolean }>;
}
