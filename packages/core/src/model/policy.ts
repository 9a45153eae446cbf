/**
 * A policy: how far a migration may go to come to its end, as data. It names the measures and when each is due; whether
 * that moment has come is decided by convergence/decide.ts. A policy is resolved once, at the checks, and kept on the
 * migration.
 */
import type { Hook } from './hook.ts';
import type { TimeMs } from './ids.ts';
import type { ReasonCode } from './reasons.ts';
import type { Compression } from './transfer.ts';

/** When a step is due. */
export type Trigger =
  /** Pre-copy does not converge, or not within `patience`. */
  | { readonly when: 'forecast' }
  /** More than this number of passes over the memory have ended, the first one included. */
  | { readonly when: 'passes'; readonly count: number }
  /** So many passes in a row left no less than the best one before them. Passes on a slowed link are not counted. */
  | { readonly when: 'stalled'; readonly passes: number }
  /** Time since the transfer began: `ms`, or `msPerGib` for each GiB of memory and copied disks where that is more. */
  | { readonly when: 'elapsed'; readonly ms?: number; readonly msPerGib?: number }
  /** The smallest remainder has not shrunk for this time. */
  | { readonly when: 'no-progress'; readonly ms: number }
  /** The guest has been throttled by this percentage for this number of passes. */
  | { readonly when: 'throttled'; readonly percent: number; readonly passes: number }
  /** The deadline has come. */
  | { readonly when: 'deadline' };

/** What is done then. Once, except `fit-downtime`, which may be repeated up to the limit. */
export type Measure =
  /** The pause budget becomes `toMs`. */
  | { readonly do: 'raise-downtime'; readonly toMs: number }
  /** The pause budget doubles, up to the limit; as often as it is due. */
  | { readonly do: 'double-downtime' }
  /** The pause budget becomes what the smallest rest needs, where the limit allows that. */
  | { readonly do: 'fit-downtime' }
  /** The guest runs on the target, its pages follow. */
  | { readonly do: 'post-copy' }
  /** The guest is paused until it has arrived. */
  | { readonly do: 'pause' }
  /** The live migration is aborted; the guest is shut down, moved cold and started again. */
  | { readonly do: 'power-off' }
  | { readonly do: 'abort' };

export type MeasureName = Measure['do'];

export type PolicyStep = Trigger & Measure;

export interface PolicyContent {
  /** In one sentence, for people. */
  readonly description: string;
  /** Pause of the guest for the switchover that QEMU aims at, ms: at first, and at most after any step. */
  readonly downtime: { readonly initialMs: number; readonly limitMs: number };
  /** In the order in which they are tried. A step that is due but cannot be taken is passed over. */
  readonly steps: readonly PolicyStep[];
  /** `forecast` holds if everything after the first pass would take longer than this number of times that pass. */
  readonly patience?: number;
  /** QEMU slows the guest's CPUs down when it dirties memory too fast; percent. */
  readonly throttle?: { readonly initialPercent: number; readonly incrementPercent: number };
  /** `if-recoverable`: where both hosts can resume an interrupted one (libvirt 8.5 and later). */
  readonly postCopy: 'never' | 'if-recoverable' | 'allowed';
  readonly compression?: Compression;
  readonly connections?: number;
  /** MiB/s for memory and disks each. */
  readonly bandwidthMiBPerSecond?: number;
  /**
   * Share of the slower host's link, above 0 up to 1, where the hosts report its speed; `bandwidthMiBPerSecond` goes
   * before it.
   */
  readonly linkShare?: number;
  /** ms from the request on. */
  readonly deadlineMs?: number;
  /** After a failure whose outcome is known and that left the VM where it was. */
  readonly retry?: { readonly attempts: number; readonly delayMs: number };
  /**
   * What keeps a VM from running twice when libvirt's last reply is lost. `guard`: Ferry watches both hosts and removes
   * the proven stale source. `handover`: the target starts paused and is released once the source is gone.
   */
  readonly singleCopy: 'guard' | 'handover';
  /** When Ferry finds two running copies that it could not prevent. */
  readonly twoCopies: 'alarm' | 'suspend-both';
  /** What a warning, or something that Ferry cannot tell, does to a move; absent: it is shown, and the move goes on. */
  readonly checks?: CheckStrictness;
  /** Storage that is not known to be on both hosts, nor known not to be. */
  readonly unknownSharing: 'refuse' | 'shared';
  /** Called around the migration, in this order. */
  readonly hooks?: readonly Hook[];
}

/** By code; of codes that the table of reasons does not refuse by itself. */
export type CheckStrictness = Readonly<Partial<Record<ReasonCode, 'refuse' | 'warn' | 'ignore'>>>;

export interface Policy extends PolicyContent {
  readonly name: string;
  /** Grows with each change; presets have 0. */
  readonly version: number;
  readonly changedAt?: TimeMs;
}

/** The policy that a migration goes by, with where it came from. */
export interface ResolvedPolicy extends Policy {
  readonly from: 'migration' | 'vm' | 'cluster' | 'default';
}
