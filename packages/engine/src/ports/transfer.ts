/** Ports: the job that moves a guest, and what is changed of it while it runs. */
import type { CallFailure, JobSample, MayLeave, TransferPlan, VmUuid } from '@ferry/core';

export interface PerformRequest {
  readonly uuid: VmUuid;
  /** URI by which the source's daemon reaches the target's. */
  readonly destinationUri: string;
  readonly maxBandwidthMiBPerSecond?: number;
  /**
   * In post-copy, for pages that the guest does not wait for: those it waits for are sent at once, and must not stand
   * behind the others.
   */
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
  /** What is not copied is shared, whether or not libvirt takes its storage for that. */
  readonly vouched?: true;
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

/**
 * begin, perform and confirm are the source's, prepare and finish the target's. Each may reject; `failureOf` says
 * what that means.
 */
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

/** The job that moves a guest off this host. Failures of `perform` and `recover` are data. */
export interface TransferPort {
  /**
   * Lets the source's daemon run the migration; resolves when the call ended. Abandoning the wait never aborts the
   * job.
   */
  perform(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /** Whether the running guest could leave now, as libvirt and QEMU say; nothing begins. */
  mayLeave(uuid: VmUuid, signal: AbortSignal): Promise<MayLeave>;
  /** One side of a migration that the engine drives; what it has begun ends with it. */
  openSide(request: PerformRequest, side: 'source' | 'target', signal: AbortSignal): Promise<DirectSide>;
  /**
   * Takes up a migration that broke in post-copy, with the request that began it; resolves when the call ended. Nothing
   * is lost by a failure, and it is not the last word: soon after another attempt libvirt may tell of that one, while
   * QEMU is at work again and ends by itself. `stillRunning`: the link was back before QEMU noticed, or another call is
   * at it; it ends by itself. It may hang (the target's QEMU waits for a page while it holds its own lock: an emulated
   * guest, just after the switch), and `stillRunning` may be said for ever: then, or where the connection broke after
   * QEMU's last page (`stillSends` in core).
   */
  recover(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /** Figures of the running job; undefined when there is none. */
  sample(uuid: VmUuid, signal: AbortSignal): Promise<JobSample | undefined>;
  abort(uuid: VmUuid, signal: AbortSignal): Promise<void>;
}

/** Changes to a running job. */
export interface SteeringPort {
  /** Acts at once on a running migration, and counts for those after it. */
  tune(uuid: VmUuid, limits: TransferLimits, signal: AbortSignal): Promise<void>;
  /** Of a running migration that may; nothing is rolled back from then on. */
  startPostCopy(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** QEMU slows the guest of a running migration down no more. libvirt has no call for it: see `GuestPort.announce`. */
  releaseThrottle(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Cuts the connections over which disks are copied, at once and without a word to the other side (QEMU's `yank`,
   * since 6.0): what waits for them fails, the migration with it, and the guest goes on with its own disks. Nothing
   * happens where none is copied. See `GuestPort.announce`.
   */
  cutCopies(uuid: VmUuid, signal: AbortSignal): Promise<void>;
}
