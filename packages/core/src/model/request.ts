/**
 * What an operator, or a batch, asks for. Types and nothing else.
 */
import type { DefinitionMap } from './host.ts';
import type { TransferMode, Compression } from './transfer.ts';

/**
 * `live`: the guest runs on through the move. `suspended`: it is paused (or saved) while it moves. `cold`: it is shut
 * off, its disks travel. `configuration`: its definition only. `evacuation`: it is started elsewhere because its host
 * died.
 */
export type MigrationKind = 'live' | 'cold' | 'suspended' | 'configuration' | 'evacuation';

/** Why a migration exists; in the order of their priority (migration/priority.ts). */
export const migrationOrigins = ['host-failure', 'host-shutdown', 'operator', 'drain', 'restore', 'rebalance'] as const;

export type MigrationOrigin = (typeof migrationOrigins)[number];

/** The batch that a migration is a member of. */
export interface BatchRef {
  readonly id: string;
  /** Its members are named after it. */
  readonly name: string;
}

/** Who asked for a migration, by which program, and why. */
export interface RequestedBy {
  readonly actor: string;
  readonly client: string;
  /** `operator` unless given. */
  readonly origin?: MigrationOrigin;
  readonly batch?: BatchRef;
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
  /** Once further passes gain nothing, the pause may be as long as the rest needs. */
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
  /** The operator states that storage is shared where Ferry cannot find out. */
  readonly assumeShared?: boolean;
  /** What the policy refuses because of the CPU, or of the kernel, is only said. */
  readonly skipCpuCheck?: boolean;
  readonly skipKernelCheck?: boolean;
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
  /** The target takes it only while the memory that all its guests were given fits into the host's. */
  readonly neverDegrade?: boolean;
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
