// The table of the procedures this package calls: number, name, arguments, result, and which lane a call takes when
// more are wanted than the connection may have in flight. Numbers and layouts are libvirt's stable wire protocol; types
// follow from the table. Adding a call means adding a row here and a method to the session.
import { array, charArray, chars, flag, i32, nothing, optional, struct, u32, u64, uuid } from './xdr.ts';
import { openEnded, row, slow } from './procedure.ts';
import { guestProcedures } from './guest-procedures.ts';
import { migrationProcedures } from './migration-procedures.ts';
import { nodeProcedures } from './node-procedures.ts';
import { resourceProcedures } from './resource-procedures.ts';
import { snapshotProcedures } from './snapshot-procedures.ts';
import { storageProcedures } from './storage-procedures.ts';
import { domain, MAX_DOMAINS, optionalStr, statsRecords, str, wireParams } from './wire-types.ts';

const saslData = chars(65_536);
const domOnly = struct({ dom: domain });
const domFlags = struct({ dom: domain, flags: u32 });
const oneDomain = struct({ dom: domain });
const xmlFlags = struct({ xml: str, flags: u32 });

export const procedures = {
  ...storageProcedures,
  ...snapshotProcedures,
  ...migrationProcedures,
  ...guestProcedures,
  ...resourceProcedures,
  ...nodeProcedures,
  connectOpen: row(1, 'CONNECT_OPEN', struct({ name: optionalStr, flags: u32 }), nothing),
  connectClose: row(2, 'CONNECT_CLOSE', nothing, nothing),
  connectGetVersion: row(4, 'CONNECT_GET_VERSION', nothing, struct({ version: u64 })),
  connectCompareHypervisorCpu: row(
    393,
    'CONNECT_COMPARE_HYPERVISOR_CPU',
    struct({
      emulator: optionalStr,
      arch: optionalStr,
      machine: optionalStr,
      virttype: optionalStr,
      xml: str,
      flags: u32,
    }),
    struct({ result: i32 }),
  ),
  nodeGetInfo: row(
    6,
    'NODE_GET_INFO',
    nothing,
    struct({
      model: charArray(32),
      memoryKiB: u64,
      cpus: i32,
      mhz: i32,
      nodes: i32,
      sockets: i32,
      cores: i32,
      threads: i32,
    }),
  ),
  connectGetCapabilities: row(7, 'CONNECT_GET_CAPABILITIES', nothing, struct({ xml: str })),
  domainCreateXml: slow(row(10, 'DOMAIN_CREATE_XML', xmlFlags, oneDomain)),
  domainGetXmlDesc: row(14, 'DOMAIN_GET_XML_DESC', domFlags, struct({ xml: str })),
  domainGetAutostart: row(15, 'DOMAIN_GET_AUTOSTART', domOnly, struct({ autostart: flag })),
  domainGetInfo: row(
    16,
    'DOMAIN_GET_INFO',
    domOnly,
    struct({ state: i32, maxMemoryKiB: u64, memoryKiB: u64, vcpus: i32, cpuTimeNs: u64 }),
  ),
  domainLookupByName: row(23, 'DOMAIN_LOOKUP_BY_NAME', struct({ name: str }), oneDomain),
  domainLookupByUuid: row(24, 'DOMAIN_LOOKUP_BY_UUID', struct({ uuid }), oneDomain),
  domainResume: row(28, 'DOMAIN_RESUME', domOnly, nothing, 'urgent'),
  domainSetAutostart: row(29, 'DOMAIN_SET_AUTOSTART', struct({ dom: domain, autostart: flag }), nothing),
  domainSuspend: row(34, 'DOMAIN_SUSPEND', domOnly, nothing, 'urgent'),
  connectGetHostname: row(59, 'CONNECT_GET_HOSTNAME', nothing, struct({ hostname: str })),
  connectSupportsFeature: row(60, 'CONNECT_SUPPORTS_FEATURE', struct({ feature: i32 }), struct({ supported: flag })),
  authList: row(66, 'AUTH_LIST', nothing, struct({ types: array(i32, 20) })),
  authSaslInit: row(67, 'AUTH_SASL_INIT', nothing, struct({ mechanisms: str })),
  authSaslStart: row(
    68,
    'AUTH_SASL_START',
    struct({ mechanism: str, nil: flag, data: saslData }),
    struct({ complete: flag, nil: flag, data: saslData }),
  ),
  authSaslStep: row(
    69,
    'AUTH_SASL_STEP',
    struct({ nil: flag, data: saslData }),
    struct({ complete: flag, nil: flag, data: saslData }),
  ),
  authPolkit: row(70, 'AUTH_POLKIT', nothing, struct({ complete: flag })),
  nodeGetFreeMemory: row(102, 'NODE_GET_FREE_MEMORY', nothing, struct({ bytes: u64 })),
  domainIsActive: row(150, 'DOMAIN_IS_ACTIVE', domOnly, struct({ active: flag }), 'urgent'),
  domainIsPersistent: row(151, 'DOMAIN_IS_PERSISTENT', domOnly, struct({ persistent: flag }), 'urgent'),
  connectGetLibVersion: row(157, 'CONNECT_GET_LIB_VERSION', nothing, struct({ version: u64 })),
  domainAbortJob: row(164, 'DOMAIN_ABORT_JOB', domOnly, nothing, 'urgent'),
  domainMigrateSetMaxDowntime: row(
    166,
    'DOMAIN_MIGRATE_SET_MAX_DOWNTIME',
    struct({ dom: domain, downtimeMs: u64, flags: u32 }),
    nothing,
    'urgent',
  ),
  domainManagedSave: openEnded(row(182, 'DOMAIN_MANAGED_SAVE', domFlags, nothing)),
  domainHasManagedSaveImage: row(183, 'DOMAIN_HAS_MANAGED_SAVE_IMAGE', domFlags, struct({ result: flag })),
  domainManagedSaveRemove: slow(row(184, 'DOMAIN_MANAGED_SAVE_REMOVE', domFlags, nothing)),
  domainGetBlockInfo: row(
    194,
    'DOMAIN_GET_BLOCK_INFO',
    struct({ dom: domain, path: str, flags: u32 }),
    struct({ allocation: u64, capacity: u64, physical: u64 }),
  ),
  domainCreateWithFlags: slow(row(196, 'DOMAIN_CREATE_WITH_FLAGS', domFlags, oneDomain)),
  domainMigrateSetMaxSpeed: row(
    207,
    'DOMAIN_MIGRATE_SET_MAX_SPEED',
    struct({ dom: domain, mibPerSecond: u64, flags: u32 }),
    nothing,
    'urgent',
  ),
  domainGetState: row(212, 'DOMAIN_GET_STATE', domFlags, struct({ state: i32, reason: i32 }), 'urgent'),
  domainUndefineFlags: slow(row(231, 'DOMAIN_UNDEFINE_FLAGS', domFlags, nothing)),
  domainSaveImageGetXmlDesc: row(
    235,
    'DOMAIN_SAVE_IMAGE_GET_XML_DESC',
    struct({ file: str, flags: u32 }),
    struct({ xml: str }),
  ),
  domainSaveImageDefineXml: row(
    236,
    'DOMAIN_SAVE_IMAGE_DEFINE_XML',
    struct({ file: str, xml: str, flags: u32 }),
    nothing,
  ),
  domainDestroyFlags: slow(row(234, 'DOMAIN_DESTROY_FLAGS', domFlags, nothing, 'urgent')),
  domainMigrateGetMaxSpeed: row(242, 'DOMAIN_MIGRATE_GET_MAX_SPEED', domFlags, struct({ mibPerSecond: u64 })),
  domainSetMetadata: row(
    264,
    'DOMAIN_SET_METADATA',
    struct({ dom: domain, type: i32, metadata: optionalStr, key: optionalStr, uri: optionalStr, flags: u32 }),
    nothing,
  ),
  domainGetMetadata: row(
    265,
    'DOMAIN_GET_METADATA',
    struct({ dom: domain, type: i32, uri: optionalStr, flags: u32 }),
    struct({ metadata: str }),
  ),
  connectListAllDomains: row(
    273,
    'CONNECT_LIST_ALL_DOMAINS',
    struct({ needResults: i32, flags: u32 }),
    struct({ domains: array(domain, MAX_DOMAINS), count: u32 }),
  ),
  domainGetJobStats: row(298, 'DOMAIN_GET_JOB_STATS', domFlags, struct({ type: i32, params: wireParams(64) })),
  connectDomainEventCallbackRegisterAny: row(
    316,
    'CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY',
    struct({ eventId: i32, dom: optional(domain) }),
    struct({ callbackId: i32 }),
  ),
  connectDomainEventCallbackDeregisterAny: row(
    317,
    'CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY',
    struct({ callbackId: i32 }),
    nothing,
  ),
  connectGetAllDomainStats: row(
    344,
    'CONNECT_GET_ALL_DOMAIN_STATS',
    struct({ doms: array(domain, MAX_DOMAINS), stats: u32, flags: u32 }),
    struct({ records: statsRecords }),
  ),
  domainDefineXmlFlags: row(350, 'DOMAIN_DEFINE_XML_FLAGS', xmlFlags, oneDomain),
  domainMigrateStartPostCopy: row(364, 'DOMAIN_MIGRATE_START_POST_COPY', domFlags, nothing, 'urgent'),
  domainMigrateGetMaxDowntime: row(387, 'DOMAIN_MIGRATE_GET_MAX_DOWNTIME', domFlags, struct({ downtimeMs: u64 })),
  domainStartDirtyRateCalc: row(
    427,
    'DOMAIN_START_DIRTY_RATE_CALC',
    struct({ dom: domain, seconds: i32, flags: u32 }),
    nothing,
  ),
  domainAbortJobFlags: row(442, 'DOMAIN_ABORT_JOB_FLAGS', domFlags, nothing, 'urgent'),
} as const;

/** `CONNECT_SUPPORTS_FEATURE` numbers. Asking for KEEPALIVE makes the daemon start its own pings. */
export const Feature = { KEEPALIVE: 10 } as const;

export const AuthType = { NONE: 0, SASL: 1, POLKIT: 2 } as const;
