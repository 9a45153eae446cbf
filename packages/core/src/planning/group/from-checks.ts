/**
 * What the checks of each VM by itself say, as the group is placed by it: where it may be, what speaks against each host,
 * how much room there is, and which rules are among the VMs of the group. Pure.
 */
import type { Reason } from '../../model/reasons.ts';
import type { HostRef } from '../../model/host.ts';
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { CheckResult, HostAnswer, HostWeights } from '../../model/plan.ts';
import type { RuleFacts } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';
import { softPairPoints, type Group, type GroupPlan, type GroupRule } from './group.ts';

/** In the order of the choice for one VM: ten of one are as much as one of the next. */
const points = { load: 1, copy: 10, softRule: softPairPoints, risk: 1_000, waits: 10_000 } as const;

const noWeights: HostWeights = { risks: 0, softRules: 0, copies: 0, load: 0 };

/** Hosts where the VM may be; memory is left to the group, which sees what the others take. */
const pointsAgainst = (result: CheckResult): ReadonlyMap<HostId, number> =>
  new Map(
    result.kind === 'refused'
      ? []
      : (result.answers ?? []).flatMap((answer) =>
          answer.verdict === 'refused' ? [] : [[answer.host.id, pointsOf(answer)] as const],
        ),
  );

const pointsOf = ({ weighs = noWeights, findings }: HostAnswer): number =>
  weighs.risks * points.risk +
  weighs.softRules * points.softRule +
  weighs.copies * points.copy +
  weighs.load * points.load +
  (findings.some(({ verdict, code }) => verdict === 'wait' && code !== 'target-memory-promised') ? points.waits : 0);

/** By host: the least that any of the answers says; a host that does not say how much it has counts as one with room. */
function roomOf(results: readonly CheckResult[]): ReadonlyMap<HostId, number> {
  const room = new Map<HostId, number>();
  for (const { answers = [] } of results)
    for (const { host, weighs } of answers)
      room.set(host.id, Math.min(room.get(host.id) ?? Number.POSITIVE_INFINITY, weighs?.spareBytes ?? Infinity));
  return room;
}

/** Of a rule, what concerns VMs outside of the group. */
export const beyond = (rules: readonly RuleFacts[], group: ReadonlySet<VmUuid>): readonly RuleFacts[] =>
  rules.map((facts) => ({ ...facts, others: facts.others.filter(({ uuid }) => !group.has(uuid)) }));

/** `rulesOf`: those that speak of each VM of the group. */
function rulesAmong(rulesOf: ReadonlyMap<VmUuid, readonly RuleFacts[]>): readonly GroupRule[] {
  const found = new Map<string, GroupRule>();
  for (const [uuid, facts] of rulesOf)
    for (const { rule } of facts) {
      const { name, kind, strength } = rule;
      if (kind !== 'apart' && kind !== 'together') continue;
      found.set(name, { name, kind, strength, vms: [...(found.get(name)?.vms ?? []), uuid] });
    }
  return [...found.values()].filter(({ vms }) => vms.length > 1);
}

/** A VM of the group, and what the checks say of every host for it; `rules` about VMs of the group are not among theirs. */
export interface Checked {
  readonly vm: Vm;
  readonly result: CheckResult;
  /** All that speak of it. */
  readonly rules: readonly RuleFacts[];
}

export function groupOf(checked: readonly Checked[], hosts: readonly HostRef[]): Group {
  const room = roomOf(checked.map(({ result }) => result));
  return {
    hosts: hosts.map(({ id, name }) => ({ id, name, freeBytes: room.get(id) ?? 0 })),
    vms: checked.map(({ vm: { uuid, name, hostId, memoryBytes }, result }) => ({
      uuid,
      name,
      from: hostId,
      memoryBytes,
      may: pointsAgainst(result),
    })),
    rules: rulesAmong(new Map(checked.map(({ vm, rules }) => [vm.uuid, rules]))),
  };
}

/** Where a VM of the group would go. */
export interface Proposal {
  /** Absent: no host can take it now. */
  readonly to?: HostRef;
  /** What its disks hold that are copied there. */
  readonly diskBytes?: number;
  /** Why there is none, or what it will wait for there. */
  readonly note?: string;
  /** Why every host is refused. */
  readonly reasons?: readonly Reason[];
}

/** What concerns every host, or else says more than that a host is out of service. */
const tellingOf = (reasons: readonly Reason[]): Reason | undefined =>
  reasons.find(({ host }) => host === undefined) ??
  reasons.find(({ code }) => code !== 'target-cordoned' && code !== 'target-unreachable') ??
  reasons[0];

/** A host that waits is proposed to a VM that finds no place beside the others: it may have one when its turn comes. */
export function proposalFrom(
  { vm, result }: Checked,
  { placed, left }: GroupPlan,
  hosts: readonly HostRef[],
): Proposal {
  const to = hosts.find(({ id }) => id === placed.get(vm.uuid));
  const copies = (target: HostRef): Pick<Proposal, 'diskBytes'> => {
    const { copyBytes = 0 } = result.answers?.find(({ host }) => host.id === target.id)?.weighs ?? {};
    return copyBytes === 0 ? {} : { diskBytes: copyBytes };
  };
  switch (result.kind) {
    case 'refused':
      return { note: tellingOf(result.reasons)?.message ?? 'No host can take it.', reasons: result.reasons };
    case 'waits': {
      const why = to === undefined ? left.get(vm.uuid) : undefined;
      return { to: to ?? result.to, ...copies(to ?? result.to), note: why ?? result.reasons[0]?.message ?? '' };
    }
    case 'chosen':
      return to === undefined ? { note: left.get(vm.uuid) ?? 'No host can take it.' } : { to, ...copies(to) };
  }
}
