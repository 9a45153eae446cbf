/**
 * A rule: which VMs may share a host, and on which hosts VMs may be. Types and nothing else: who a rule speaks of is
 * found in planning/rules/members.ts, what it forbids in planning/rules/judge.ts.
 */
import type { HostId, VmUuid } from './ids.ts';

/**
 * `together`: the VMs are on one host. `apart`: no two of them are. `on-hosts`: they are on these hosts only.
 * `off-hosts`: on any but these. `pinned`: they stay where they are.
 */
export const ruleKinds = ['together', 'apart', 'on-hosts', 'off-hosts', 'pinned'] as const;
export type RuleKind = (typeof ruleKinds)[number];

export interface RuleContent {
  readonly kind: RuleKind;
  /** A hard rule refuses a target; a soft one warns, and weighs in the choice. */
  readonly strength: 'hard' | 'soft';
  readonly description?: string;
  /** Names and UUIDs of VMs; those that the selector means come on top. */
  readonly vms?: readonly string[];
  /** By their labels. */
  readonly vmSelector?: string;
  /** Names of hosts, of a rule that is about hosts. */
  readonly hosts?: readonly string[];
  readonly hostSelector?: string;
}

export interface Rule extends RuleContent {
  readonly name: string;
}

/** Another VM of a rule, and where it counts. */
export interface RuleMember {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly hostId: HostId;
  /** Of a VM that is being moved: the target, or `open` while none is chosen. */
  readonly movesTo?: HostId | 'open';
}

/** A rule that speaks of a VM, with what it takes to judge a host by it. */
export interface RuleFacts {
  readonly rule: Rule;
  /** The other VMs of a rule about VMs. */
  readonly others: readonly RuleMember[];
  /** Those that a rule about hosts means. */
  readonly hosts: ReadonlySet<HostId>;
}
