/**
 * What Ferry did or reported about a running transfer, with the figures behind it. Only types: convergence/decide.ts
 * makes the decisions.
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
 * Without figures: `operator` (a command), `refused` (a host refused a measure), `resumed` (an interrupted post-copy goes
 * on). `prediction`: the one before the transfer.
 */
export type Note = 'link-slow' | 'disks-stalled' | 'no-way' | 'operator' | 'refused' | 'resumed' | 'prediction';

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
  /** For how long the smallest remainder has not shrunk. */
  readonly unchangedMs: number;
  readonly elapsedMs: number;
  /** Pause that the smallest of the last rests would take. */
  readonly neededPauseMs?: number;
  /** By itself it would end then. */
  readonly endsInMs?: number;
}
