/** Ports: what a host has written down of a VM: its definition, its saved memory, its snapshots. */
import type { CpuThere, GuestCpu, HostUses, VmFacts, VmUuid } from '@ferry/core';

/** The definitions of a host's VMs. */
export interface DefinitionPort {
  /** What a move has to know of the VM. Rejects when the host has none with this UUID. */
  describe(uuid: VmUuid, signal: AbortSignal): Promise<VmFacts>;
  /** Of a guest that runs; absent where it does not, or where QEMU chooses its CPU. */
  cpuOf(uuid: VmUuid, signal: AbortSignal): Promise<GuestCpu | undefined>;
  /** Whether QEMU on this host provides the CPU of a guest that runs elsewhere. */
  compareCpu(cpu: GuestCpu, signal: AbortSignal): Promise<CpuThere>;
  /**
   * Every file that a definition of this host names or a chain leads to: of all domains, running or not, both
   * definitions, and snapshots.
   */
  filesInUse(signal: AbortSignal): Promise<HostUses>;
  /**
   * The inactive definition with its secrets, without what libvirt adds to every one by itself, so that an older
   * libvirt takes it too.
   */
  read(uuid: VmUuid, signal: AbortSignal): Promise<string>;
  /** What libvirt would give a target: the running guest's definition with its secrets. */
  readMigratable(uuid: VmUuid, signal: AbortSignal): Promise<string>;
  /** Defines, or redefines, the domain. */
  write(xml: string, signal: AbortSignal): Promise<void>;
  /** Undefines a shut-off domain, and drops its saved memory. */
  undefine(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  setAutostart(uuid: VmUuid, autostart: boolean, signal: AbortSignal): Promise<void>;
}

/** The memory of a guest that libvirt holds in a file. */
export interface SavedMemoryPort {
  /** The definition inside the saved memory of the VM of this name, with its secrets. */
  read(vm: string, signal: AbortSignal): Promise<string>;
  /** Replaces it; libvirt refuses what the guest would see, and what is longer than the room it left. */
  write(vm: string, xml: string, signal: AbortSignal): Promise<void>;
  /** Forgets that libvirt saved the memory of this VM, and the file. */
  drop(uuid: VmUuid, signal: AbortSignal): Promise<void>;
}

/** What libvirt knows of a snapshot or checkpoint, as it gives it out and takes it back. */
export interface SnapshotMetadata {
  readonly kind: 'snapshot' | 'checkpoint';
  readonly name: string;
  readonly xml: string;
  readonly current: boolean;
}

/** Metadata of snapshots and checkpoints; their images are never touched. */
export interface SnapshotPort {
  /** Metadata of all snapshots and checkpoints, parents before children. */
  read(uuid: VmUuid, signal: AbortSignal): Promise<readonly SnapshotMetadata[]>;
  /** Takes the metadata off, children first; images are left alone, and what is not there is fine. */
  strip(uuid: VmUuid, snapshots: readonly SnapshotMetadata[], signal: AbortSignal): Promise<void>;
  /** Puts the metadata back, parents first; what is there already is left as it is. */
  restore(uuid: VmUuid, snapshots: readonly SnapshotMetadata[], signal: AbortSignal): Promise<void>;
}
