/** Port: the domains of a host as they are seen, and the mark of whose migration one belongs to. */
import type { Instance, InstanceView, VmUuid } from '@ferry/core';

export interface MigrationMarker {
  readonly installation: string;
  readonly migration: string;
  readonly epoch: number;
}

export type HostChange =
  | { readonly type: 'domain'; readonly uuid: VmUuid }
  | { readonly type: 'migration-suspended'; readonly uuid: VmUuid }
  | { readonly type: 'migration-resumed'; readonly uuid: VmUuid }
  | { readonly type: 'gap' };

/** What is on a host. Looking changes nothing. */
export interface InstancePort {
  /** Every domain of the host, from one bulk call and the XML of those that changed. */
  all(signal: AbortSignal): Promise<readonly Instance[]>;
  /** One domain; undefined when the host has none with this UUID. */
  one(uuid: VmUuid, signal: AbortSignal): Promise<Instance | undefined>;
  /** What is on this host of the VM, with the figures of a completed migration where libvirt still has them. */
  observe(uuid: VmUuid, signal: AbortSignal): Promise<InstanceView>;
  /** Changes from the moment the promise resolves. `gap`: some were lost, look at everything again. */
  watch(signal: AbortSignal): Promise<AsyncIterable<HostChange>>;
  /** Writes the marker into the domain's metadata (live and persistent definition). */
  mark(uuid: VmUuid, marker: MigrationMarker, signal: AbortSignal): Promise<void>;
}
