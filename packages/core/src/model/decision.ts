/**
 * What was done or said about a transfer on the way, with the figures that led to it. Types and nothing else: decisions
 * are made in convergence/decide.ts.
 */
import type { TimeMs } from './ids.ts';
import type { Measure } from './policy.ts';
import type { Part } from './transfer.ts';

/** What is done, or only said. */
export type Action =
  | Exclude<Measure, { readonly do: 'raise-downtime' | 'double-downtime' | 'fit-downtime' }>
  | { readonly do: 'set-downtime'; readonly toMs: number }
  /** Throttling that changed nothing is taken back. */
  | { readonly do: 'release-throttle' }
  | { readonly do: 'note'; readonly what: Note };

/**
 * `operator`, `refused`, `resumed`: somebody's word, a host's no to a measure, a broken post-copy that goes on; no
 * figures led to them. `outlook`: said before the transfer began.
 */
export type Note = 'link-slow' | 'disks-stalled' | 'no-way' | 'operator' | 'refused' | 'resumed' | 'outlook';

export interface Decision {
  readonly at: TimeMs;
  readonly action: Action;
  /** Index of the policy's step; absent for what no step asked for. */
  readonly step?: number;
  readonly figures: Figures;
  readonly text: string;
}

/** Sizes in bytes, rates in bytes per second. */
export interface Figures {
  readonly part: Part;
  readonly iteration: number;
  readonly restBytes: number;
  readonly dirtyBytesPerSecond: number;
  /** What the link gives at its best of late, and at present. */
  readonly linkBytesPerSecond: number;
  readonly presentBytesPerSecond: number;
  readonly downtimeMs: number;
  readonly throttlePercent: number;
  /** For so long the smallest rest has not become smaller. */
  readonly unchangedMs: number;
  readonly elapsedMs: number;
  /** Pause that the smallest of the last rests would take. */
  readonly neededPauseMs?: number;
  /** By itself it would end then. */
  readonly endsInMs?: number;
}
