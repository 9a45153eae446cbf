/**
 * How long a move takes whose guest does not run: its disks, at the limit of the migration or else at what the network
 * gives at best. Where neither is known, that is said. Pure.
 */
import { lasting, mib } from '../convergence/units.ts';

export interface CopiedDisk {
  /** What it holds. */
  readonly bytes: number;
  /** What QEMU counts of it against a limit: the places that hold nothing, too. */
  readonly countedBytes: number;
}

export interface CopyTime {
  readonly text: string;
  readonly bytes: number;
  readonly bandwidthBytesPerSecond?: number;
  /** At least, where the bandwidth is the network's. */
  readonly inMs?: number;
}

/** QEMU applies the limit to each disk separately, and copies all at once. */
export const limitedBytes = (disks: readonly CopiedDisk[]): number =>
  Math.max(0, ...disks.map(({ countedBytes }) => countedBytes));

/** `limit` and `link` in bytes per second; `link`: of the slower host. Undefined: nothing is copied. */
export function copyTime(
  disks: readonly CopiedDisk[],
  { limit, link }: { readonly limit?: number | undefined; readonly link?: number | undefined },
): CopyTime | undefined {
  if (disks.length === 0) return undefined;
  const bytes = disks.reduce((sum, disk) => sum + disk.bytes, 0);
  const says = `${mib(bytes)} MiB are copied`;
  if (limit !== undefined && limit > 0) {
    const inMs = Math.round((limitedBytes(disks) / limit) * 1_000);
    const each = disks.length > 1 ? ' for each disk' : '';
    return {
      text: `${says}; at the limit of ${mib(limit)} MiB/s${each} that takes about ${lasting(inMs)}`,
      bytes,
      bandwidthBytesPerSecond: limit,
      inMs,
    };
  }
  if (link !== undefined && link > 0) {
    const inMs = Math.round((bytes / link) * 1_000);
    return {
      text: `${says}; the network of the slower host gives ${mib(link)} MiB/s at most, so that takes at least ${lasting(inMs)}`,
      bytes,
      bandwidthBytesPerSecond: link,
      inMs,
    };
  }
  return {
    text:
      `${says}; how long that takes is not known: ` +
      'the migration has no limit, and the hosts do not report the speed of their network cards',
    bytes,
  };
}
