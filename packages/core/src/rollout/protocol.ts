/** What happens to a rollout, and what is done for it. Types and nothing else. */
import type { Batch } from '../model/batch.ts';
import type { HookAnswer } from '../model/hook.ts';
import type { HostRef, HostView } from '../model/host.ts';
import type { BatchId, HostId } from '../model/ids.ts';

export type RolloutEvent =
  /** `hosts`: those that the fleet has. `batches`: the drains and restores of the rollout. */
  | {
      readonly type: 'looked';
      readonly hosts: readonly HostView[];
      readonly batches: readonly Pick<Batch, 'id' | 'phase' | 'attention'>[];
      /** A hook is being called. */
      readonly calling: boolean;
    }
  /** A hook that was called to work on a host is not being called, and its answer is not stored. */
  | { readonly type: 'call-lost'; readonly host: HostId }
  | { readonly type: 'answered'; readonly host: HostId; readonly what: 'ask' | 'work'; readonly answer: HookAnswer }
  | { readonly type: 'began'; readonly host: HostId; readonly what: 'drain' | 'restore'; readonly batch: BatchId }
  /** A drain or a restore did not begin. */
  | { readonly type: 'refused'; readonly host: HostId; readonly message: string }
  /** No VM had left the host. */
  | { readonly type: 'nothing-to-restore'; readonly host: HostId }
  /** It takes VMs again. */
  | { readonly type: 'opened'; readonly host: HostId }
  /** Its connection is lost. */
  | { readonly type: 'left'; readonly host: HostId }
  | { readonly type: 'continue-requested' }
  | { readonly type: 'cancel-requested' };

export type RolloutEffect =
  /** Call the hook: whether its turn is needed, or to work on it. */
  | { readonly do: 'ask' | 'work'; readonly host: HostRef }
  | { readonly do: 'drain' | 'restore'; readonly host: HostRef }
  /** The drain is tried again, or ended. */
  | { readonly do: 'retry' | 'cancel'; readonly batch: BatchId }
  /** Let VMs be placed on it again. */
  | { readonly do: 'open'; readonly host: HostRef };
