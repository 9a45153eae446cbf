/** The driver of the PathPort: what is at a path of the host, and markers that another host is asked for. */
import type { SeenFile } from '@ferry/core';
import type { PathPort } from '@ferry/engine';
import { escapeXml, LibvirtError, VIR_ERR, type HostSession } from '@ferry/libvirt';
import { fileOf, folderOf, isCode, isOpenable, refreshPool, volumeNamed, type PoolLender } from './pool-lending.ts';
import { seenFileOf, sizesOf } from './storage-xml.ts';

export function pathsOf(session: HostSession, pools: PoolLender): PathPort {
  const fileAt = async (path: string, signal: AbortSignal): Promise<SeenFile | undefined> => {
    await using lent = await pools.lend(folderOf(path), {}, signal);
    if (lent === undefined) return undefined;
    // libvirt refreshes a volume that it knows when asked for its XML; a whole folder is refreshed only if needed
    const known = await volumeNamed(session, lent.pool, fileOf(path), signal);
    const seen = known === undefined ? undefined : await session.volumeXml(known, { signal }).catch(() => undefined);
    if (seen !== undefined) return seenFileOf(seen);
    await refreshPool(session, lent.pool, signal);
    const found = await volumeNamed(session, lent.pool, fileOf(path), signal);
    return found === undefined ? undefined : seenFileOf(await session.volumeXml(found, { signal }));
  };
  return {
    fileAt,
    async identityOf(path, signal) {
      try {
        const { key } = await session.volumeByPath(path, { signal });
        // pools of files and of partitions use the path, which names nothing on another host
        return key.startsWith('/') ? undefined : key;
      } catch (error) {
        if (isCode(error, VIR_ERR.NO_STORAGE_VOL)) return undefined;
        throw error;
      }
    },
    async deviceAt(path, signal) {
      try {
        // as a pool of its kind has it
        return {
          sizeBytes: sizesOf(await session.volumeXml(await session.volumeByPath(path, { signal }), { signal }))
            .capacityBytes,
        };
      } catch (error) {
        if (!(error instanceof LibvirtError)) throw error;
      }
      if (!isOpenable(folderOf(path))) return 'unseen';
      const seen = await fileAt(path, signal);
      return seen === undefined ? undefined : { sizeBytes: seen.sizeBytes };
    },
    async marker(action, folder, name, signal) {
      await using lent = await pools.lend(folder, {}, signal);
      if (lent === undefined) return { folder: false, found: false };
      const { pool } = lent;
      if (action === 'leave') {
        await session.volumeCreateXml(
          pool,
          `<volume><name>${escapeXml(name)}</name><capacity unit='bytes'>512</capacity>` +
            `<allocation>0</allocation><target><format type='raw'/></target></volume>`,
          0,
          { signal },
        );
        return { folder: true, found: true };
      }
      // libvirt knows what was left by it
      const known = action === 'remove' ? await volumeNamed(session, pool, name, signal) : undefined;
      if (known === undefined) await refreshPool(session, pool, signal);
      const volume = known ?? (await volumeNamed(session, pool, name, signal));
      if (volume !== undefined && action === 'remove') await session.volumeDelete(volume, { signal });
      return { folder: true, found: volume !== undefined };
    },
  };
}
