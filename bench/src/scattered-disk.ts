// The disk of the storage benchmarks: 10 GiB with 5 % data in extents of 64 KiB at random places, the same ones each
// time. It makes images and reads what a host's storage and network say; it moves nothing.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { execCommand, run, type LabRef } from '@ferry/lab';

export const CAPACITY_BYTES = 10 * 2 ** 30;
const EXTENT_BYTES = 65_536;
/** Free for a guest that writes from the beginning of its disk. */
const LEFT_FREE_BYTES = 128 * 2 ** 20;
export const IMAGES = '/var/lib/libvirt/images';

/** Writes the raw image; answers how many bytes of data it holds. */
export async function writeScatteredImage(path: string): Promise<number> {
  const places = CAPACITY_BYTES / EXTENT_BYTES;
  const first = LEFT_FREE_BYTES / EXTENT_BYTES;
  const wanted = Math.round(places * 0.05);
  const chosen = new Set<number>();
  // a hash as the source of places: repeatable, and nothing in it repeats
  for (let n = 0; chosen.size < wanted; n += 1)
    chosen.add(first + (createHash('sha256').update(`place ${n}`).digest().readUInt32BE() % (places - first)));
  const file = await open(path, 'w');
  try {
    await file.truncate(CAPACITY_BYTES);
    const extent = Buffer.alloc(EXTENT_BYTES);
    let block = createHash('sha512').update('content').digest();
    for (const place of chosen) {
      for (let at = 0; at < EXTENT_BYTES; at += 4096) {
        block = createHash('sha512').update(block).digest();
        extent.fill(block, at, at + 4096);
      }
      await file.write(extent, 0, EXTENT_BYTES, place * EXTENT_BYTES);
    }
  } finally {
    await file.close();
  }
  return wanted * EXTENT_BYTES;
}

export const onHost = (lab: LabRef, host: string, command: string, timeoutMs = 300_000): Promise<string> =>
  run(execCommand(lab, host, ['bash', '-ec', command]), { timeoutMs });

/** What the file takes on the host's storage. */
export const allocatedBytes = async (lab: LabRef, host: string, path: string): Promise<number> =>
  Number(await onHost(lab, host, `stat -c %b ${path}`)) * 512;

/** Bytes that came in by the host's cable until now. */
export const receivedBytes = async (lab: LabRef, host: string): Promise<number> =>
  Number(await onHost(lab, host, 'cat /sys/class/net/eth0/statistics/rx_bytes'));
