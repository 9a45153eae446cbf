/**
 * What is said of a live migration before it begins. Types and nothing else: the figures come from
 * prediction/prediction.ts.
 */

/**
 * `at-risk`: by the figures it may go either way, or it would end too late. `unknown`: there are no figures.
 * Times in ms: the end of the transfer, and the pause that it would take.
 */
export type PredictionKind = 'converges' | 'at-risk' | 'does-not-converge' | 'unknown';

export interface Prediction {
  readonly kind: PredictionKind;
  /** All of it, in words. */
  readonly text: string;
  readonly budgetMs: number;
  readonly dirtyBytesPerSecond?: number;
  readonly bandwidthBytesPerSecond?: number;
  /** If all of the guest's memory is in use; earliest: if nothing is but what it was seen to write. */
  readonly inMs?: number;
  readonly earliestMs?: number;
  readonly latestMs?: number;
  /** At least for one that does not converge, at most for one at risk. */
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
