/**
 * Lends a storage pool on a folder: the host's own active pool of files there, or a transient one that is gone
 * afterwards. It is how Ferry reaches a folder without an agent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  escapeXml,
  LibvirtError,
  VIR_ERR,
  VIR_STORAGE_POOL_CREATE,
  VIR_STORAGE_POOL_STATE,
  type HostSession,
  type PoolRef,
  type VolumeRef,
} from '@ferry/libvirt';
import { FerryError, normalPath, type PoolFacts } from '@ferry/core';
import { inTurn } from './in-turn.ts';
import { poolOf } from './storage-xml.ts';

export interface KnownPool extends PoolFacts {
  readonly ref: PoolRef;
  readonly ofFiles: boolean;
}

/** Folders below /dev that hold disks and nothing else. */
const disksOnly = /^\/dev\/(disk\/by-[a-z]+|mapper)(\/|$)/;
/** A pool opens all that is in its folder, which sets some devices to work: a watchdog, a tape. */
export const isOpenable = (folder: string): boolean => !/^\/dev(\/|$)/.test(folder) || disksOnly.test(folder);

/**
 * The pools of a host seldom change: a list is reused for this time, and the pool that is used is checked. Listing
 * takes two calls in a row, and a move reads a dozen folders.
 */
const listedForMs = 5_000;
const lentName = 'ferry-look-';
/** A pool that Ferry made to look into a folder: no place for anything. */
export const isLent = (pool: { readonly name: string }): boolean => pool.name.startsWith(lentName);
export const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
export const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
export const isCode = (error: unknown, ...codes: readonly number[]): boolean =>
  error instanceof LibvirtError && codes.includes(error.code);

export async function everyPool(session: HostSession, signal: AbortSignal): Promise<readonly KnownPool[]> {
  const refs = await session.pools(0, { signal });
  const read = await inTurn(refs, async (ref): Promise<KnownPool | undefined> => {
    try {
      const [xml, info] = await Promise.all([session.poolXml(ref, { signal }), session.poolInfo(ref, { signal })]);
      return {
        ...poolOf(xml),
        ref,
        active: info.state !== VIR_STORAGE_POOL_STATE.INACTIVE,
        availableBytes: info.availableBytes,
      };
    } catch (error) {
      // gone, or stopped and about to go, since it was listed
      if (isCode(error, VIR_ERR.NO_STORAGE_POOL, VIR_ERR.OPERATION_INVALID)) return undefined;
      throw error;
    }
  });
  return read.filter((each) => each !== undefined);
}

export async function volumeNamed(
  session: HostSession,
  pool: PoolRef,
  name: string,
  signal: AbortSignal,
): Promise<VolumeRef | undefined> {
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

const busyTries = 20;
const busyMs = 100;

/**
 * The same for those who write or delete by what they see: what a busy pool knew before is not good enough. Rejects
 * with `volume-failed`.
 */
export async function lookAnew(session: HostSession, pool: PoolRef, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await session.poolRefresh(pool, { signal });
    } catch (error) {
      if (!isCode(error, VIR_ERR.INTERNAL_ERROR, VIR_ERR.OPERATION_INVALID)) throw error;
      if (tries === busyTries)
        throw new FerryError(
          'volume-failed',
          `The pool ${pool.name} does not let its folder be looked at: ${(error as Error).message}`,
          { cause: error },
        );
      await sleep(busyMs, undefined, { signal });
    }
  }
}

const ENOENT = 2;
const ENOTDIR = 20;
const isNoFolder = (error: unknown): boolean =>
  error instanceof LibvirtError &&
  error.code === VIR_ERR.SYSTEM_ERROR &&
  (error.int1 === ENOENT || error.int1 === ENOTDIR);

export interface PoolLender {
  /**
   * The pool to use and the way to give it back; undefined: the host has no such folder (`build` makes it). Rejects
   * with `volume-failed` where it cannot be looked into.
   */
  lend(
    folder: string,
    options: { readonly build?: boolean },
    signal: AbortSignal,
  ): Promise<(AsyncDisposable & { readonly pool: PoolRef }) | undefined>;
}

interface Loan {
  readonly pool: Promise<PoolRef | undefined>;
  users: number;
}

/** One for each session: libvirt takes one pool per folder, so those who look at the same folder at once share it. */
export function poolLender(session: HostSession): PoolLender {
  const lent = new Map<string, Loan>();
  const closing = new Map<string, Promise<void>>();
  const mine = `${lentName}${crypto.randomUUID()}-`;
  /** Pools of ours that the host may still have: it did not answer when they were created or removed. */
  const lost = new Set<string>();
  let made = 0;
  let listed: { readonly pools: readonly KnownPool[]; readonly at: number } | undefined;

  const list = async (signal: AbortSignal): Promise<readonly KnownPool[]> => {
    const pools = await everyPool(session, signal);
    listed = { pools, at: performance.now() };
    return pools;
  };
  const isActive = async (pool: PoolRef, signal: AbortSignal): Promise<boolean> => {
    try {
      return (await session.poolInfo(pool, { signal })).state !== VIR_STORAGE_POOL_STATE.INACTIVE;
    } catch (error) {
      if (isCode(error, VIR_ERR.NO_STORAGE_POOL)) return false;
      throw error;
    }
  };
  /** Which pool has this folder, and as which path libvirt would take another one for it. */
  const placeOf = (folder: string, pools: readonly KnownPool[]) => {
    const every = pools.filter(({ ofFiles, path }) => ofFiles && path !== undefined && normalPath(path) === folder);
    const here = every.filter(({ active }) => active);
    return {
      own: here.find((pool) => !isLent(pool))?.ref,
      // one that nobody gave back; another one of ours may be gone since it was listed
      left: here.find((pool) => isLent(pool) && (!pool.name.startsWith(mine) || lost.has(pool.name)))?.ref,
      // libvirt takes one pool per spelling of a folder, and one that is not started has this one
      at: every.some(({ active }) => !active) ? `${folder}/.` : folder,
    };
  };
  const find = async (folder: string, signal: AbortSignal): Promise<ReturnType<typeof placeOf>> => {
    if (listed === undefined || performance.now() - listed.at >= listedForMs)
      return placeOf(folder, await list(signal));
    const known = placeOf(folder, listed.pools);
    const pool = known.own ?? known.left;
    return pool === undefined || (await isActive(pool, signal)) ? known : placeOf(folder, await list(signal));
  };

  const open = async (
    folder: string,
    place: ReturnType<typeof placeOf>,
    build: boolean,
    signal: AbortSignal,
  ): Promise<PoolRef | undefined> => {
    if (place.left !== undefined) return place.left;
    await closing.get(folder);
    const name = `${mine}${(made += 1)}`;
    const xml = `<pool type='dir'><name>${name}</name><target><path>${escapeXml(place.at)}</path></target></pool>`;
    try {
      return await session.poolCreateXml(xml, build ? VIR_STORAGE_POOL_CREATE.WITH_BUILD : 0, { signal });
    } catch (error) {
      if (!build && isNoFolder(error)) return undefined;
      if (!(error instanceof LibvirtError)) {
        lost.add(name);
        throw error;
      }
      throw new FerryError('volume-failed', `The folder ${folder} cannot be looked into: ${error.message}`, {
        cause: error,
      });
    }
  };

  const lend = async (
    named: string,
    options: { readonly build?: boolean },
    signal: AbortSignal,
    isLast: boolean,
  ): ReturnType<PoolLender['lend']> => {
    const folder = normalPath(named);
    if (!isOpenable(folder))
      throw new FerryError(
        'volume-failed',
        `The folder ${folder} cannot be looked into: it holds devices, and libvirt would open each of them.`,
      );
    let entry = lent.get(folder);
    if (entry === undefined) {
      const place = await find(folder, signal);
      if (place.own !== undefined) return { pool: place.own, [Symbol.asyncDispose]: () => Promise.resolve() };
      entry = lent.get(folder) ?? {
        pool: open(folder, place, options.build === true, signal),
        users: 0,
      };
    }
    const loan = entry;
    lent.set(folder, loan);
    loan.users += 1;
    const giveBack = async (pool: PoolRef | undefined): Promise<void> => {
      loan.users -= 1;
      if (loan.users > 0) return;
      lent.delete(folder);
      if (pool === undefined) return;
      // a daemon that went away keeps it: the next reader of this folder finds it and removes it
      const closed = session
        .poolDestroy(pool)
        .then(
          () => void lost.delete(pool.name),
          () => void lost.add(pool.name),
        )
        .finally(() => closing.delete(folder));
      closing.set(folder, closed);
      await closed;
    };
    try {
      const pool = await loan.pool;
      if (pool !== undefined) return { pool, [Symbol.asyncDispose]: () => giveBack(pool) };
    } catch (error) {
      await giveBack(undefined);
      if (isLast || signal.aborted) throw error;
      // the host may have got a pool there since it was asked
      listed = undefined;
      return lend(named, options, signal, true);
    }
    await giveBack(undefined);
    return undefined;
  };
  return { lend: (folder, options, signal) => lend(folder, options, signal, false) };
}
