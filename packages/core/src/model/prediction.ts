/**
 * What is said of a live migration before it begins. Types and nothing else: the figures come from
 * prediction/prediction.ts.
 */
import type { TimeMs } from './ids.ts';

/** Unique pages that the guest wrote within this number of seconds, per second. */
export interface DirtyReading {
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

/** What a guest writes, measured over several periods. The same pages are written again, so it bends. */
export interface DirtyCurve {
  /** When the last period began. */
  readonly at: TimeMs;
  /** Shortest period first; at least one. */
  readonly readings: readonly DirtyReading[];
  /** Memory of its QEMU on the host, where the guest's memory is counted there: pages never used are not sent. */
  readonly residentBytes?: number;
}

/** ms. Without `high` nothing ends it for sure. */
export interface Interval {
  readonly low: number;
  readonly expected: number;
  readonly high?: number;
}

/** Factors by which past predictions were too narrow below and above what they expected; 1: they held. */
export interface Widening {
  readonly low: number;
  readonly high: number;
}

/**
 * `at-risk`: by the figures it may go either way, or it would end too late. `unknown`: there are no figures.
 */
export type PredictionKind = 'converges' | 'at-risk' | 'does-not-converge' | 'unknown';

export interface Prediction {
  readonly kind: PredictionKind;
  /** All of it, in words. */
  readonly text: string;
  readonly budgetMs: number;
  readonly dirtyBytesPerSecond?: number;
  readonly bandwidthBytesPerSecond?: number;
  /** When the guest was measured. */
  readonly measuredAt?: TimeMs;
  /** What is likelier, where it may go either way too; absent if `unknown`. */
  readonly endsByItself?: boolean;
  /** The transfer, until libvirt's call has ended; absent where nothing ends it. */
  readonly totalMs?: Interval;
  /** How long the guest stands still for the switch. */
  readonly downtimeMs?: Interval;
  /** What is in the intervals of that by which earlier ones were too narrow; absent: nothing. */
  readonly widened?: { readonly totalMs: Widening; readonly downtimeMs: Widening };
  /** Pause that pre-copy alone would need: at least for one that does not converge, at most for one at risk. */
  readonly pauseMs?: number;
  /** What the policy does if it does not converge; empty if it has no step that helps. */
  readonly remedies: readonly Remedy[];
}

export interface Remedy {
  readonly do: 'throttle' | 'set-downtime' | 'post-copy' | 'pause' | 'power-off';
  /** The pause budget, ms. */
  readonly toMs?: number;
  /** When it would be due, in words. */
  readonly when?: string;
}
