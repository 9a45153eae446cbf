/**
 * VMs, and the instances that libvirt shows of them on each host. Types and nothing else: which instance counts is
 * decided in fleet/vms.ts.
 */
import type { VmUuid, HostId, MigrationId } from './ids.ts';

/** Domain states of libvirt (virDomainState); `unknown` is Ferry's, for a host that does not answer. */
export const domainStates = [
  'running',
  'blocked',
  'paused',
  'shutting-down',
  'shut-off',
  'crashed',
  'pm-suspended',
  'no-state',
  'unknown',
] as const;
export type DomainState = (typeof domainStates)[number];

/** Why a domain is in its state, as far as a decision depends on it; every other reason is `other`. */
export type StateReason =
  | 'booted'
  | 'migrated'
  | 'migration'
  | 'migration-canceled'
  | 'post-copy'
  | 'post-copy-failed'
  | 'user'
  /** QEMU is there, and the guest does not run yet: giving it its memory may take minutes. */
  | 'starting'
  | 'saved'
  | 'other';

export interface Disk {
  /** Device name in the guest, e.g. `vda`. */
  readonly target: string;
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** libvirt's disk type: file, block, network, volume, ... */
  readonly type: string;
  /** Path, `protocol:name` or `pool/volume`; absent for an empty drive. */
  readonly source?: string;
  readonly format?: string;
  readonly readOnly: boolean;
}

/** One libvirt domain on one host. */
export interface Instance {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly state: DomainState;
  readonly reason: StateReason;
  readonly persistent: boolean;
  /** libvirt holds its memory in a file, with which its next start goes on. */
  readonly saved?: true;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly disks: readonly Disk[];
}

/** What an instance is to its VM; see the vocabulary. */
export type InstanceRole = 'authoritative' | 'parked' | 'incoming' | 'conflict';

export interface Vm {
  readonly uuid: VmUuid;
  readonly name: string;
  /** Host of the authoritative instance. */
  readonly hostId: HostId;
  readonly state: DomainState;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly disks: readonly Disk[];
  readonly instances: readonly { readonly hostId: HostId; readonly role: InstanceRole; readonly instance: Instance }[];
  readonly currentMigration?: MigrationId;
}

/** Figures libvirt keeps of a completed job. */
export interface CompletedJob {
  readonly downtimeMs: number;
  readonly transferredBytes: number;
}

/** What one host says of the VM. */
export type InstanceView =
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'present';
      readonly state: DomainState;
      readonly reason: StateReason;
      readonly persistent: boolean;
      /** A migration job runs here, as far as the host reports. */
      readonly migrating: boolean;
      /** libvirt knows the domain and does not answer for its job: it waits inside QEMU. `migrating` is assumed then. */
      readonly stuck?: true;
      readonly completed?: CompletedJob;
    };
