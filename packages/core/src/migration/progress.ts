/**
 * Turns the figures of libvirt's running job into what people see. The percentage is computed from what remains
 * (zero pages make "processed" fall far short of "total") and never runs backwards, across restarts too, because
 * the last progress is an argument.
 */
import type { MigrationProgress } from '../model.ts';

/** libvirt's job statistics in bytes; source: virDomainGetJobStats. */
export interface JobSample {
  readonly processedBytes: number;
  readonly remainingBytes: number;
  readonly totalBytes: number;
  readonly dirtyBytesPerSecond: number;
  readonly throughputBytesPerSecond: number;
  readonly iteration: number;
  readonly elapsedMs: number;
}

/** Percent shown while the job runs; 100 is kept for a verified success. */
const highestRunningPercent = 99;

export function progressOf(sample: JobSample, last: MigrationProgress | undefined): MigrationProgress {
  const { processedBytes, remainingBytes, totalBytes, dirtyBytesPerSecond, throughputBytesPerSecond, iteration } = sample;
  const share = totalBytes > 0 ? 1 - remainingBytes / totalBytes : 0;
  const percent = Math.max(last?.percent ?? 0, Math.min(highestRunningPercent, Math.floor(share * 100)));
  const gain = throughputBytesPerSecond - dirtyBytesPerSecond;
  return {
    percent,
    processedBytes,
    remainingBytes,
    totalBytes,
    dirtyBytesPerSecond,
    throughputBytesPerSecond,
    iteration,
    ...(gain > 0 && remainingBytes > 0 ? { etaMs: Math.round((remainingBytes / gain) * 1000) } : {}),
  };
}

/** Progress of a migration that succeeded: nothing remains, so there is no time left to tell. */
export function finalProgress(last: MigrationProgress | undefined): MigrationProgress | undefined {
  if (last === undefined) return undefined;
  const { etaMs, ...rest } = last;
  return etaMs === undefined ? { ...last, percent: 100, remainingBytes: 0 } : { ...rest, percent: 100, remainingBytes: 0 };
}

