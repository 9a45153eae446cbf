/**
 * The nouns of Ferry as plain data: hosts, instances, VMs and migrations, as the vocabulary page defines them.
 * No behaviour and no wire format: what the API shows is derived from these (packages/api), what libvirt says is
 * translated into these (packages/adapters).
 */
import type { Course, Part } from '../convergence/transfer-history.ts';
import type { Decision } from '../convergence/decide.ts';
import type { JobSample } from '../convergence/sample.ts';
import type { ErrorReport } from '../errors.ts';
import type { Compression, MigrationPlan, RoomNeeded, TransferMode } from './plan.ts';
import type { HostId, MigrationId, TimeMs, VmUuid } from './ids.ts';
import type { ResolvedPolicy } from '../policy/policy.ts';

/** Domain states of libvirt (virDomainState); `unknown` is Ferry's, for a host that does not answer. */
export type DomainState =
  | 'running'
  | 'blocked'
  | 'paused'
  | 'shutting-down'
  | 'shut-off'
  | 'crashed'
  | 'pm-suspended'
  | 'no-state'
  | 'unknown';

/** Why a domain is in its state, as far as a decision depends on it; every other reason is `other`. */
export type StateReason =
  | 'booted'
  | 'migrated'
  | 'migration'
  | 'migration-canceled'
  | 'post-copy'
  | 'post-copy-failed'
  | 'user'
  | 'saved'
  | 'other';

/** A host as the operator added it: an intent. */
export interface Host {
  readonly id: HostId;
  /** Unique in the fleet; libvirt's host name unless the operator gave another. */
  readonly name: string;
  /** libvirt URI by which the control plane, and other hosts in a peer-to-peer migration, reach it. */
  readonly uri: string;
  /** Name of its cluster. */
  readonly cluster: string;
  /** Where migration data reaches it, when that is not where its URI leads. */
  readonly migrationAddress?: string;
  /** UUID in the host's capabilities: tells that two URIs lead to one host. */
  readonly machineUuid: string;
  readonly addedAt: TimeMs;
  /** Known only for a migration that leads to it; forgotten with that. */
  readonly outside?: true;
}

/** Names on the source and what stands for them on the target. */
export interface DefinitionMap {
  /** libvirt's networks and the host's bridges. */
  readonly networks?: Readonly<Record<string, string>>;
  readonly pools?: Readonly<Record<string, string>>;
  /** Files and folders; what lies below goes along. */
  readonly paths?: Readonly<Record<string, string>>;
  /** Address on which the target's consoles listen. */
  readonly graphicsListen?: string;
}

/** Hosts that share what follows; a VM moves inside of its cluster unless asked otherwise. */
export interface Cluster {
  readonly name: string;
  /** Network as in 10.1.0.0/16: migration data goes to an address in it, or the move is refused. */
  readonly migrationNetwork?: string;
  /** Ports on the target for migration data, in place of libvirt's own range. */
  readonly migrationPorts?: { readonly first: number; readonly last: number };
  /** Migration data is encrypted unless asked otherwise. */
  readonly tls?: boolean;
  /** For VMs that come in. */
  readonly map?: DefinitionMap;
  /** Name of the policy for VMs that leave hosts of the cluster. */
  readonly policy?: string;
}
export const defaultCluster = 'default';
/** Cluster of hosts that are not of the fleet. */
export const outsideCluster = 'outside';

/** `other-machine`: what answers at its address is not the machine that was added; nothing is done there. */
export type HostState = 'connecting' | 'connected' | 'unreachable' | 'other-machine';

/** How a host runs guests of one architecture. */
export interface GuestSupport {
  readonly arch: string;
  /** The program that it takes unless a definition names another. */
  readonly emulator: string;
  readonly machines: readonly string[];
  /** `pc` and the like, which stand for another machine type on each host. */
  readonly aliases: readonly string[];
  /** `kvm`, `qemu`. */
  readonly domainTypes: readonly string[];
}

/** What a host reports of itself. */
export interface HostFacts {
  readonly hostname: string;
  readonly machineUuid: string;
  readonly libvirtVersion: string;
  readonly qemuVersion: string;
  readonly cpu: { readonly arch: string; readonly model: string; readonly vendor: string; readonly threads: number };
  readonly memoryBytes: number;
  /** Absent when the host does not tell. */
  readonly guests?: readonly GuestSupport[];
  /** The fastest of its network cards that are up, in Mbit/s; absent when the host does not tell. */
  readonly linkMbit?: number;
  /** Hardware addresses of its network cards, virtual ones left out; absent when the host does not tell. */
  readonly cards?: readonly string[];
}

/** A host with what is known of it now. */
export interface HostView {
  readonly host: Host;
  readonly state: HostState;
  /** Why the host cannot be used, in one sentence. */
  readonly stateDetail?: string;
  /** Last reported facts; absent until the first connection. */
  readonly facts?: HostFacts;
  readonly freeMemoryBytes?: number;
}

export interface Disk {
  /** Device name in the guest, e.g. `vda`. */
  readonly target: string;
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** libvirt's disk type: file, block, network, volume, ... */
  readonly type: string;
  /** Path, `protocol:name` or `pool/volume`; absent for an empty drive. */
  readonly source?: string;
  readonly format?: string;
  readonly readOnly: boolean;
}

/** One libvirt domain on one host. */
export interface Instance {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly state: DomainState;
  readonly reason: StateReason;
  readonly persistent: boolean;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly disks: readonly Disk[];
}

/** What an instance is to its VM; see the vocabulary. */
export type InstanceRole = 'authoritative' | 'parked' | 'incoming' | 'conflict';

export interface Vm {
  readonly uuid: VmUuid;
  readonly name: string;
  /** Host of the authoritative instance. */
  readonly hostId: HostId;
  readonly state: DomainState;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly disks: readonly Disk[];
  readonly instances: readonly { readonly hostId: HostId; readonly role: InstanceRole; readonly instance: Instance }[];
  readonly currentMigration?: MigrationId;
}

/**
 * `live`: the guest runs on through the move. `suspended`: it is paused (or saved) while it moves. `cold`: it is shut
 * off, its disks travel. `configuration`: its definition only. `evacuation`: it is started elsewhere because its host
 * died.
 */
export type MigrationKind = 'live' | 'cold' | 'suspended' | 'configuration' | 'evacuation';
export type MigrationOrigin = 'operator';
export type MigrationOutcome = 'succeeded' | 'failed' | 'cancelled';

export const migrationPhases = [
  'queued',
  'checking',
  'preparing',
  'transferring',
  'switching',
  'post-copy',
  'verifying',
  'cleaning',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type MigrationPhase = (typeof migrationPhases)[number];

export interface HostRef {
  readonly id: HostId;
  readonly name: string;
}

/** The last figures of a transfer, as far as they are for people. */
export interface MigrationProgress extends Pick<
  JobSample,
  | 'processedBytes'
  | 'remainingBytes'
  | 'totalBytes'
  | 'dirtyBytesPerSecond'
  | 'throughputBytesPerSecond'
  | 'iteration'
  | 'throttlePercent'
  | 'postCopyFaults'
> {
  /** 0 to 100; never runs backwards, 100 only when the migration succeeded. */
  readonly percent: number;
  /** Sent for the memory so far, pages that were sent again included. */
  readonly sentBytes?: number;
  /** Where the switch to post-copy found it. */
  readonly postCopyFrom?: { readonly percent: number; readonly remainingBytes: number };
  /** What is being sent. */
  readonly part?: Part;
  /**
   * Absent while it cannot be told: the guest dirties memory as fast as the link carries it, or nothing is known yet.
   */
  readonly etaMs?: number;
  readonly etaEarliestMs?: number;
  readonly etaLatestMs?: number;
}

/** What the operator asked for. */
export interface MigrationRequest {
  /** This host or none. */
  readonly to?: string;
  /** Tried first; another suited host otherwise. */
  readonly preferHost?: string;
  readonly maxBandwidthMiBPerSecond?: number;
  /** Longest pause for the switchover that QEMU aims at; absent: what the policy says. */
  readonly maxDowntimeMs?: number;
  /** Name of the policy, in place of the one that its labels or its cluster select. */
  readonly policy?: string;
  /** From the request on, ms. */
  readonly deadlineMs?: number;
  /** The pause may become as long as the rest needs once passes gain nothing. */
  readonly quicklyFinish?: boolean;
  /** What a failed target leaves is kept for a look at it. */
  readonly keepTargetOnFailure?: boolean;
  /** Absent: the one that fits the state of the VM. */
  readonly kind?: MigrationKind;
  /** The target's instance is transient: when it shuts down, the source's definition is the VM again. */
  readonly temporary?: boolean;
  /** The source keeps a parked definition, autostart off. */
  readonly keepSource?: boolean;
  /** Disks that were copied are deleted on the source once the target is verified; they are kept otherwise. */
  readonly deleteSourceDisks?: boolean;
  /** Copies go into volumes that the operator prepared. */
  readonly useExistingVolumes?: boolean;
  /** The operator states that storage whose sharing cannot be told is shared. */
  readonly assumeShared?: boolean;
  /** A VM that was shut off or saved is started on the target. */
  readonly autoStart?: boolean;
  /** Absent: the hosts do it among themselves where the source reaches the target, otherwise Ferry drives. */
  readonly mode?: TransferMode;
  /** Memory and disks travel encrypted, the peer verified. Absent: what the cluster says. */
  readonly tls?: boolean;
  /** Through the connection of the two daemons. */
  readonly tunnelled?: boolean;
  /** Connections for memory (QEMU's multifd). */
  readonly parallelConnections?: number;
  readonly compression?: Compression;
  readonly zeroCopy?: boolean;
  readonly map?: DefinitionMap;
  /** The definition for the target, in place of the VM's own. */
  readonly xml?: string;
  /** Images of drives that only the source has: copied as files, or the drive arrives empty. */
  readonly media?: 'copy' | 'eject';
  /** Networks, filters and secrets that the target lacks are made there as on the source. */
  readonly createMissing?: boolean;
  /** It may be switched to post-copy while it runs; absent: what the policy says. */
  readonly postCopy?: boolean;
  /** The target may be, and is chosen, in this cluster. */
  readonly toCluster?: string;
  /**
   * The VM's host is down: start it elsewhere from what is stored. The statement is the operator's word that the host
   * is dead.
   */
  readonly rescue?: { readonly statement: string; readonly by?: string };
}

/** Evidence that no VM of a host can still run; so far an operator's statement. */
export interface ProofOfDeath {
  readonly host: string;
  readonly statement: string;
  readonly actor: string;
  readonly at: TimeMs;
}

/** The durable object: this VM, from here to there, this way, for this reason. */
export interface Migration {
  readonly id: MigrationId;
  readonly name: string;
  readonly vm: { readonly uuid: VmUuid; readonly name: string };
  /** The guest's memory. */
  readonly memoryBytes?: number;
  readonly kind: MigrationKind;
  readonly origin: MigrationOrigin;
  readonly actor: string;
  readonly client: string;
  readonly request: MigrationRequest;
  readonly from: HostRef;
  readonly to?: HostRef;
  readonly plan?: MigrationPlan;
  readonly proofOfDeath?: ProofOfDeath;
  /** What it goes by, as it was when the migration was asked for. */
  readonly policy?: ResolvedPolicy;
  readonly deadlineAt?: TimeMs;
  /** Of this attempt. */
  readonly course?: Course;
  /** What was done on the way and why, oldest first. */
  readonly decisions?: readonly Decision[];
  /** Attempts before this one, and when the next may begin. */
  readonly attempts?: readonly Attempt[];
  readonly notBefore?: TimeMs;
  /** Told to wait: it begins when one of these hosts has this much left. */
  readonly waitsFor?: readonly RoomNeeded[];
  /** What an operator should know now; in one sentence. */
  readonly attention?: string;
  readonly phase: MigrationPhase;
  readonly phases: readonly { readonly phase: MigrationPhase; readonly at: TimeMs }[];
  readonly outcome?: MigrationOutcome;
  readonly progress?: MigrationProgress;
  /** From the request to the stored end, verification included. */
  readonly totalMs?: number;
  /**
   * Pause of the guest as libvirt reports it (`downtime` of the completed job); of a running guest moved suspended,
   * the whole transfer.
   */
  readonly downtimeMs?: number;
  /**
   * Bytes sent for the memory (`memory_processed` of the completed job) and what the copied disks hold on the target.
   */
  readonly transferredBytes?: number;
  readonly vmIsNow?: { readonly host: string; readonly state: DomainState };
  readonly error?: ErrorReport;
  readonly abortRequestedAt?: TimeMs;
  /** True once a restarted control plane took over a transfer that it did not start itself. */
  readonly adopted?: true;
  /** Facts the end is judged by that must survive a restart. */
  readonly evidence: MigrationEvidence;
}

/** An attempt that failed and left the VM where it was. */
export interface Attempt {
  readonly at: TimeMs;
  readonly to?: HostRef;
  readonly error: ErrorReport;
}

export interface MigrationEvidence {
  /** The call that performs the move has ended (well, badly or unknown); absent while it may still run. */
  readonly performEnded?: { readonly at: TimeMs; readonly failure?: CallFailure };
  /** The memory's share of the link was told. */
  readonly memoryLimitedAt?: TimeMs;
  /** Ports that the target said are in use, though no migration has them. */
  readonly portsBusy?: readonly number[];
  /** The policy, or the operator, had the guest paused until it has arrived. */
  readonly pausedAt?: TimeMs;
  /** The policy has given it up, in its words; `powerOff`: the guest is shut down then and moved cold. */
  readonly gaveUp?: {
    readonly text: string;
    readonly at: TimeMs;
    readonly powerOff?: true;
    readonly targetSilent?: true;
  };
  /** The guest is shut down to be moved cold: should that fail, it is started where it was. */
  readonly poweredOffAt?: TimeMs;
  /** When the hosts told that the guest was paused for the switch, and that it ran on the target. */
  readonly seen?: { readonly pausedAt?: TimeMs; readonly runsAt?: TimeMs };
  /** Handover: the target is told to run from here on. */
  readonly releasedAt?: TimeMs;
  /** A broken post-copy: since when, and how often its resumption was tried. */
  readonly broken?: {
    readonly since: TimeMs;
    readonly tries: number;
    readonly triedAt?: TimeMs;
    readonly trying?: true;
  };
  /** In direct mode: the memory has gone over and the target was, or is about to be, told to run. */
  readonly handedOverAt?: TimeMs;
  /** First time the target was seen running while the source was still there, paused. */
  readonly targetRunningSince?: TimeMs;
  /** How it ends once what was prepared is taken back. */
  readonly ending?: { readonly outcome: MigrationOutcome; readonly error?: ErrorReport };
  /**
   * First time of an unbroken series of observations with the same verdict, which some verdicts need to be believed.
   */
  readonly verdictSince?: { readonly verdict: string; readonly at: TimeMs };
}

/** How a call to a host failed. `unknown`: it may have taken effect (connection lost while it ran). */
export interface CallFailure {
  readonly outcome: 'refused' | 'unknown';
  readonly message: string;
  /** libvirt's error code (virErrorNumber), when libvirt answered. */
  readonly libvirtCode?: number;
  /** The source's daemon had no connection to the target's. */
  readonly notReached?: true;
  /** A recovery was refused because the transfer has not broken, or goes on already: to wait is right. */
  readonly stillRunning?: true;
  /** libvirt was not asked: it is known not to survive the question. */
  readonly notAsked?: true;
}

export const isFinished = (migration: Pick<Migration, 'outcome'>): boolean => migration.outcome !== undefined;
