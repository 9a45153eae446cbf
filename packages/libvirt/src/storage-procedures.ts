// The rows of procedures.ts that speak of storage pools and their volumes. Streams of volumes' contents are not among
// them.
import { row, slow } from './procedure.ts';
import { MAX_DOMAINS, pool, str, volume } from './wire-types.ts';
import { array, i32, nothing, struct, u32, u64 } from './xdr.ts';

const MAX_POOLS = MAX_DOMAINS;
const MAX_VOLUMES = MAX_DOMAINS;
const poolOnly = struct({ pool });
const poolFlags = struct({ pool, flags: u32 });
const onePool = struct({ pool });
const oneVolume = struct({ volume });

export const storageProcedures = {
  storagePoolCreateXml: slow(row(76, 'STORAGE_POOL_CREATE_XML', struct({ xml: str, flags: u32 }), onePool)),
  storagePoolDestroy: row(80, 'STORAGE_POOL_DESTROY', poolOnly, nothing),
  storagePoolRefresh: slow(row(83, 'STORAGE_POOL_REFRESH', poolFlags, nothing)),
  storagePoolLookupByName: row(84, 'STORAGE_POOL_LOOKUP_BY_NAME', struct({ name: str }), onePool),
  storagePoolLookupByVolume: row(86, 'STORAGE_POOL_LOOKUP_BY_VOLUME', oneVolume, onePool),
  storagePoolGetInfo: row(
    87,
    'STORAGE_POOL_GET_INFO',
    poolOnly,
    struct({ state: i32, capacity: u64, allocation: u64, available: u64 }),
  ),
  storagePoolGetXmlDesc: row(88, 'STORAGE_POOL_GET_XML_DESC', poolFlags, struct({ xml: str })),
  connectListAllStoragePools: row(
    281,
    'CONNECT_LIST_ALL_STORAGE_POOLS',
    struct({ needResults: i32, flags: u32 }),
    struct({ pools: array(pool, MAX_POOLS), count: u32 }),
  ),
  storagePoolListAllVolumes: row(
    282,
    'STORAGE_POOL_LIST_ALL_VOLUMES',
    struct({ pool, needResults: i32, flags: u32 }),
    struct({ volumes: array(volume, MAX_VOLUMES), count: u32 }),
  ),
  storageVolCreateXml: slow(row(93, 'STORAGE_VOL_CREATE_XML', struct({ pool, xml: str, flags: u32 }), oneVolume)),
  storageVolDelete: slow(row(94, 'STORAGE_VOL_DELETE', struct({ volume, flags: u32 }), nothing)),
  storageVolLookupByName: row(95, 'STORAGE_VOL_LOOKUP_BY_NAME', struct({ pool, name: str }), oneVolume),
  storageVolLookupByPath: row(97, 'STORAGE_VOL_LOOKUP_BY_PATH', struct({ path: str }), oneVolume),
  storageVolGetInfo: row(98, 'STORAGE_VOL_GET_INFO', oneVolume, struct({ type: i32, capacity: u64, allocation: u64 })),
  storageVolGetXmlDesc: row(99, 'STORAGE_VOL_GET_XML_DESC', struct({ volume, flags: u32 }), struct({ xml: str })),
} as const;
