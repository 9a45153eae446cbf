// What a caller can do with one host: the interface and its data, without any of its making (see session.ts). Numbers
// of states, reasons and flags are libvirt's (constants.ts). Every call takes a signal that ends the wait for it, and
// may reject with LibvirtError (the server's no) or ConnectionLostError (no answer; see its `outcome`).
import type { CallOptions } from './connection.ts';
import type { DomainEvent, EventGap } from './events.ts';
import type { GuestCalls } from './guest-calls.ts';
import type { KeepaliveOptions } from './keepalive.ts';
import type { MigrateParams } from './migrate.ts';
import type { MigrationSide } from './migration-side.ts';
import type { NodeCalls } from './node-calls.ts';
import type { ResourceCalls } from './resource-calls.ts';
import type { SnapshotCalls } from './snapshot-calls.ts';
import type { StorageCalls } from './storage-calls.ts';
import type { AccessSettings } from './transport.ts';
import type { VolumeStreams } from './volume-streams.ts';
import type { DomainRef, TypedParams } from './wire-types.ts';

export interface NodeInfo {
  readonly model: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** 0 when the host does not tell. */
  readonly mhz: number;
  readonly nodes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}
export interface DomainInfo {
  readonly state: number;
  readonly maxMemoryBytes: number;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly cpuTimeNs: bigint;
}
export interface BlockInfo {
  readonly capacityBytes: number;
  readonly allocationBytes: number;
  readonly physicalBytes: number;
}
export interface DomainState {
  readonly state: number;
  readonly reason: number;
}
export interface DomainStatsRecord {
  readonly domain: DomainRef;
  readonly params: TypedParams;
}
export interface DomainStatsOptions extends CallOptions {
  /** Absent: all domains. */
  readonly doms?: readonly DomainRef[] | undefined;
  /** Bits of VIR_DOMAIN_STATS; 0 or absent: all that the daemon knows. */
  readonly stats?: number | undefined;
  /** NOWAIT is always added: without it one busy domain delays the whole answer by up to 30 s. */
  readonly flags?: number | undefined;
}
export interface SubscribeOptions {
  /**
   * Ends the wait for the registration (rejecting), later the iteration (normally; events that wait are still
   * delivered).
   */
  readonly signal?: AbortSignal | undefined;
  /** Events that may wait for the reader (default 4096); more are dropped and a gap replaces them. */
  readonly queueLimit?: number | undefined;
}
export interface SetMetadata {
  /** VIR_DOMAIN_METADATA. */
  readonly type: number;
  /** Absent: removes it. */
  readonly metadata?: string | undefined;
  /** The XML prefix, for an element. */
  readonly key?: string | undefined;
  /** The XML namespace, for an element. */
  readonly uri?: string | undefined;
  /** VIR_DOMAIN_AFFECT. */
  readonly flags: number;
}
export interface GetMetadata {
  readonly type: number;
  readonly uri?: string | undefined;
  readonly flags: number;
}
export interface MigratePeerToPeer {
  /** As the source daemon has to write it, with its own rights and configuration. */
  readonly destinationUri: string;
  /** VIR_MIGRATE; PEER2PEER is added. */
  readonly flags: number;
  readonly params: MigrateParams;
}

export interface HostSession
  extends AsyncDisposable, StorageCalls, SnapshotCalls, ResourceCalls, GuestCalls, NodeCalls, VolumeStreams {
  /** The URI in its normal form. */
  readonly uri: string;
  /**
   * Resolves, never rejects: with the reason when the command or the event connection is lost (the session is then over
   * and everything in it fails), with undefined when it was closed on this side.
   */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  /** When the daemon's certificate ends, in ms since 1970; absent without TLS. */
  readonly certificateUntil: number | undefined;

  /**
   * Makes one more connection to the daemon as far as its first answer, and ends it. Rejects with ConnectError; a
   * daemon with as many clients as its configuration allows lets it wait, as it would let any other client.
   */
  takesAnother(options?: CallOptions): Promise<void>;

  hostname(options?: CallOptions): Promise<string>;
  /** As in 9.0.0. */
  libvirtVersion(options?: CallOptions): Promise<string>;
  /** QEMU's for qemu URIs, as in 7.2.22. */
  hypervisorVersion(options?: CallOptions): Promise<string>;
  capabilities(options?: CallOptions): Promise<string>;
  /**
   * Whether QEMU on this host provides the CPU: a positive number, or a rejection with CPU_INCOMPATIBLE that names what is
   * missing. libvirt 4.4 and later.
   */
  compareHypervisorCpu(
    cpu: { readonly xml: string; readonly arch: string; readonly type: string },
    options?: CallOptions,
  ): Promise<number>;
  nodeInfo(options?: CallOptions): Promise<NodeInfo>;
  freeMemoryBytes(options?: CallOptions): Promise<number>;

  /** `flags` are bits of VIR_LIST_DOMAINS; 0 or absent: all domains. */
  domains(flags?: number, options?: CallOptions): Promise<readonly DomainRef[]>;
  domainByName(name: string, options?: CallOptions): Promise<DomainRef>;
  domainByUuid(uuid: string, options?: CallOptions): Promise<DomainRef>;
  /** `flags` are bits of VIR_DOMAIN_XML. */
  domainXml(dom: DomainRef, flags?: number, options?: CallOptions): Promise<string>;
  domainState(dom: DomainRef, options?: CallOptions): Promise<DomainState>;
  domainInfo(dom: DomainRef, options?: CallOptions): Promise<DomainInfo>;
  domainIsPersistent(dom: DomainRef, options?: CallOptions): Promise<boolean>;
  domainIsActive(dom: DomainRef, options?: CallOptions): Promise<boolean>;
  domainStats(options?: DomainStatsOptions): Promise<readonly DomainStatsRecord[]>;

  domainDefine(xml: string, flags?: number, options?: CallOptions): Promise<DomainRef>;
  domainUndefine(dom: DomainRef, flags?: number, options?: CallOptions): Promise<void>;
  /** Starts a defined domain; the answer has its new id. */
  domainCreate(dom: DomainRef, flags?: number, options?: CallOptions): Promise<DomainRef>;
  domainCreateXml(xml: string, flags?: number, options?: CallOptions): Promise<DomainRef>;
  domainDestroy(dom: DomainRef, flags?: number, options?: CallOptions): Promise<void>;
  domainSuspend(dom: DomainRef, options?: CallOptions): Promise<void>;
  domainResume(dom: DomainRef, options?: CallOptions): Promise<void>;

  domainAutostart(dom: DomainRef, options?: CallOptions): Promise<boolean>;
  domainSetAutostart(dom: DomainRef, autostart: boolean, options?: CallOptions): Promise<void>;
  /** Saves the guest's memory to a file of libvirt's own and stops it; the next start takes the memory from there. */
  domainManagedSave(dom: DomainRef, flags?: number, options?: CallOptions): Promise<void>;
  domainHasManagedSave(dom: DomainRef, options?: CallOptions): Promise<boolean>;
  domainManagedSaveRemove(dom: DomainRef, options?: CallOptions): Promise<void>;
  /**
   * The definition inside a file of saved memory, with which the guest in it comes back. `flags` are bits of
   * VIR_DOMAIN_XML: SECURE.
   */
  savedImageXml(file: string, flags?: number, options?: CallOptions): Promise<string>;
  /**
   * Puts another one in its place: one that the guest sees no difference in, and no longer than libvirt left room for.
   */
  savedImageDefine(file: string, xml: string, flags?: number, options?: CallOptions): Promise<void>;
  /** `path` is a target (`vda`) or a source path. Bytes; physical is the size of the file or device. */
  domainBlockInfo(dom: DomainRef, path: string, options?: CallOptions): Promise<BlockInfo>;

  domainSetMetadata(dom: DomainRef, metadata: SetMetadata, options?: CallOptions): Promise<void>;
  /** Rejects with NO_DOMAIN_METADATA when there is none. */
  domainGetMetadata(dom: DomainRef, metadata: GetMetadata, options?: CallOptions): Promise<string>;

  /** `type` is VIR_DOMAIN_JOB, `flags` VIR_DOMAIN_JOB_STATS. */
  domainJobStats(
    dom: DomainRef,
    flags?: number,
    options?: CallOptions,
  ): Promise<{ readonly type: number; readonly params: TypedParams }>;
  /** `flags` are VIR_DOMAIN_ABORT_JOB, which libvirt knows from 8.5 on; 0 works with all. */
  domainAbortJob(dom: DomainRef, flags?: number, options?: CallOptions): Promise<void>;
  domainSetMaxDowntime(dom: DomainRef, downtimeMs: number, options?: CallOptions): Promise<void>;
  domainMaxDowntimeMs(dom: DomainRef, options?: CallOptions): Promise<number>;
  /** `flags` are VIR_DOMAIN_MIGRATE_MAX_SPEED. */
  domainSetMaxSpeed(dom: DomainRef, mibPerSecond: number, flags?: number, options?: CallOptions): Promise<void>;
  domainMaxSpeedMiBPerSecond(dom: DomainRef, flags?: number, options?: CallOptions): Promise<number>;
  /**
   * Switches a running migration that was begun with VIR_MIGRATE.POSTCOPY over: the guest runs on the target from now
   * on, its pages follow.
   */
  domainStartPostCopy(dom: DomainRef, options?: CallOptions): Promise<void>;
  /** The result shows up in `domainStats` as dirtyrate.*. `mode` is VIR_DOMAIN_DIRTYRATE_MODE. */
  domainStartDirtyRate(dom: DomainRef, seconds: number, mode?: number, options?: CallOptions): Promise<void>;

  /**
   * Settles when the migration has ended, on a connection of its own. The signal ends only the wait, never the
   * migration (use domainAbortJob): it rejects with ConnectionLostError{outcome: 'unknown'} while the hosts go on. If
   * nothing has started, it rejects with ConnectError (no connection) or InvalidArgumentError (what libvirt's own
   * client would refuse).
   */
  domainMigratePeerToPeer(dom: DomainRef, migration: MigratePeerToPeer, options?: CallOptions): Promise<void>;

  /**
   * Asks libvirt and its QEMU whether the running guest could leave now; it rejects with what they say against it.
   * Nothing begins: it is the first step of a migration without the promise that another one follows. A domain with
   * another job makes it wait up to 30 s.
   */
  domainMayMigrate(dom: DomainRef, options?: CallOptions): Promise<void>;

  /**
   * A connection for one migration that the caller drives itself; closing it in the middle ends what has begun, as
   * far as libvirt can.
   */
  openMigrationSide(options?: CallOptions): Promise<MigrationSide>;

  /**
   * Resolves when the registration is in force: whatever happens from then on is in `events`, which one consumer may
   * iterate.
   */
  subscribe(options?: SubscribeOptions): Promise<{ readonly events: AsyncIterable<DomainEvent | EventGap> }>;
  /**
   * The same in one; the registration is in force when the first step has returned. Throws when the connection is
   * lost.
   */
  events(options?: SubscribeOptions): AsyncIterable<DomainEvent | EventGap>;
}

export interface OpenHostOptions {
  /** Cancels the opening, not the session. */
  readonly signal?: AbortSignal | undefined;
  readonly keepalive?: KeepaliveOptions | undefined;
  readonly readOnly?: boolean | undefined;
  /** Bounds connecting, and the exchange after it, each (default 10000). */
  readonly handshakeTimeoutMs?: number | undefined;
  /**
   * What a call that asks for something may take, 60 s unless given; ten times that for work on disks, and no bound
   * for a migration's own steps.
   */
  readonly callTimeoutMs?: number | undefined;
  readonly access?: AccessSettings | undefined;
}
