/**
 * The ports of the engine: what it needs from the world, declared where it is used. Drivers live in packages/adapters.
 * No driver decides anything; every method that can wait takes an AbortSignal.
 */
import type { CallFailure, DefinitionPlan, HostFacts, HostResources, Instance, InstanceView, JobSample, OwnDefinition, PoolFacts, ResourceRef, TimeMs, TransferPlan, VmFacts, VmUuid, VolumeFacts } from '@ferry/core';

/** Time and randomness come in here, so that a virtual clock can drive the engine. */
export interface Clock {
  now(): TimeMs;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** `length` random characters of [0-9a-z]. */
  randomText(length: number): string;
  randomUuid(): string;
}

/** Where the engine's log lines go. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

// --- Hosts -------------------------------------------------------------------------------------------------------

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
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
}

export interface HostInventory {
  facts(signal: AbortSignal): Promise<HostFacts & { readonly freeMemoryBytes: number }>;
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

export interface MigrationMarker {
  readonly installation: string;
  readonly migration: string;
  readonly epoch: number;
}

export interface PerformRequest {
  readonly uuid: VmUuid;
  /** URI by which the source's daemon reaches the target's. */
  readonly destinationUri: string;
  readonly maxBandwidthMiBPerSecond?: number;
  /** In post-copy, for pages that the guest does not wait for: those it waits for are sent at once, and must not stand behind the others. */
  readonly postCopyBandwidthMiBPerSecond?: number;
  readonly transfer: TransferPlan;
  /** What the target defines in place of the source's own: for the running guest, and for its next start. */
  readonly definition?: { readonly live: string; readonly persistent?: string };
  /** False: the guest is paused for the whole of it. */
  readonly live: boolean;
  /** The target gets a persistent definition. */
  readonly persist: boolean;
  readonly undefineSource: boolean;
  /** Targets of the disks that are copied; none: nothing is copied. */
  readonly copyDisks: readonly string[];
  /** Only what is above the backing images is copied. */
  readonly topOnly: boolean;
}

export interface TransferLimits {
  /** For memory and each disk. */
  readonly maxBandwidthMiBPerSecond?: number;
  readonly memoryBandwidthMiBPerSecond?: number;
  readonly postCopyBandwidthMiBPerSecond?: number;
  readonly maxDowntimeMs?: number;
}

/** What goes from one step of a direct migration to the next. */
export interface Handover {
  readonly name: string;
  readonly xml: string;
  /** The guest was paused before. */
  readonly paused: boolean;
  readonly uri?: string;
  readonly cookie: Uint8Array;
}

/** begin, perform and confirm are the source's, prepare and finish the target's. Each may reject; `failureOf` says what that means. */
export interface DirectSide extends AsyncDisposable {
  begin(): Promise<Handover>;
  prepare(begun: Handover): Promise<Handover>;
  /** Resolves when the memory is over; the guest is paused on the source then. */
  perform(prepared: Handover): Promise<Handover>;
  /** Lets the guest run on the target, or removes it there. */
  finish(performed: Handover, cancelled: boolean): Promise<Handover>;
  /** Ends the source's copy, or lets it run again. */
  confirm(finished: Handover, cancelled: boolean): Promise<void>;
  failureOf(error: unknown): CallFailure;
}

/** A paused domain without memory to speak of that holds disks, so that they can be moved by libvirt's own means. */
export interface HelperDomain {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly disks: readonly { readonly target: string; readonly path: string; readonly format: string; readonly sizeBytes: number }[];
}

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
  /** The inactive definition with its secrets, as libvirt prints it. */
  read(uuid: VmUuid, signal: AbortSignal): Promise<string>;
  /** What libvirt would give a target: the running guest's definition with its secrets. */
  readMigratable(uuid: VmUuid, signal: AbortSignal): Promise<string>;
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
  look(signal: AbortSignal): Promise<HostResources>;
  read(ref: ResourceRef, signal: AbortSignal): Promise<ResourceCopy>;
  /** A network is started, too. */
  create(ref: ResourceRef, copy: ResourceCopy, signal: AbortSignal): Promise<void>;
  /** What is not there is fine. */
  remove(ref: ResourceRef, signal: AbortSignal): Promise<void>;
}

/** A file that belongs to a VM beside its disks: UEFI variables, TPM state, saved memory. */
export interface FileFacts {
  readonly path: string;
  readonly sizeBytes: number;
  readonly owner: number;
  readonly group: number;
  /** Octal, as in a volume's XML. */
  readonly mode: string;
}

/** A piece of a file; a hole is a run of zeros. */
export type FilePiece = { readonly kind: 'data'; readonly bytes: Uint8Array } | { readonly kind: 'hole'; readonly lengthBytes: number };

/** Files of a host, reached through pools that are there just as long. */
export interface HostFiles {
  /** Undefined when there is none. */
  look(path: string, signal: AbortSignal): Promise<FileFacts | undefined>;
  read(path: string, signal: AbortSignal): AsyncIterable<FilePiece>;
  /** Replaces the file; its folder is made if need be. */
  write(file: FileFacts, pieces: AsyncIterable<FilePiece>, signal: AbortSignal): Promise<void>;
  remove(path: string, signal: AbortSignal): Promise<void>;
}

/** Storage of a host, through its pools. */
export interface HostStorage {
  pools(signal: AbortSignal): Promise<readonly PoolFacts[]>;
  /** What an active pool of files has at this path, the folder looked at anew. */
  volumeAt(path: string, signal: AbortSignal): Promise<VolumeFacts | undefined>;
  /** What names the block device at this path on every host: the key that its pool gives it (LVM's UUID, a WWN or serial). Undefined when no pool has it. */
  identityOf(path: string, signal: AbortSignal): Promise<string | undefined>;
  /** Makes a sparse volume. Rejects with FerryError `volume-exists`, `volume-failed`. */
  createVolume(volume: { readonly pool: string; readonly name: string; readonly format: string; readonly capacityBytes: number; readonly backing?: { readonly path: string; readonly format: string } }, signal: AbortSignal): Promise<void>;
  /** Deletes the volume; one that is not there is fine. */
  deleteVolume(pool: string, name: string, signal: AbortSignal): Promise<void>;
  /**
   * A small volume in a folder, with a pool for just this long where the folder has none. `find` tells whether it is
   * there; `folder` is false when the host has no such folder.
   */
  marker(action: 'leave' | 'find' | 'remove', folder: string, name: string, signal: AbortSignal): Promise<{ readonly folder: boolean; readonly found: boolean }>;
}

/** What a migration does on one host. None of these decides; failures of `perform` are data. */
export interface MigrationDriver {
  /** Writes the marker into the domain's metadata (live and persistent definition). */
  mark(uuid: VmUuid, marker: MigrationMarker, signal: AbortSignal): Promise<void>;
  /** Lets the source's daemon run the migration; resolves when the call ended. Abandoning the wait never aborts the job. */
  perform(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /** One side of a migration that the engine drives; what it has begun ends with it. */
  openSide(request: PerformRequest, side: 'source' | 'target', signal: AbortSignal): Promise<DirectSide>;
  /** Acts at once on a running migration, and counts for those after it. */
  tune(uuid: VmUuid, limits: TransferLimits, signal: AbortSignal): Promise<void>;
  /** Of a running migration that may; nothing is rolled back from then on. */
  startPostCopy(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Takes up a migration that broke in post-copy, with the request that began it; resolves when the call ended. Nothing is lost by a failure,
   * and it is not the last word: soon after another attempt libvirt may tell of that one (code 9), while QEMU is at work again and ends by itself.
   * `stillRunning`: the link was back before QEMU noticed, or another call is at it; it ends by itself.
   * It may hang (the target's QEMU waits for a page while it holds its own lock: an emulated guest, just after the switch), and `stillRunning` may
   * be said for ever: then, or where the connection broke after QEMU's last page (`stillSends` in core).
   */
  recover(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /** Pauses the guest. One that is being moved live runs again by itself, here when the move ends early, there when it has arrived. */
  suspend(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  resume(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** QEMU slows the guest of a running migration down no more. libvirt has no call for it: see `announce`. */
  releaseThrottle(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Cuts the connections over which disks are copied, at once and without a word to the other side (QEMU's `yank`, since 6.0): what waits for
   * them fails, the migration with it, and the guest goes on with its own disks. Nothing happens where none is copied. See `announce`.
   */
  cutCopies(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Lets QEMU tell the network again where the guest's cards are (RARP, five frames each within a second). libvirt has no call for it: the
   * command goes past it to QEMU, and libvirt marks the domain as tainted by that in its log. Waits while a migration comes in.
   */
  announce(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Lets the guest's agent set the guest's clock to the time of this machine. False when no agent is connected. Rejects when it does not
   * answer (libvirt gives it 5 s) or cannot; one that hangs in its work is waited for until the signal aborts.
   */
  setGuestTime(uuid: VmUuid, signal: AbortSignal): Promise<boolean>;
  /** Asks the guest to shut down, and does not wait until it has. */
  shutdown(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Bytes per second of the pages that a running guest wrote within this time, each page counted once; takes as long, and costs the host a look at 512
   * pages per GiB. Undefined where the host cannot measure.
   */
  dirtyRate(uuid: VmUuid, seconds: number, signal: AbortSignal): Promise<number | undefined>;
  /** Figures of the running job; undefined when there is none. */
  sample(uuid: VmUuid, signal: AbortSignal): Promise<JobSample | undefined>;
  /** What is on this host of the VM, with the figures of a completed migration where libvirt still has them. */
  observe(uuid: VmUuid, signal: AbortSignal): Promise<InstanceView>;
  abortJob(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** `process`: ends the running domain, keeps a persistent definition. `definition`: undefines a shut-off domain, and drops its saved memory. */
  remove(uuid: VmUuid, what: 'process' | 'definition', signal: AbortSignal): Promise<void>;
}

// --- State: three kinds, one port each ---------------------------------------------------------------------------

export interface IntentEntry {
  readonly key: string;
  readonly value: unknown;
  /** Revision of the last write; revisions grow over the whole store. */
  readonly revision: number;
}

/** `ifRevision`: the write is refused unless the entry has this revision; 0 means the key must not exist. */
export type IntentWrite =
  | { readonly op: 'put'; readonly key: string; readonly value: unknown; readonly ifRevision?: number; readonly lease?: string }
  | { readonly op: 'delete'; readonly key: string; readonly ifRevision?: number };

export type IntentChange =
  | { readonly type: 'put'; readonly entry: IntentEntry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number }
  /** The revision asked for is no longer kept: list again. */
  | { readonly type: 'compacted'; readonly revision: number };

/** Small documents (at most 256 KiB as JSON) with a revision. Durable when a write resolves. */
export interface IntentStore {
  get(key: string): Promise<IntentEntry | undefined>;
  /** Entries whose key begins with `prefix`, in key order. */
  list(prefix: string): Promise<readonly IntentEntry[]>;
  /** At most 64 writes, all or none. `conflict`: the keys whose guard failed. */
  commit(writes: readonly IntentWrite[]): Promise<{ readonly revision: number } | { readonly conflict: readonly string[] }>;
  /** Changes after `afterRevision` to keys that begin with `prefix`, in order, until the signal aborts. */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<IntentChange>;
  /** Makes a lease, or renews it; entries put with it vanish when it is not renewed within `ttlMs`. */
  lease(id: string, ttlMs: number): Promise<void>;
}

export interface JournalEntry {
  readonly seq: number;
  readonly at: TimeMs;
  /** e.g. `event`, `sample`, `decision`, `audit`, `migration`. */
  readonly kind: string;
  /** What it is about, e.g. a migration's id. */
  readonly subject: string;
  readonly data: unknown;
}

/** Append-only, with retention. */
export interface Journal {
  /** Returns the seq of the last entry. Seqs grow by one per entry. */
  append(entries: readonly Omit<JournalEntry, 'seq'>[]): Promise<number>;
  /** Ascending from `afterSeq`, or newest first with `newestFirst`; at most `limit` (1,000 by default). */
  read(query: { readonly kind?: string; readonly subject?: string; readonly afterSeq?: number; readonly newestFirst?: boolean; readonly limit?: number }): Promise<readonly JournalEntry[]>;
  /** First seq still kept and the last one given out (0 and 0 when empty from the start). */
  bounds(): Promise<{ readonly first: number; readonly last: number }>;
  /** Drops entries of `kind` older than `before`. Returns how many. */
  prune(kind: string, before: TimeMs): Promise<number>;
}

/** What the hosts last reported; rebuildable, so it need not be durable. */
export interface InventoryCache {
  save(host: string, report: { readonly facts?: HostFacts; readonly instances: readonly Instance[] }): Promise<void>;
  load(): Promise<ReadonlyMap<string, { readonly facts?: HostFacts; readonly instances: readonly Instance[] }>>;
  remove(host: string): Promise<void>;
  /** Keeps the last definition of a VM on a host: it is needed when that host is dead. */
  saveDefinition(definition: StoredDefinition): Promise<void>;
  definition(uuid: VmUuid, host: string): Promise<StoredDefinition | undefined>;
}

/** With its secrets: who can read the store can read them. */
export interface StoredDefinition {
  readonly uuid: VmUuid;
  readonly host: string;
  readonly xml: string;
  readonly at: TimeMs;
}

export interface Stores {
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly inventory: InventoryCache;
  close(): Promise<void>;
}
