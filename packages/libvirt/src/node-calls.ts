// The part of a HostSession that is about the machine of the host: its firmware, its memory pages, its CPUs.
import type { CallOptions } from './connection.ts';
import { nodeProcedures as p } from './node-procedures.ts';
import type { Procedure } from './procedure.ts';

/** Which QEMU on the host is meant; with neither, the default of the host. */
export interface Emulated {
  readonly arch?: string | undefined;
  /** `kvm`, `qemu`. */
  readonly type?: string | undefined;
}

export interface NodeCalls {
  /** What the firmware says of the machine, as `<sysinfo>`; not every host has it. */
  sysinfo(options?: CallOptions): Promise<string>;
  /** Free pages of this size by NUMA node, from node 0 on. Rejects where the host has no pages of this size. */
  freePages(sizeKiB: number, options?: CallOptions): Promise<readonly bigint[]>;
  /** What QEMU and the kernel of the host offer to guests, as `<domainCapabilities>`. */
  domainCapabilities(emulated: Emulated, options?: CallOptions): Promise<string>;
  /**
   * A CPU that every one of these has, as QEMU on this host knows it: `<cpu>`, or `<mode name='host-model'>` of domain
   * capabilities with the element renamed. libvirt 4.4 and later; before 11.6 it is right only on one of their hosts.
   */
  baselineHypervisorCpu(cpus: readonly string[], emulated: Emulated, options?: CallOptions): Promise<string>;
}

/** More than any host has; libvirt stops at the last. */
const MOST_NODES = 256;

export function nodeCalls(
  call: <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined) => Promise<R>,
): NodeCalls {
  return {
    sysinfo: async (options) => (await call(p.connectGetSysinfo, { flags: 0 }, options)).xml,
    freePages: async (sizeKiB, options) =>
      (await call(p.nodeGetFreePages, { pagesKiB: [sizeKiB], startCell: 0, cellCount: MOST_NODES, flags: 0 }, options))
        .counts,
    domainCapabilities: async ({ arch, type }, options) =>
      (
        await call(
          p.connectGetDomainCapabilities,
          { emulator: undefined, arch, machine: undefined, virttype: type, flags: 0 },
          options,
        )
      ).xml,
    baselineHypervisorCpu: async (cpus, { arch, type }, options) =>
      (
        await call(
          p.connectBaselineHypervisorCpu,
          { emulator: undefined, arch, machine: undefined, virttype: type, cpus, flags: 0 },
          options,
        )
      ).xml,
  };
}
