/**
 * What may happen to a migration, and what the engine must do about it: the vocabulary of step.ts. An event says what
 * was seen or requested; an effect is carried out by the engine once the migration that it came with is stored.
 */
import type { Hook, HookAnswer } from '../model/hook.ts';
import type { Migration, CallFailure } from '../model/migration.ts';
import type { CheckResult, TransferPlan } from '../model/plan.ts';
import type { Prediction } from '../model/prediction.ts';
import type { Reason } from '../model/reasons.ts';
import type { MigrationRequest } from '../model/request.ts';
import type { JobSample } from '../model/transfer.ts';
import type { InstanceView } from '../model/vm.ts';

export type OperatorLimits = Pick<
  MigrationRequest,
  'maxBandwidthMiBPerSecond' | 'maxDowntimeMs' | 'deadlineMs' | 'quicklyFinish'
>;

/** What an operator asks of a migration; see commands.ts. */
export type MigrationCommand =
  /** `vmIsNow`: what the hosts show, for one that has not begun. */
  | { readonly type: 'abort-requested'; readonly vmIsNow?: Migration['vmIsNow'] }
  | { readonly type: 'tune-requested'; readonly limits: OperatorLimits }
  /** The guest is to run on the target while its pages follow. */
  | { readonly type: 'post-copy-requested' }
  /** The guest is to be paused until it has arrived. */
  | { readonly type: 'pause-requested' };

export type MigrationEvent =
  | { readonly type: 'admitted' }
  /** A restarted control plane found this migration unfinished. */
  | { readonly type: 'recovered' }
  /** `vmIsNow`: what the hosts show; undefined: nowhere. */
  | { readonly type: 'checked'; readonly result: CheckResult; readonly vmIsNow?: Migration['vmIsNow'] | 'nowhere' }
  /**
   * Other ports of the target for a transfer that could not begin because somebody has those it was given; undefined:
   * none is left.
   */
  | { readonly type: 'ports-chosen'; readonly transfer?: TransferPlan }
  /** Before the transfer begins, where its policy may not end it. */
  | { readonly type: 'predicted'; readonly prediction: Prediction }
  | { readonly type: 'hook-answered'; readonly hook: Hook; readonly answer: HookAnswer; readonly tookMs: number }
  /** Once the hooks of `before` had agreed. `reasons`: what has changed meanwhile, so that the move may not begin. */
  | { readonly type: 'looked-again'; readonly reasons: readonly Reason[] }
  | { readonly type: 'prepared'; readonly failure?: CallFailure }
  | { readonly type: 'sampled'; readonly sample: JobSample }
  /** The source's domain was paused for the switchover, or the target resumed. */
  | { readonly type: 'switching'; readonly what?: 'paused' | 'runs' }
  /** Direct mode: the memory is sent; next the target starts the guest. */
  | { readonly type: 'handing-over' }
  /** Limits of an operator hold from now on: those of the transfer once the source took them. */
  | { readonly type: 'limits-changed'; readonly limits: OperatorLimits }
  | { readonly type: 'perform-ended'; readonly failure?: CallFailure }
  | { readonly type: 'observed'; readonly source: InstanceView; readonly target: InstanceView }
  | MigrationCommand
  /** The guest was started on the target, and its pages follow. */
  | { readonly type: 'post-copy-started' }
  /** A measure of the policy, or an operator's, was not taken: the host says why. */
  | {
      readonly type: 'measure-refused';
      readonly measure: 'post-copy' | 'pause-guest' | 'tune' | 'release-throttle';
      readonly message: string;
    }
  /** The attempt to resume an interrupted post-copy is over. */
  | { readonly type: 'recover-ended'; readonly failure?: CallFailure }
  /** What follows a move is tried again and again. */
  | { readonly type: 'cleaning-fails'; readonly message: string }
  /**
   * The work after a move, or the undo of a failed one, is done. `failure`: part of it failed; `moved` says where the
   * VM is.
   */
  | {
      readonly type: 'cleaned';
      readonly failure?: { readonly message: string; readonly moved: boolean };
      readonly vmIsNow?: Migration['vmIsNow'];
      readonly copiedBytes?: number;
    };

export type MigrationEffect =
  | { readonly type: 'check' }
  | { readonly type: 'call-hook'; readonly hook: Hook }
  /** The hosts are asked once more, before anything is done. */
  | { readonly type: 'look-again' }
  | { readonly type: 'prepare' }
  | { readonly type: 'perform' }
  | { readonly type: 'abort-job' }
  | {
      readonly type: 'tune';
      readonly limits: {
        readonly maxDowntimeMs?: number;
        readonly memoryBandwidthMiBPerSecond?: number;
        readonly maxBandwidthMiBPerSecond?: number;
        readonly postCopyBandwidthMiBPerSecond?: number;
      };
      /** What the operator asked for, where this is by an operator: `limits-changed` once it is in force. */
      readonly asked?: OperatorLimits;
    }
  | { readonly type: 'post-copy' }
  | { readonly type: 'pause-guest' }
  | { readonly type: 'release-throttle' }
  /**
   * First the connections over which disks are copied are cut, then the job is aborted: writes of the guest that wait
   * for a dead copy go on.
   */
  | { readonly type: 'cut-copies' }
  /** The helper on the source is ended: it holds no guest, and its QEMU waits for a dead copy. */
  | { readonly type: 'end-helper' }
  /** Resumes an interrupted post-copy. */
  | { readonly type: 'recover' }
  /** Handover: the target runs from now on. */
  | { readonly type: 'release-target' }
  | { readonly type: 'shut-down-source' }
  /** By its policy: the guest did not shut down in its time. Only where it is seen on the source alone. */
  | { readonly type: 'end-source-guest' }
  /** Pauses both of two running copies. */
  | { readonly type: 'suspend-both' }
  | { readonly type: 'observe'; readonly afterMs: number }
  /** The source's daemon does not reach the target's: remembered for later moves. */
  | { readonly type: 'note-not-reached'; readonly message: string }
  | { readonly type: 'resume-source' }
  | { readonly type: 'remove-source-process' }
  | { readonly type: 'remove-target-process' }
  | { readonly type: 'clean' }
  /** Chooses other ports of the target, none of which a migration has. */
  | { readonly type: 'choose-ports' }
  /** Takes back what was prepared: volumes, helper domain. */
  | { readonly type: 'undo' };

export interface Step<M extends Migration = Migration> {
  readonly migration: M;
  readonly effects: readonly MigrationEffect[];
}
