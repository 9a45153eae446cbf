/**
 * VMs that are to be placed together, over hosts that the checks let them go to: who, where to, what each host costs each
 * of them, and the rules among them. Types and nothing else: placed by place.ts.
 */
import type { HostRef } from '../../model/host.ts';
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { Rule } from '../../model/rule.ts';

export interface GroupHost extends HostRef {
  /** That nobody has, and nobody was promised; Infinity where it is not known. */
  readonly freeBytes: number;
}

export interface GroupVm {
  readonly uuid: VmUuid;
  readonly name: string;
  /** It has its memory there until it leaves. */
  readonly from: HostId;
  /** That it takes of the host where it is. */
  readonly memoryBytes: number;
  /** Hosts where it may be, with the points against each; its own too if it may stay. */
  readonly may: ReadonlyMap<HostId, number>;
}

/** A rule among VMs of the group. Rules about hosts, and about other VMs, are in what each VM may. */
export interface GroupRule extends Pick<Rule, 'name' | 'strength'> {
  readonly kind: 'apart' | 'together';
  readonly vms: readonly VmUuid[];
}

export interface Group {
  readonly hosts: readonly GroupHost[];
  readonly vms: readonly GroupVm[];
  readonly rules: readonly GroupRule[];
  /** How long it is searched: hosts looked at for a VM. The same number gives the same answer everywhere. */
  readonly steps?: number;
}

export interface GroupMove {
  readonly vm: VmUuid;
  readonly from: HostId;
  readonly to: HostId;
  /** Only until there is room where it goes. */
  readonly parks?: true;
}

export interface GroupPlan {
  /** Where each VM is in the end, those that stay included. */
  readonly placed: ReadonlyMap<VmUuid, HostId>;
  /** In an order in which each fits when its turn comes, one after the other. */
  readonly moves: readonly GroupMove[];
  /** VMs without a place, each with the reason in a sentence. */
  readonly left: ReadonlyMap<VmUuid, string>;
  /** Fewer are better. */
  readonly points: number;
}

/** A soft rule that two VMs of the group break, beside the points of a host (see weights.ts). */
export const softPairPoints = 100;
/** Of a VM that is left: more than anything that may speak against a host. */
export const leftPoints = 10_000_000;
