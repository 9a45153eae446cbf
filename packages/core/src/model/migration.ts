/**
 * The durable object of a move, with all that is stored of it. What changes it is in migration/step.ts, what the API
 * shows is derived from it in packages/api.
 */
import type { Decision } from './decision.ts';
import type { ErrorReport } from './errors.ts';
import type { HookOutcome } from './hook.ts';
import type { HostRef, ProofOfDeath } from './host.ts';
import type { MigrationId, VmUuid, TimeMs } from './ids.ts';
import type { MigrationPlan, RoomNeeded } from './plan.ts';
import type { ResolvedPolicy } from './policy.ts';
import type { Prediction } from './prediction.ts';
import type { BatchRef, MigrationKind, MigrationOrigin, MigrationRequest } from './request.ts';
import type { TransferHistory, JobSample, Part } from './transfer.ts';
import type { DomainState } from './vm.ts';

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

export type MigrationOutcome = 'succeeded' | 'failed' | 'cancelled';

/** The durable object: this VM, from here to there, this way, for this reason. */
export interface Migration {
  readonly id: MigrationId;
  readonly name: string;
  readonly vm: { readonly uuid: VmUuid; readonly name: string };
  /** The guest's memory. */
  readonly memoryBytes?: number;
  readonly kind: MigrationKind;
  readonly origin: MigrationOrigin;
  readonly batch?: BatchRef;
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
  readonly transferHistory?: TransferHistory;
  /** Made before the transfer, from what the guest was measured to write; held against the outcome at the end. */
  readonly prediction?: Prediction;
  /** What was done on the way and why, oldest first. */
  readonly decisions?: readonly Decision[];
  /** Attempts before this one, and when the next may begin. */
  readonly attempts?: readonly Attempt[];
  readonly notBefore?: TimeMs;
  /** Queued: it begins when one of these hosts has this much left. */
  readonly waitsFor?: readonly RoomNeeded[];
  /** What the hooks of its policy answered, oldest first. */
  readonly hooks?: readonly HookOutcome[];
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
  /** Of its stored document, without progress and history. It is the store's; nothing is decided by it. */
  readonly revision?: number;
}

/** From the end of the check on: the target that was chosen, and how the move is carried out. */
export type Planned = Migration & Required<Pick<Migration, 'to' | 'plan'>>;

export const isPlanned = (migration: Migration): migration is Planned =>
  migration.to !== undefined && migration.plan !== undefined;

/** What becomes of the VM is settled, and hooks are told of it: it is watched and settled like any other VM. */
export const isClosing = ({ evidence }: Pick<Migration, 'evidence'>): boolean => evidence.closing !== undefined;

export interface MigrationEvidence {
  /** The call that performs the move has ended (well, badly or unknown); absent while it may still run. */
  readonly performEnded?: { readonly at: TimeMs; readonly failure?: CallFailure };
  /** The memory's share of the link has been set. */
  readonly memoryLimitedAt?: TimeMs;
  /** Ports that the target said are in use, though no migration has them. */
  readonly portsBusy?: readonly number[];
  /** The policy, or the operator, had the guest paused until it has arrived. */
  readonly pausedAt?: TimeMs;
  /** It did not move, and is resumed where it is since then. */
  readonly resumingSince?: TimeMs;
  /** The copy of its disks has had no incoming half since then, although the source still sends. */
  readonly copyLostSince?: TimeMs;
  /** The policy has given it up, in its words; `powerOff`: the guest is shut down then and moved cold. */
  readonly gaveUp?: {
    readonly text: string;
    readonly at: TimeMs;
    readonly powerOff?: true;
    readonly targetSilent?: true;
  };
  /** The guest is shut down to be moved cold: should that fail, it is started where it was. */
  readonly poweredOffAt?: TimeMs;
  /** When the hosts reported that the guest was paused for the switch, and that it ran on the target. */
  readonly seen?: { readonly pausedAt?: TimeMs; readonly runsAt?: TimeMs };
  /** Limits that an operator asked for and the source has not taken yet. */
  readonly tuning?: Pick<
    MigrationRequest,
    'maxBandwidthMiBPerSecond' | 'maxDowntimeMs' | 'deadlineMs' | 'quicklyFinish'
  >;
  /** Limits that were set before the first pass: libvirt replaces them by those of the request. */
  readonly earlyLimits?: Pick<MigrationRequest, 'maxBandwidthMiBPerSecond' | 'maxDowntimeMs'>;
  /** Handover: from here on the target may run the guest. */
  readonly releasedAt?: TimeMs;
  /** An interrupted post-copy: since when, and how often its resumption was tried. */
  readonly postCopyRecovery?: {
    readonly since: TimeMs;
    readonly tries: number;
    readonly triedAt?: TimeMs;
    readonly trying?: true;
  };
  /** Its post-copy is complete, and the source was never told: its half stays paused until a person ends it. */
  readonly sourceHalfLeft?: true;
  /** In direct mode: the memory has arrived, and the order to run on the target is sent or about to be sent. */
  readonly handedOverAt?: TimeMs;
  /** First time the target was seen running while the source was still there, paused. */
  readonly targetRunningSince?: TimeMs;
  /** How it ends once what was prepared is taken back. */
  readonly ending?: { readonly outcome: MigrationOutcome; readonly error?: ErrorReport };
  /** How it has ended: what is left is to call the hooks that are told so. */
  readonly closing?: { readonly outcome: MigrationOutcome; readonly at: TimeMs; readonly error?: ErrorReport };
  /**
   * First time of an unbroken series of observations with the same verdict, which some verdicts need to be believed.
   */
  readonly verdictSince?: { readonly verdict: string; readonly at: TimeMs };
}

/** An attempt that failed and left the VM where it was. */
export interface Attempt {
  readonly at: TimeMs;
  readonly to?: HostRef;
  readonly error: ErrorReport;
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
  /** Absent while unknown: the guest dirties memory as fast as the link carries it, or there are no samples yet. */
  readonly etaMs?: number;
  readonly etaEarliestMs?: number;
  readonly etaLatestMs?: number;
}

/** How a call to a host failed. `unknown`: it may have taken effect (connection lost while it ran). */
export interface CallFailure {
  readonly outcome: 'refused' | 'unknown';
  readonly message: string;
  /** The source's daemon had no connection to the target's. */
  readonly notReached?: true;
  /** A recovery was refused because the transfer has not broken, or goes on already: to wait is right. */
  readonly stillRunning?: true;
  /** libvirt was not asked: it is known not to survive the question. */
  readonly notAsked?: true;
}

export const isFinished = (migration: Pick<Migration, 'outcome'>): boolean => migration.outcome !== undefined;
