// The procedures about the machine of a host: part of the table in procedures.ts.
import { row } from './procedure.ts';
import { optionalStr, str } from './wire-types.ts';
import { array, i32, struct, u32, u64 } from './xdr.ts';

/** Sizes of pages times NUMA nodes. */
const MAX_PAGE_COUNTS = 1024;
const MAX_CPUS = 256;

export const nodeProcedures = {
  connectGetSysinfo: row(203, 'CONNECT_GET_SYSINFO', struct({ flags: u32 }), struct({ xml: str })),
  nodeGetFreePages: row(
    340,
    'NODE_GET_FREE_PAGES',
    struct({ pagesKiB: array(u32, MAX_PAGE_COUNTS), startCell: i32, cellCount: u32, flags: u32 }),
    struct({ counts: array(u64, MAX_PAGE_COUNTS) }),
  ),
  connectGetDomainCapabilities: row(
    342,
    'CONNECT_GET_DOMAIN_CAPABILITIES',
    struct({ emulator: optionalStr, arch: optionalStr, machine: optionalStr, virttype: optionalStr, flags: u32 }),
    struct({ xml: str }),
  ),
  connectBaselineHypervisorCpu: row(
    394,
    'CONNECT_BASELINE_HYPERVISOR_CPU',
    struct({
      emulator: optionalStr,
      arch: optionalStr,
      machine: optionalStr,
      virttype: optionalStr,
      cpus: array(str, MAX_CPUS),
      flags: u32,
    }),
    struct({ xml: str }),
  ),
} as const;
