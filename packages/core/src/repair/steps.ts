/** What is done, one after the other, to put a VM right. Each may be repeated; the first that fails ends the rest. */
import type { HostId } from '../model/ids.ts';
import type { VolumeRecord } from '../model/storage.ts';

export type RepairStep =
  /** Rejects unless the two hosts are two machines, seen so at that moment. */
  | { readonly type: 'prove-apart'; readonly hosts: readonly [HostId, HostId] }
  /** Ends the running copy there; a persistent definition stays. */
  | { readonly type: 'end'; readonly host: HostId }
  /** The definition there stays, is known not to be the VM, and has autostart off. */
  | { readonly type: 'park'; readonly host: HostId }
  /** The definition there is the VM. */
  | { readonly type: 'unpark'; readonly host: HostId }
  | { readonly type: 'resume'; readonly host: HostId }
  | { readonly type: 'delete-volume'; readonly record: VolumeRecord };
