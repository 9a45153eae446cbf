/**
 * Lends a storage pool on a folder: the host's own active pool of files there, or a transient one that is gone afterwards.
 * It is how Ferry reaches a folder without an agent.
 */
import { LibvirtError, VIR_ERR, VIR_STORAGE_POOL_CREATE, VIR_STORAGE_POOL_STATE, type HostSession, type PoolRef, type VolumeRef } from '@ferry/libvirt';
import type { PoolFacts } from '@ferry/core';
import { escapeXml, poolOf } from './storage-xml.ts';

export interface KnownPool extends PoolFacts {
  readonly ref: PoolRef;
  readonly ofFiles: boolean;
}

export const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
export const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
export const isCode = (error: unknown, ...codes: readonly number[]): boolean => error instanceof LibvirtError && codes.includes(error.code);

export async function everyPool(session: HostSession, signal: AbortSignal): Promise<readonly KnownPool[]> {
  const refs = await session.pools(0, { signal });
  const read = await Promise.all(
    refs.map(async (ref): Promise<KnownPool | undefined> => {
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
}

export async function volumeNamed(session: HostSession, pool: PoolRef, name: string, signal: AbortSignal): Promise<VolumeRef | undefined> {
  try {
    return await session.volumeByName(pool, name, { signal });
  } catch (error) {
    if (isCode(error, VIR_ERR.NO_STORAGE_VOL)) return undefined;
    throw error;
  }
}

export async function refreshPool(session: HostSession, pool: PoolRef, signal: AbortSignal): Promise<void> {
  try {
    await session.poolRefresh(pool, { signal });
  } catch (error) {
    // a volume is being made or read in the pool: what it knows is fresh enough
    if (!isCode(error, VIR_ERR.INTERNAL_ERROR, VIR_ERR.OPERATION_INVALID)) throw error;
  }
}

/** The pool to use and the way to give it back; undefined: the host has no such folder (`build` makes it). */
export async function lendPool(session: HostSession, folder: string, options: { readonly build?: boolean }, signal: AbortSignal): Promise<(AsyncDisposable & { readonly pool: PoolRef }) | undefined> {
  const own = (await everyPool(session, signal)).find((each) => each.active && each.ofFiles && each.path === folder);
  if (own !== undefined) return { pool: own.ref, [Symbol.asyncDispose]: () => Promise.resolve() };
  const xml = `<pool type='dir'><name>ferry-look-${crypto.randomUUID()}</name><target><path>${escapeXml(folder)}</path></target></pool>`;
  try {
    const pool = await session.poolCreateXml(xml, options.build === true ? VIR_STORAGE_POOL_CREATE.WITH_BUILD : 0, { signal });
    return { pool, [Symbol.asyncDispose]: () => session.poolDestroy(pool) };
  } catch (error) {
    if (error instanceof LibvirtError && options.build !== true) return undefined;
    throw error;
  }
}
