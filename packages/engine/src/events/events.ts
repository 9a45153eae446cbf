/** The events of a fleet; a stored event has a number. Only types: event-hub.ts has numbers and readers. */
import type { Batch, HostView, Migration, Policy, Rollout, TimeMs, Vm } from '@ferry/core';
import type { ClusterView } from '../settings/clusters.ts';
import type { RuleView } from '../settings/rules.ts';
import type { FleetSettingsView } from '../settings/fleet-settings.ts';

export type EngineEvent =
  | { readonly type: 'migration'; readonly migration: Migration }
  | {
      readonly type: 'host';
      readonly host: HostView;
      readonly vms: number;
      /** Of what is stored of it. */
      readonly revision: number;
      readonly attention?: string;
    }
  | { readonly type: 'host-removed'; readonly host: string }
  | { readonly type: 'batch'; readonly batch: Batch; readonly revision: number }
  | { readonly type: 'rollout'; readonly rollout: Rollout; readonly revision: number }
  /** `revision`: of the labels. */
  | { readonly type: 'vm'; readonly vm: Vm; readonly labels: readonly string[]; readonly revision: number }
  | { readonly type: 'policy'; readonly policy: Policy; readonly revision: number }
  | { readonly type: 'policy-removed'; readonly policy: string }
  /** VMs with the label go by the policy; absent: no more. */
  | { readonly type: 'policy-binding'; readonly label: string; readonly policy?: string }
  /** Its settings have changed. */
  | ({ readonly type: 'fleet' } & FleetSettingsView)
  | ({ readonly type: 'cluster' } & ClusterView)
  /** Its settings are gone, and no host names it. */
  | { readonly type: 'cluster-removed'; readonly cluster: string }
  | { readonly type: 'rule'; readonly rule: RuleView }
  | { readonly type: 'rule-removed'; readonly rule: string }
  | { readonly type: 'vm-removed'; readonly uuid: string; readonly name: string }
  /** Something that a person has to put right now. */
  | { readonly type: 'alarm'; readonly code: 'vm-two-copies'; readonly vm: string; readonly message: string }
  | { readonly type: 'reset' };

/**
 * A place in the stream of events: the number of the last one that was seen, and the run of Ferry that gave it out. What
 * an earlier run had published may not have come to the journal, and the fleet changes while Ferry does not run; so a
 * place of an earlier run is answered with a reset. Without a run it is a number of the journal, and nothing else.
 */
export interface EventPlace {
  readonly run?: string;
  readonly seq: number;
}

/** `seq` is absent for events that are not kept (progress between two phases, reset). */
export interface NumberedEvent {
  readonly seq?: number;
  /** What was published without being kept. */
  readonly passing?: true;
  readonly at: TimeMs;
  readonly event: EngineEvent;
}
