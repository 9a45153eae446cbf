/**
 * The driver of the HostStorage port: volumes and pools of one host. It looks and does as told; what a volume is good for
 * is decided elsewhere.
 */
import { FerryError, type PoolFacts, type VolumeFacts } from '@ferry/core';
import type { HostStorage } from '@ferry/engine';
import { LibvirtError, VIR_ERR, VIR_STORAGE_POOL_STATE, type HostSession, type PoolRef, type VolumeRef } from '@ferry/libvirt';
import { escapeXml, poolOf, volumeOf } from './storage-xml.ts';

const isCode = (error: unknown, ...codes: readonly number[]): boolean => error instanceof LibvirtError && codes.includes(error.code);
const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

export function storageOf(session: HostSession): HostStorage {
  const everyPool = async (signal: AbortSignal): Promise<readonly (PoolFacts & { readonly ref: PoolRef; readonly ofFiles: boolean })[]> => {
    const refs = await session.pools(0, { signal });
    const read = await Promise.all(
      refs.map(async (ref) => {
        try {
          const [xml, info] = await Promise.all([session.poolXml(ref, { signal }), session.poolInfo(ref, { signal })]);
          return { ...poolOf(xml), ref, active: info.state !== VIR_STORAGE_POOL_STATE.INACTIVE, availableBytes: info.availableBytes };
        } catch (error) {
          if (isCode(error, VIR_ERR.NO_STORAGE_POOL)) return undefined;
          throw error;
        }
      }),
    );
    return read.filter((each) => each !== undefined);
  };
  const volumeNamed = async (pool: PoolRef, name: string, signal: AbortSignal): Promise<VolumeRef | undefined> => {
    try {
      return await session.volumeByName(pool, name, { signal });
    } catch (error) {
      if (isCode(error, VIR_ERR.NO_STORAGE_VOL)) return undefined;
      throw error;
    }
  };
  const refresh = async (pool: PoolRef, signal: AbortSignal): Promise<void> => {
    try {
      await session.poolRefresh(pool, { signal });
    } catch (error) {
      // a volume is being made or read in the pool: what it knows is fresh enough
      if (!isCode(error, VIR_ERR.INTERNAL_ERROR, VIR_ERR.OPERATION_INVALID)) throw error;
    }
  };

  /** Lends a pool on this folder: the host's own, or one that is gone afterwards. Undefined: no such folder. */
  const withPool = async <T>(folder: string, work: (pool: PoolRef) => Promise<T>, signal: AbortSignal): Promise<T | undefined> => {
    const own = (await everyPool(signal)).find((pool) => pool.active && pool.path === folder);
    if (own !== undefined) return work(own.ref);
    const name = `ferry-look-${crypto.randomUUID()}`;
    let lent: PoolRef;
    try {
      lent = await session.poolCreateXml(`<pool type='dir'><name>${name}</name><target><path>${escapeXml(folder)}</path></target></pool>`, 0, { signal });
    } catch (error) {
      if (error instanceof LibvirtError) return undefined;
      throw error;
    }
    try {
      return await work(lent);
    } finally {
      await session.poolDestroy(lent);
    }
  };

  return {
    async pools(signal) {
      return (await everyPool(signal)).map(({ name, path, active, availableBytes }) => ({ name, active, availableBytes, ...(path === undefined ? {} : { path }) }));
    },
    async volumeAt(path, signal): Promise<VolumeFacts | undefined> {
      const pool = (await everyPool(signal)).find((each) => each.active && each.ofFiles && each.path === folderOf(path));
      if (pool === undefined) return undefined;
      await refresh(pool.ref, signal);
      const volume = await volumeNamed(pool.ref, fileOf(path), signal);
      return volume === undefined ? undefined : volumeOf(pool.name, await session.volumeXml(volume, { signal }));
    },
    async createVolume({ pool, name, format, capacityBytes, backing }, signal) {
      const base = backing === undefined ? '' : `<backingStore><path>${escapeXml(backing.path)}</path><format type='${escapeXml(backing.format)}'/></backingStore>`;
      const compat = format === 'qcow2' ? '<compat>1.1</compat>' : '';
      const xml = `<volume><name>${escapeXml(name)}</name><capacity unit='bytes'>${capacityBytes}</capacity><allocation>0</allocation><target><format type='${escapeXml(format)}'/>${compat}</target>${base}</volume>`;
      try {
        await session.volumeCreateXml(await session.poolByName(pool, { signal }), xml, 0, { signal });
      } catch (error) {
        if (isCode(error, VIR_ERR.STORAGE_VOL_EXIST)) throw new FerryError('volume-exists', `The pool ${pool} has a volume ${name} already.`, { cause: error });
        if (error instanceof LibvirtError) throw new FerryError('volume-failed', `The volume ${name} could not be made in the pool ${pool}: ${error.message}`, { cause: error });
        throw error;
      }
    },
    async deleteVolume(pool, name, signal) {
      const ref = await session.poolByName(pool, { signal });
      const volume = await volumeNamed(ref, name, signal);
      if (volume !== undefined) await session.volumeDelete(volume, { signal });
    },
    async marker(action, folder, name, signal) {
      const found = await withPool(
        folder,
        async (pool) => {
          if (action === 'leave') {
            await session.volumeCreateXml(pool, `<volume><name>${escapeXml(name)}</name><capacity unit='bytes'>512</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>`, 0, { signal });
            return true;
          }
          await refresh(pool, signal);
          const volume = await volumeNamed(pool, name, signal);
          if (volume !== undefined && action === 'remove') await session.volumeDelete(volume, { signal });
          return volume !== undefined;
        },
        signal,
      );
      return { folder: found !== undefined, found: found ?? false };
    },
  };
}
