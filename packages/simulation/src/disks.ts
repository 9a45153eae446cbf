/**
 * Disks that are copied by a mirror before the memory's turn. Pure. A mirror is ready once nothing is left to copy; a
 * guest that writes as fast as the link carries keeps it from that, unless its writes wait for the mirror (synchronous
 * writes), which slows them down instead.
 */

export interface DiskModel {
  /** What it holds. */
  readonly bytes: number;
  readonly writeBytesPerSecond: number;
}

export interface Mirror {
  readonly disk: DiskModel;
  readonly leftBytes: number;
  readonly copiedBytes: number;
  readonly ready: boolean;
}

/** Share of what a mirror gets that synchronous writes may take from the copying. */
const synchronousShare = 0.5;

export const startMirror = (disk: DiskModel): Mirror => ({
  disk,
  leftBytes: disk.bytes,
  copiedBytes: 0,
  ready: disk.bytes <= 0,
});

/**
 * A piece of time. The rate is shared by the mirrors that are not ready, after those that are have taken what the
 * guest writes. `writes`: 0 for a paused guest.
 */
export function copySome(
  mirrors: readonly Mirror[],
  seconds: number,
  bytesPerSecond: number,
  { synchronous, writes }: { readonly synchronous: boolean; readonly writes: 0 | 1 },
): readonly Mirror[] {
  const copying = mirrors.filter(({ ready }) => !ready).length;
  const each = copying === 0 ? 0 : Math.max(0, bytesPerSecond - writesOf(mirrors) * writes) / copying;
  return mirrors.map((mirror) => {
    const { disk, leftBytes, ready } = mirror;
    const written = disk.writeBytesPerSecond * writes * seconds;
    if (ready) return { ...mirror, copiedBytes: mirror.copiedBytes + written };
    const slowed = synchronous ? Math.min(written, each * seconds * synchronousShare) : 0;
    // what is written where nothing was copied yet is copied later anyhow
    const again = synchronous ? 0 : written * (1 - leftBytes / disk.bytes);
    const left = leftBytes + again - (each * seconds - slowed);
    return {
      disk,
      leftBytes: Math.max(0, left),
      copiedBytes: mirror.copiedBytes + Math.min(each * seconds, leftBytes + again + slowed),
      ready: left <= 0,
    };
  });
}

/** What ready mirrors take of the link, bytes per second, while the guest runs. */
export const writesOf = (mirrors: readonly Mirror[]): number =>
  mirrors.reduce((total, { disk, ready }) => total + (ready ? disk.writeBytesPerSecond : 0), 0);
