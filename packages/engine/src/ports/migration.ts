/** Port: what a migration does on one host. */
import type { CallFailure, InstanceView, JobSample, TransferPlan, VmUuid } from '@ferry/core';

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

/** A paused domain without memory to speak of that holds disks, so that they can be moved by libvirt's own means. */
export interface HelperDomain {
  readonly uuid: VmUuid;
  readonly name: string;
  /** Absent: what the host takes for a PC. */
  readonly machine?: string;
  /**
   * The VM whose disks these are: what its definition says of the images below one, and of its encryption, holds for
   * the helper, too.
   */
  readonly vm: VmUuid;
  /** The VM's memory is saved: the definition inside holds for disks, too, that the VM's does not have. */
  readonly saved?: true;
  /** `of`: device of the VM; absent where the file itself travels, whatever is in it. */
  readonly disks: readonly {
    readonly target: string;
    readonly of?: string;
    readonly path: string;
    readonly format: string;
    readonly sizeBytes: number;
  }[];
}

/** What a migration does on one host. None of these decides; failures of `perform` are data. */
export interface MigrationDriver {
  /** Writes the marker into the domain's metadata (live and persistent definition). */
  mark(uuid: VmUuid, marker: MigrationMarker, signal: AbortSignal): Promise<void>;
  /**
   * Lets the source's daemon run the migration; resolves when the call ended. Abandoning the wait never aborts the
   * job.
   */
  perform(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /** One side of a migration that the engine drives; what it has begun ends with it. */
  openSide(request: PerformRequest, side: 'source' | 'target', signal: AbortSignal): Promise<DirectSide>;
  /** Acts at once on a running migration, and counts for those after it. */
  tune(uuid: VmUuid, limits: TransferLimits, signal: AbortSignal): Promise<void>;
  /** Of a running migration that may; nothing is rolled back from then on. */
  startPostCopy(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Takes up a migration that broke in post-copy, with the request that began it; resolves when the call ended. Nothing
   * is lost by a failure, and it is not the last word: soon after another attempt libvirt may tell of that one (code
   * 9), while QEMU is at work again and ends by itself. `stillRunning`: the link was back before QEMU noticed, or
   * another call is at it; it ends by itself. It may hang (the target's QEMU waits for a page while it holds its own
   * lock: an emulated guest, just after the switch), and `stillRunning` may be said for ever: then, or where the
   * connection broke after QEMU's last page (`stillSends` in core).
   */
  recover(request: PerformRequest, signal: AbortSignal): Promise<{ readonly failure?: CallFailure }>;
  /**
   * Pauses the guest. One that is being moved live runs again by itself, here when the move ends early, there when it
   * has arrived.
   */
  suspend(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  resume(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** QEMU slows the guest of a running migration down no more. libvirt has no call for it: see `announce`. */
  releaseThrottle(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Cuts the connections over which disks are copied, at once and without a word to the other side (QEMU's `yank`,
   * since 6.0): what waits for them fails, the migration with it, and the guest goes on with its own disks. Nothing
   * happens where none is copied. See `announce`.
   */
  cutCopies(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Lets QEMU tell the network again where the guest's cards are (RARP, five frames each within a second). libvirt has
   * no call for it: the command goes past it to QEMU, and libvirt marks the domain as tainted by that in its log. Waits
   * while a migration comes in.
   */
  announce(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Lets the guest's agent set the guest's clock to the time of this machine. False when no agent is connected. Rejects
   * when it does not answer (libvirt gives it 5 s) or cannot; one that hangs in its work is waited for until the signal
   * aborts.
   */
  setGuestTime(uuid: VmUuid, signal: AbortSignal): Promise<boolean>;
  /** Asks the guest to shut down, and does not wait until it has. */
  shutdown(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * Bytes per second of the pages that a running guest wrote within this time, each page counted once; takes as long,
   * and costs the host a look at 512 pages per GiB. Undefined where the host cannot measure.
   */
  dirtyRate(uuid: VmUuid, seconds: number, signal: AbortSignal): Promise<number | undefined>;
  /** Figures of the running job; undefined when there is none. */
  sample(uuid: VmUuid, signal: AbortSignal): Promise<JobSample | undefined>;
  /** What is on this host of the VM, with the figures of a completed migration where libvirt still has them. */
  observe(uuid: VmUuid, signal: AbortSignal): Promise<InstanceView>;
  abortJob(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /**
   * `process`: ends the running domain, keeps a persistent definition. `definition`: undefines a shut-off domain, and
   * drops its saved memory.
   */
  remove(uuid: VmUuid, what: 'process' | 'definition', signal: AbortSignal): Promise<void>;
}
