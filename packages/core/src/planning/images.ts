/**
 * What an image file is like, and what becomes of that in a copy of its blocks: how the volume for it is made, what
 * room it takes, and what does not arrive. Pure.
 */
import type { Qcow2Facts, ImageLayout } from '../model/storage.ts';

/** An image file on its host. */
export interface ImageFacts {
  readonly allocationBytes: number;
  readonly qcow2?: Qcow2Facts;
}

export const layoutOf = ({ clusterBytes, compat, lazyRefcounts, extendedL2 }: Qcow2Facts): ImageLayout => ({
  clusterBytes,
  compat,
  lazyRefcounts,
  extendedL2,
});

/** QEMU's own. */
const usualClusterBytes = 65_536;
const usualRefcountBits = 16;

/**
 * What a copy into a volume of this layout does not keep, for people. `setsClusters`: the target's libvirt takes
 * sizes of clusters and extended L2.
 */
export function lossesOf(
  { clusterBytes, extendedL2, dataFile, refcountBits, zstd }: Qcow2Facts,
  setsClusters: boolean,
): readonly string[] {
  const losses = [
    !setsClusters &&
      clusterBytes !== usualClusterBytes &&
      `clusters of ${clusterBytes} bytes (the target's libvirt is older than 8.0)`,
    !setsClusters && extendedL2 && "extended L2 entries (the target's libvirt is older than 8.0)",
    dataFile && 'the data file beside the image: the data goes into the image itself',
    refcountBits !== usualRefcountBits && `refcounts of ${refcountBits} bits`,
    zstd && 'compression by zstd: the copy is not compressed',
  ];
  return losses.filter((loss) => loss !== false);
}

/** QEMU copies pieces of this size, and writes a whole one where the source holds any part of it. */
const pieceBytes = 65_536;
/** An entry of L2 and its refcount for each cluster, and what an image has once. */
const [clusterEntryBytes, headBytes] = [18, 1_048_576];

/**
 * The most that a copy of these images into one takes: they may hold their data as scattered as their clusters allow.
 */
export function spaceFor(images: readonly ImageFacts[], capacityBytes: number): number {
  const held = images.map(
    ({ allocationBytes, qcow2 }) => allocationBytes * Math.max(1, pieceBytes / (qcow2?.clusterBytes ?? pieceBytes)),
  );
  const top = images[0]?.qcow2;
  const whole =
    top === undefined
      ? capacityBytes
      : capacityBytes + Math.ceil(capacityBytes / top.clusterBytes) * clusterEntryBytes + headBytes;
  return Math.min(
    held.reduce((sum, bytes) => sum + bytes, 0),
    whole,
  );
}
