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
