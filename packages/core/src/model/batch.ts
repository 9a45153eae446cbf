/**
 * A batch: many migrations for one reason, with a limit and an outcome for each VM. A drain and a restore are batches.
 * Types and nothing else; what changes one is in batch/step.ts.
 */
import type { HostRef } from './host.ts';
import type { BatchId, HostId, MigrationId, TimeMs, VmUuid } from './ids.ts';
import type { DirtyCurve } from './prediction.ts';

export type BatchKind = 'drain' | 'restore';

/**
 * How a VM leaves a host that is drained. `live`: as fits its state. `suspend`: paused while it moves. `cold`: it is shut
 * down, moved and started, once a host for it is known. `shutdown`: it is
 * shut down, stays, and is started again by the restore. `leave-running`: it is not touched, and the host is not empty
 * while it runs. `never`: it is not touched, and the host counts as empty with it. `start`: of a restore, a VM that was
 * shut down is started.
 */
export const maintenanceWays = ['live', 'suspend', 'cold', 'shutdown', 'leave-running', 'never'] as const;
export type MaintenanceWay = (typeof maintenanceWays)[number];
export type MemberWay = MaintenanceWay | 'start';

/**
 * `stays`: nothing is to be done. `held`: its migration was aborted, or the batch cancelled before its turn. `gone`: it
 * was deleted, or somebody else moved it.
 */
export const memberStates = [
  'waiting',
  'moving',
  'stopping',
  'moved',
  'stopped',
  'started',
  'stays',
  'failed',
  'held',
  'gone',
] as const;
export type MemberState = (typeof memberStates)[number];

export interface BatchMember {
  readonly vm: { readonly uuid: VmUuid; readonly name: string };
  readonly memoryBytes: number;
  readonly from: HostRef;
  readonly way: MemberWay;
  /** Proposed by the plan; where it went, once it has moved. */
  readonly to?: HostRef;
  readonly state: MemberState;
  /** Its last migration. */
  readonly migration?: MigrationId;
  /** How often it was tried in vain, and on which hosts. */
  readonly tries: number;
  readonly tried?: readonly HostId[];
  readonly notBefore?: TimeMs;
  /** It was shut down for its move, and is started wherever that ends. */
  readonly off?: true;
  /** It was asked to shut down. */
  readonly asked?: true;
  /** Since when it is to shut down. */
  readonly since?: TimeMs;
  /** Only to hosts where every guest keeps the memory that it was given. */
  readonly neverDegrade?: true;
  /** Why it is in this state, in a sentence. */
  readonly note?: string;
  /** What the guest was last measured to write. */
  readonly curve?: DirtyCurve;
  /** What its disks hold that are copied, by the plan. */
  readonly diskBytes?: number;
}

/**
 * `scheduled`: it begins at its time, and its hosts take VMs until then. `done`: the hosts themselves show it.
 * `incomplete`: some VMs stayed that should not have.
 */
export const batchPhases = ['scheduled', 'running', 'cancelling', 'done', 'incomplete', 'cancelled'] as const;
export type BatchPhase = (typeof batchPhases)[number];

/** How many members use the link of a host at once, and why not more. */
export interface BatchPace {
  readonly host: HostRef;
  readonly atOnce: number;
  /** Stays the same while only the figures of `why` change. */
  readonly code: 'limit' | 'link-unknown' | 'guest-unknown' | 'full' | 'alone' | 'writes' | 'all';
  readonly why: string;
}

export interface Batch {
  readonly id: BatchId;
  /** As in `drain-kvm2-9c485`. */
  readonly name: string;
  readonly kind: BatchKind;
  readonly actor: string;
  readonly client: string;
  readonly hosts: readonly HostRef[];
  /** The drain that a restore takes back. */
  readonly of?: BatchId;
  /** Of one that has not begun: when it was asked for. */
  readonly startedAt: TimeMs;
  /** When it is to begin. */
  readonly beginsAt?: TimeMs;
  /** Also the last hosts of a cluster. */
  readonly force?: true;
  /** Of its members; what does not fit waits. */
  readonly neverDegrade?: true;
  readonly endedAt?: TimeMs;
  readonly deadlineAt?: TimeMs;
  readonly phase: BatchPhase;
  /** Cancelled with the running migrations. */
  readonly abort?: true;
  readonly members: readonly BatchMember[];
  readonly pace?: readonly BatchPace[];
  /** Since when its hosts show domains that are no VMs of theirs, as far as Ferry can tell. */
  readonly strangersSince?: TimeMs;
  /** What an operator should know now, in a sentence. */
  readonly attention?: string;
}
