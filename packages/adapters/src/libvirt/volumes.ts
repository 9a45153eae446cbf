/** The driver of the VolumePort: volumes and pools of one host. It makes no decisions. */
import { FerryError, type VolumeFacts } from '@ferry/core';
import type { VolumePort } from '@ferry/engine';
import { LibvirtError, VIR_ERR, type HostSession, type VolumeRef } from '@ferry/libvirt';
import { imagesBelow } from './chains.ts';
import type { PoolLender } from './pool-lending.ts';
import { headerBytes, qcow2Facts } from './image-header.ts';
import { everyPool, fileOf, folderOf, isCode, isLent, lookAnew, refreshPool, volumeNamed } from './pool-lending.ts';
import { sizesOf, volumeOf, volumeXml } from './storage-xml.ts';

/** Attempts to make an encrypted volume while QEMU cannot measure its key; each takes about a second. */
const encryptedTries = 5;

export function volumesOf(session: HostSession, pools: PoolLender): VolumePort {
  return {
    async pools(signal) {
      return (await everyPool(session, signal))
        .filter((pool) => !isLent(pool))
        .map(({ name, path, active, availableBytes }) => ({
          name,
          active,
          availableBytes,
          ...(path === undefined ? {} : { path }),
        }));
    },
    async at(path, signal): Promise<VolumeFacts | undefined> {
      await using lent = await pools.lend(folderOf(path), {}, signal);
      if (lent === undefined) return undefined;
      await lookAnew(session, lent.pool, signal);
      const volume = await volumeNamed(session, lent.pool, fileOf(path), signal);
      return volume === undefined
        ? undefined
        : volumeOf(isLent(lent.pool) ? '' : lent.pool.name, await session.volumeXml(volume, { signal }));
    },
    async imageAt(path, format, signal) {
      await using lent = await pools.lend(folderOf(path), {}, signal);
      if (lent === undefined) return undefined;
      await refreshPool(session, lent.pool, signal);
      const volume = await volumeNamed(session, lent.pool, fileOf(path), signal);
      if (volume === undefined) return undefined;
      const { allocationBytes } = sizesOf(await session.volumeXml(volume, { signal }));
      const qcow2 =
        format === 'qcow2' ? qcow2Facts(await beginningOf(session, volume, headerBytes, signal)) : undefined;
      return { allocationBytes, ...(qcow2 === undefined ? {} : { qcow2 }) };
    },
    imagesBelow: (path, signal) => imagesBelow(session, pools, path, signal),
    async create(volume, signal) {
      const { pool, name } = volume;
      const xml = volumeXml(volume);
      const ref = await session.poolByName(pool, { signal });
      // libvirt has qemu-img write over a file that it does not know of
      await lookAnew(session, ref, signal);
      // for an encrypted one QEMU measures how long a key takes, and fails on a busy host
      const make = (tries: number): Promise<unknown> =>
        session
          .volumeCreateXml(ref, xml, 0, { signal })
          .catch((error: unknown) =>
            tries > 1 && isCode(error, VIR_ERR.INTERNAL_ERROR) && /accurate CPU usage/.test(String(error))
              ? make(tries - 1)
              : Promise.reject(error),
          );
      try {
        await make(encryptedTries);
      } catch (error) {
        if (isCode(error, VIR_ERR.STORAGE_VOL_EXIST))
          throw new FerryError('volume-exists', `The pool ${pool} has a volume ${name} already.`, { cause: error });
        if (error instanceof LibvirtError)
          throw new FerryError(
            'volume-failed',
            `The volume ${name} could not be made in the pool ${pool}: ${error.message}`,
            { cause: error },
          );
        throw error;
      }
    },
  };
}

async function beginningOf(
  session: HostSession,
  volume: VolumeRef,
  lengthBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  let at = 0;
  // to its end, which the daemon sets at this length
  for await (const piece of session.volumeDownload(volume, { signal, lengthBytes })) {
    if (piece.kind === 'data')
      bytes.set(piece.bytes.subarray(0, Math.max(0, lengthBytes - at)), Math.min(at, lengthBytes));
    at += piece.kind === 'data' ? piece.bytes.length : piece.lengthBytes;
  }
  return bytes;
}
