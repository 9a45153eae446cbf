/**
 * The driver of the HostFiles port: a file is a volume of a pool on its folder, lent for as long as it is read or written.
 */
import { escapeXml } from '@ferry/libvirt';
import type { FileFacts, HostFiles } from '@ferry/engine';
import type { HostSession } from '@ferry/libvirt';
import type { PoolLender } from './pool-lending.ts';
import { fileOf, folderOf, refreshPool, volumeNamed } from './pool-lending.ts';
import { permissionsOf } from './storage-xml.ts';

export function filesOf(session: HostSession, pools: PoolLender): HostFiles {
  const withVolume = async (path: string, signal: AbortSignal) => {
    const lent = await pools.lend(folderOf(path), {}, signal);
    if (lent === undefined) return undefined;
    try {
      await refreshPool(session, lent.pool, signal);
      return { lent, volume: await volumeNamed(session, lent.pool, fileOf(path), signal) };
    } catch (error) {
      await lent[Symbol.asyncDispose]();
      throw error;
    }
  };
  return {
    async look(path, signal): Promise<FileFacts | undefined> {
      const found = await withVolume(path, signal);
      await using _ = found?.lent;
      return found?.volume === undefined ? undefined : { path, ...permissionsOf(await session.volumeXml(found.volume, { signal })) };
    },
    async *read(path, signal) {
      const found = await withVolume(path, signal);
      await using _ = found?.lent;
      if (found?.volume === undefined) throw new Error(`there is no file ${path}`);
      yield* session.volumeDownload(found.volume, { signal });
    },
    async write({ path, sizeBytes, owner, group, mode }, pieces, signal) {
      await using lent = await pools.lend(folderOf(path), { build: true }, signal);
      if (lent === undefined) throw new Error(`there is no folder ${folderOf(path)}`);
      await refreshPool(session, lent.pool, signal);
      const before = await volumeNamed(session, lent.pool, fileOf(path), signal);
      if (before !== undefined) await session.volumeDelete(before, { signal });
      const permissions = `<permissions><owner>${owner}</owner><group>${group}</group><mode>${escapeXml(mode)}</mode></permissions>`;
      const volume = await session.volumeCreateXml(
        lent.pool,
        `<volume><name>${escapeXml(fileOf(path))}</name><capacity unit='bytes'>${sizeBytes}</capacity><allocation>0</allocation><target><format type='raw'/>${permissions}</target></volume>`,
        0,
        { signal },
      );
      await session.volumeUpload(volume, pieces, { signal });
    },
    async remove(path, signal) {
      const found = await withVolume(path, signal);
      await using _ = found?.lent;
      if (found?.volume !== undefined) await session.volumeDelete(found.volume, { signal });
    },
  };
}
