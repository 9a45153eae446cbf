/** Port: what is asked of a running guest and its QEMU. */
import type { VmUuid } from '@ferry/core';

/** A guest that runs: its agent, its network cards, the memory that it writes. */
export interface GuestPort {
  /**
   * Lets the guest's agent set the guest's clock to the time of this machine. False when no agent is connected. Rejects
   * when it does not answer (libvirt gives it 5 s) or cannot; one that hangs in its work is waited for until the signal
   * aborts.
   */
  setTime(uuid: VmUuid, signal: AbortSignal): Promise<boolean>;
  /**
   * Lets QEMU announce the guest's cards on the network again (RARP, five frames each within a second). libvirt has
   * no call for it: the command goes past it to QEMU, and libvirt marks the domain as tainted by that in its log. Waits
   * while a migration comes in.
   */
  announce(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** The end of what its QEMU has written to its log, `lengthBytes` at most, also when the guest is gone. */
  log(vm: string, lengthBytes: number, signal: AbortSignal): Promise<string>;
  /**
   * The pages that a running guest wrote within this time, each page counted once; takes as long, and costs the host a
   * look at 512 pages per GiB.
   */
  dirtyRate(uuid: VmUuid, seconds: number, signal: AbortSignal): Promise<MeasuredRate>;
  /**
   * Memory that its QEMU has on the host; undefined where that does not include the guest's (huge pages), or is not
   * known.
   */
  residentBytes(uuid: VmUuid, signal: AbortSignal): Promise<number | undefined>;
}

/** `refused`: why the host does not measure, in its words. */
export type MeasuredRate = { readonly bytesPerSecond: number } | { readonly refused: string };
