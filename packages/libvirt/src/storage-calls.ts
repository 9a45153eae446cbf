// The part of a HostSession that speaks of storage pools and volumes: it turns wire values into plain ones and adds
// nothing. What a volume contains travels as a stream (volume-streams.ts).
import type { CallOptions } from './connection.ts';
import type { Procedure } from './procedure.ts';
import { storageProcedures as p } from './storage-procedures.ts';
import type { PoolRef, VolumeRef } from './wire-types.ts';
import { toSafeNumber } from './wire-types.ts';

export interface PoolInfo {
  /** VIR_STORAGE_POOL_STATE. */
  readonly state: number;
  readonly capacityBytes: number;
  readonly allocationBytes: number;
  readonly availableBytes: number;
}
export interface VolumeInfo {
  /** VIR_STORAGE_VOL: 0 file, 1 block, 2 folder, 3 network, 4 network folder, 5 ploop. */
  readonly type: number;
  /** What a guest sees. */
  readonly capacityBytes: number;
  /** What it takes on the storage. */
  readonly allocationBytes: number;
}

export interface StorageCalls {
  /** `flags` are bits of VIR_LIST_STORAGE_POOLS; 0 or absent: all pools. */
  pools(flags?: number, options?: CallOptions): Promise<readonly PoolRef[]>;
  /** Rejects with NO_STORAGE_POOL. */
  poolByName(name: string, options?: CallOptions): Promise<PoolRef>;
  poolByVolume(volume: VolumeRef, options?: CallOptions): Promise<PoolRef>;
  poolInfo(pool: PoolRef, options?: CallOptions): Promise<PoolInfo>;
  poolXml(pool: PoolRef, options?: CallOptions): Promise<string>;
  /** Makes and starts a pool that is gone when it is stopped. `flags` are VIR_STORAGE_POOL_CREATE. */
  poolCreateXml(xml: string, flags?: number, options?: CallOptions): Promise<PoolRef>;
  /** Stops the pool; nothing in it is deleted. */
  poolDestroy(pool: PoolRef, options?: CallOptions): Promise<void>;
  /** Refreshes the pool, so that libvirt knows volumes that others created. */
  poolRefresh(pool: PoolRef, options?: CallOptions): Promise<void>;
  /** Volumes of an active pool. */
  volumes(pool: PoolRef, options?: CallOptions): Promise<readonly VolumeRef[]>;
  /** Rejects with NO_STORAGE_VOL. */
  volumeByName(pool: PoolRef, name: string, options?: CallOptions): Promise<VolumeRef>;
  /** Among the volumes of active pools; rejects with NO_STORAGE_VOL. */
  volumeByPath(path: string, options?: CallOptions): Promise<VolumeRef>;
  volumeInfo(volume: VolumeRef, options?: CallOptions): Promise<VolumeInfo>;
  volumeXml(volume: VolumeRef, options?: CallOptions): Promise<string>;
  /** Rejects with STORAGE_VOL_EXIST where the name is taken. No `<allocation>` means allocated as a whole. */
  volumeCreateXml(pool: PoolRef, xml: string, flags?: number, options?: CallOptions): Promise<VolumeRef>;
  volumeDelete(volume: VolumeRef, options?: CallOptions): Promise<void>;
}

export function storageCalls(
  call: <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined) => Promise<R>,
): StorageCalls {
  return {
    pools: async (flags, options) =>
      (await call(p.connectListAllStoragePools, { needResults: 1, flags: flags ?? 0 }, options)).pools,
    poolByName: async (name, options) => (await call(p.storagePoolLookupByName, { name }, options)).pool,
    poolByVolume: async (volume, options) => (await call(p.storagePoolLookupByVolume, { volume }, options)).pool,
    poolInfo: async (pool, options) => {
      const { state, capacity, allocation, available } = await call(p.storagePoolGetInfo, { pool }, options);
      const what = (quantity: string): string => `the ${quantity} of the pool ${pool.name}`;
      return {
        state,
        capacityBytes: toSafeNumber(capacity, what('capacity')),
        allocationBytes: toSafeNumber(allocation, what('allocation')),
        availableBytes: toSafeNumber(available, what('free space')),
      };
    },
    poolXml: async (pool, options) => (await call(p.storagePoolGetXmlDesc, { pool, flags: 0 }, options)).xml,
    poolCreateXml: async (xml, flags, options) =>
      (await call(p.storagePoolCreateXml, { xml, flags: flags ?? 0 }, options)).pool,
    poolDestroy: (pool, options) => call(p.storagePoolDestroy, { pool }, options),
    poolRefresh: (pool, options) => call(p.storagePoolRefresh, { pool, flags: 0 }, options),
    volumes: async (pool, options) =>
      (await call(p.storagePoolListAllVolumes, { pool, needResults: 1, flags: 0 }, options)).volumes,
    volumeByName: async (pool, name, options) => (await call(p.storageVolLookupByName, { pool, name }, options)).volume,
    volumeByPath: async (path, options) => (await call(p.storageVolLookupByPath, { path }, options)).volume,
    volumeInfo: async (volume, options) => {
      const { type, capacity, allocation } = await call(p.storageVolGetInfo, { volume }, options);
      return {
        type,
        capacityBytes: toSafeNumber(capacity, `the capacity of ${volume.key}`),
        allocationBytes: toSafeNumber(allocation, `the allocation of ${volume.key}`),
      };
    },
    volumeXml: async (volume, options) => (await call(p.storageVolGetXmlDesc, { volume, flags: 0 }, options)).xml,
    volumeCreateXml: async (pool, xml, flags, options) =>
      (await call(p.storageVolCreateXml, { pool, xml, flags: flags ?? 0 }, options)).volume,
    volumeDelete: (volume, options) => call(p.storageVolDelete, { volume, flags: 0 }, options),
  };
}
