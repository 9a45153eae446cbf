/**
 * What a guest has of its host, or depends on: devices that were given to it, pages, CPUs and nodes that it is bound to;
 * and what a host has of these. Types and nothing else.
 */

/** A device of the host that was given to the guest. */
export interface GivenDevice {
  readonly kind: 'pci' | 'usb' | 'mdev' | 'scsi' | 'other';
  /** Its address on the host, for people; the UUID of an mdev. */
  readonly name: string;
  /** QEMU takes it away while the guest moves, and another card of the guest stands in. */
  readonly teaming?: true;
}

export interface GuestHardware {
  readonly devices: readonly GivenDevice[];
  /** `sev`, `sev-snp`, `tdx`, `s390-pv`: the host cannot read the guest's memory. */
  readonly launchSecurity?: string;
  /** Pages that back its memory; no size: the host's own default. `part`: of some of the guest's nodes only. */
  readonly hugePages?: readonly { readonly sizeKiB?: number; readonly part?: true }[];
  /** Sets of host CPUs and nodes, as libvirt writes them: 0-3,^2,8. */
  readonly cpuSets?: readonly string[];
  readonly nodeSets?: readonly string[];
  /** The nodes that all of its memory must come from; absent: other nodes may do, too. */
  readonly strictNodes?: readonly string[];
  /** Threads of a core that the guest sees. */
  readonly threadsPerCore?: number;
  /** The frequency that its definition gives its time stamp counter. */
  readonly tscHz?: number;
  /** Hyper-V features as its host has them. */
  readonly hypervPassthrough?: true;
  readonly virtioVideo?: true;
}

export const noHardware: GuestHardware = { devices: [] };

/** Free pages of one size on one NUMA node. */
export interface FreePages {
  readonly node: number;
  readonly sizeKiB: number;
  readonly count: number;
}

/** Mediated devices (vGPUs) of a host. */
export interface MediatedDevices {
  /** By UUID, with their type. */
  readonly there: ReadonlyMap<string, string>;
  /** How many more of a type can be made. */
  readonly free: ReadonlyMap<string, number>;
}
