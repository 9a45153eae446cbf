/** Port: whether a guest runs. */
import type { VmUuid } from '@ferry/core';
import type { MigrationMarker } from './instances.ts';

/** A paused domain without memory to speak of that holds disks, so that they can be moved by libvirt's own means. */
export interface HelperDomain {
  readonly uuid: VmUuid;
  readonly name: string;
  /** Absent: what the host takes for a PC. */
  readonly machine?: string;
  /**
   * The VM whose disks these are: what its definition says of the images below one, and of its encryption, holds for
   * the helper, too.
   */
  readonly vm: VmUuid;
  /** The VM's memory is saved: the definition inside holds for disks, too, that the VM's does not have. */
  readonly saved?: true;
  /** `of`: device of the VM; absent where the file itself travels, whatever is in it. */
  readonly disks: readonly {
    readonly target: string;
    readonly of?: string;
    readonly path: string;
    readonly format: string;
    readonly sizeBytes: number;
  }[];
}

/** Starts, pauses and ends guests. */
export interface PowerPort {
  start(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** Starts the helper, paused; one that is there already is left as it is. */
  startHelper(helper: HelperDomain, marker: MigrationMarker, signal: AbortSignal): Promise<void>;
  /**
   * Pauses the guest. One that is being moved live runs again by itself, here when the move ends early, there when it
   * has arrived.
   */
  suspend(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  resume(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** Asks the guest to shut down, and does not wait until it has. */
  shutdown(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  /** Ends the running domain at once, and keeps a persistent definition. */
  end(uuid: VmUuid, signal: AbortSignal): Promise<void>;
}
