/** What happens to a batch, and what is done for it. Types and nothing else. */
import type { BatchMember, MaintenanceWay } from '../model/batch.ts';
import type { HostId, MigrationId, VmUuid } from '../model/ids.ts';
import type { MigrationOutcome } from '../model/migration.ts';
import type { HostRef } from '../model/host.ts';
import type { DirtyCurve } from '../model/prediction.ts';
import type { Lane } from './pace.ts';

/** A VM as the fleet shows it. */
export interface SeenVm {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly memoryBytes: number;
  readonly host: HostRef;
  /** It has memory or processor state: it runs, or is paused. */
  readonly isActive: boolean;
  /** It has a definition without running: shut down, it is still there. */
  readonly isPersistent: boolean;
  readonly way: MaintenanceWay;
  /** What is wrong with what its labels say. */
  readonly wayNote?: string;
  /** The migration that moves it now. */
  readonly migration?: MigrationId;
  /** That is about to end: it uses the link no more by the time that another one does. */
  readonly isEnding?: true;
  /** What it was last measured to write. */
  readonly curve?: DirtyCurve;
  /** That is being measured. */
  readonly isMeasured?: true;
  /** The bandwidth that its policy allows, bytes per second. */
  readonly bandwidthLimit?: number;
}

export type BatchEvent =
  /**
   * `vms`: those of the members, and all on the hosts of a drain. `silent`: hosts that do not answer now. `lanes`: what
   * is known of the hosts' links and limits.
   */
  | {
      readonly type: 'looked';
      readonly vms: readonly SeenVm[];
      readonly silent: readonly HostRef[];
      readonly lanes?: readonly Lane[];
    }
  /** Its time has come, and these are its members. */
  | { readonly type: 'due'; readonly members: readonly BatchMember[] }
  /** Its time has come, and it cannot begin. */
  | { readonly type: 'not-begun'; readonly message: string }
  | { readonly type: 'began'; readonly vm: VmUuid; readonly migration: MigrationId }
  /** Its migration, or its start, did not begin. `waits`: for room, which is no try in vain. */
  | { readonly type: 'refused'; readonly vm: VmUuid; readonly message: string; readonly waits?: true }
  | {
      readonly type: 'ended';
      readonly vm: VmUuid;
      readonly outcome: MigrationOutcome;
      readonly to?: HostRef;
      readonly message?: string;
    }
  /** To shut down; whether the guest heard it is not known. */
  | { readonly type: 'asked'; readonly vm: VmUuid }
  | { readonly type: 'started'; readonly vm: VmUuid }
  /** What the hosts say themselves: the domains that are active there. */
  | { readonly type: 'confirmed'; readonly active: ReadonlyMap<HostId, ReadonlySet<VmUuid>> }
  | { readonly type: 'unconfirmed'; readonly message: string }
  | { readonly type: 'cancel-requested'; readonly abort: boolean }
  | { readonly type: 'retry-requested' };

export type BatchEffect =
  /** Start a migration of this member. */
  | { readonly do: 'begin'; readonly member: BatchMember }
  | { readonly do: 'shut-down'; readonly member: BatchMember }
  | { readonly do: 'start'; readonly member: BatchMember }
  | { readonly do: 'abort'; readonly migration: MigrationId }
  /** Ask the hosts themselves which domains are active. */
  | { readonly do: 'confirm' };
