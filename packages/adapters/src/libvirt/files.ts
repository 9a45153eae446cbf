/**
 * The driver of the FilePort: a file is a volume of a pool on its folder, lent for as long as it is read or
 * written. A file is only made where there is none: libvirt opens it exclusively.
 */
import { FerryError } from '@ferry/core';
import { escapeXml, LibvirtError, VIR_ERR } from '@ferry/libvirt';
import type { FileFacts, FilePort } from '@ferry/engine';
import type { HostSession } from '@ferry/libvirt';
import type { PoolLender } from './pool-lending.ts';
import { fileOf, folderOf, isCode, lookAnew, refreshPool, volumeNamed } from './pool-lending.ts';
import { fileFactsOf } from './storage-xml.ts';

export function filesOf(session: HostSession, pools: PoolLender): FilePort {
  const withVolume = async (path: string, signal: AbortSignal, look = refreshPool) => {
    const lent = await pools.lend(folderOf(path), {}, signal);
    if (lent === undefined) return undefined;
    try {
      await look(session, lent.pool, signal);
      return { lent, volume: await volumeNamed(session, lent.pool, fileOf(path), signal) };
    } catch (error) {
      await lent[Symbol.asyncDispose]();
      throw error;
    }
  };
  return {
    async look(path, signal): Promise<FileFacts | undefined> {
      const found = await withVolume(path, signal, lookAnew);
      await using _ = found?.lent;
      return found?.volume === undefined
        ? undefined
        : { path, ...fileFactsOf(await session.volumeXml(found.volume, { signal })) };
    },
    async *read(path, signal) {
      const found = await withVolume(path, signal);
      await using _ = found?.lent;
      if (found?.volume === undefined) throw new FerryError('host-refused', `There is no file ${path}.`);
      yield* session.volumeDownload(found.volume, { signal });
    },
    async create({ path, sizeBytes, owner, group, mode }, signal) {
      await using lent = await pools.lend(folderOf(path), { build: true }, signal);
      if (lent === undefined) throw new FerryError('volume-failed', `There is no folder ${folderOf(path)}.`);
      await lookAnew(session, lent.pool, signal);
      const taken = () => new FerryError('volume-exists', `${path} is there already.`);
      if ((await volumeNamed(session, lent.pool, fileOf(path), signal)) !== undefined) throw taken();
      const permissions = `<permissions><owner>${owner}</owner><group>${group}</group><mode>${escapeXml(mode)}</mode></permissions>`;
      const xml =
        `<volume><name>${escapeXml(fileOf(path))}</name><capacity unit='bytes'>${sizeBytes}</capacity>` +
        `<allocation>0</allocation><target><format type='raw'/>${permissions}</target></volume>`;
      try {
        await session.volumeCreateXml(lent.pool, xml, 0, { signal });
      } catch (error) {
        if (isCode(error, VIR_ERR.STORAGE_VOL_EXIST) || isSystemError(error, EEXIST)) throw taken();
        throw error;
      }
    },
    async fill(path, pieces, signal) {
      const found = await withVolume(path, signal);
      await using _ = found?.lent;
      if (found?.volume === undefined) throw new FerryError('host-refused', `There is no file ${path}.`);
      await session.volumeUpload(found.volume, pieces, { signal });
    },
    async remove(path, signal) {
      const found = await withVolume(path, signal, lookAnew);
      await using _ = found?.lent;
      if (found?.volume !== undefined) await session.volumeDelete(found.volume, { signal });
    },
  };
}

const EEXIST = 17;
const isSystemError = (error: unknown, errno: number): boolean =>
  error instanceof LibvirtError && error.code === VIR_ERR.SYSTEM_ERROR && error.int1 === errno;
