/**
 * How bytes travel, and what libvirt reports of them on the way. Types and nothing else: samples are taken in by
 * convergence/transfer-history.ts.
 */
import type { TimeMs } from './ids.ts';

/**
 * `peer-to-peer`: the source's daemon drives. `direct`: Ferry does, and the hosts need not reach each other's
 * daemons.
 */
export type TransferMode = 'peer-to-peer' | 'direct';

export type Compression = 'xbzrle' | 'zlib' | 'zstd';

/**
 * One look at a running transfer, in bytes; source: virDomainGetJobStats on the source (docs of the typed parameters
 * `memory_*`, `disk_*`).
 */
export interface JobSample {
  /** Memory and disks together. */
  readonly processedBytes: number;
  readonly remainingBytes: number;
  readonly totalBytes: number;
  /** Memory newly dirtied per second, as QEMU counted it over its last pass; 0 in the first. */
  readonly dirtyBytesPerSecond: number;
  readonly throughputBytesPerSecond: number;
  /** Pass over the memory, from 1; 0 while only disks are copied. */
  readonly iteration: number;
  readonly elapsedMs: number;
  /** Absent before the memory's turn. */
  readonly memory?: { readonly totalBytes: number; readonly remainingBytes: number; readonly sentBytes: number };
  /** Disks that are copied. */
  readonly disk?: { readonly totalBytes: number; readonly remainingBytes: number };
  /** How much QEMU slows the guest's CPUs down. */
  readonly throttlePercent?: number;
  /** Pages that the guest waited for in post-copy. */
  readonly postCopyFaults?: number;
}

export type Part = 'disks' | 'memory';

/** One pass over the memory; `iteration` 0 is the copying of disks that comes before. */
export interface Pass {
  readonly iteration: number;
  readonly startedAt: TimeMs;
  /** Of the last sample in it; of a pass that is over, when the next was first seen. */
  readonly lastAt: TimeMs;
  /** What was to be sent at the start, as far as known. */
  readonly restBytes: number;
  /** Counters of what was sent, at its begin and at `lastAt`. */
  readonly sentFrom: number;
  readonly sentTo: number;
  /** What libvirt gives for the rate; for passes too short to measure. */
  readonly reportedBytesPerSecond: number;
  /** Newly dirtied per second in the pass before this one. */
  readonly dirtyBytesPerSecond: number;
  readonly throttlePercent: number;
}

export interface TransferHistory {
  readonly startedAt: TimeMs;
  readonly part: Part;
  readonly passes: readonly Pass[];
  /** The last samples, in short, oldest first. */
  readonly recent: readonly { readonly at: TimeMs; readonly sentBytes: number; readonly restBytes: number }[];
  /** The smallest rest of this part, and when it was first seen. */
  readonly best: { readonly bytes: number; readonly at: TimeMs };
  /**
   * The most that the link has given the memory, bytes per second over a second or more, and when it last gave about
   * as much.
   */
  readonly fastest?: { readonly bytesPerSecond: number; readonly at: TimeMs };
}
