/**
 * The header of a qcow2 image, as far as a copy has to know it. libvirt's own description of a volume leaves out what
 * would be lost: snapshots that it did not make, and data in a file of their own. Pure; what is no such header gives
 * nothing.
 */
import type { Qcow2Facts } from '@ferry/core';

/** All that is read of a file. */
export const headerBytes = 112;

const magic = 0x51_46_49_fb;
const incompatible = { dataFile: 4n, compressionType: 8n, extendedL2: 16n };
const lazyRefcounts = 1n;
/** QEMU's own limits. */
const [fewestClusterBits, mostClusterBits] = [9, 21];

export function qcow2Facts(bytes: Uint8Array): Qcow2Facts | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < headerBytes || view.getUint32(0) !== magic) return undefined;
  const version = view.getUint32(4);
  const clusterBits = view.getUint32(20);
  if (version < 2 || version > 3 || clusterBits < fewestClusterBits || clusterBits > mostClusterBits) return undefined;
  // what follows the snapshots is of version 3
  const features = version === 2 ? 0n : view.getBigUint64(72);
  const has = (feature: bigint): boolean => (features & feature) !== 0n;
  return {
    clusterBytes: 2 ** clusterBits,
    compat: version === 2 ? '0.10' : '1.1',
    lazyRefcounts: version === 3 && (view.getBigUint64(80) & lazyRefcounts) !== 0n,
    extendedL2: has(incompatible.extendedL2),
    dataFile: has(incompatible.dataFile),
    refcountBits: version === 2 ? 16 : 2 ** view.getUint32(96),
    zstd: has(incompatible.compressionType) && view.getUint8(104) === 1,
    snapshots: view.getUint32(60),
  };
}
