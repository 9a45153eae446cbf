/**
 * What the checks of each VM by itself say, as the group is placed by it: where it may be, what speaks against each host,
 * how much room there is, and which rules are among the VMs of the group. Pure.
 */
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { CheckResult, HostAnswer, HostWeights } from '../../model/plan.ts';
import type { RuleFacts } from '../../model/rule.ts';
import { softPairPoints, type GroupRule } from './group.ts';

/** In the order of the choice for one VM: ten of one are as much as one of the next. */
const points = { load: 1, copy: 10, softRule: softPairPoints, risk: 1_000, waits: 10_000 } as const;

const noWeights: HostWeights = { risks: 0, softRules: 0, copies: 0, load: 0 };

/** Hosts where the VM may be; memory is left to the group, which sees what the others take. */
export const pointsAgainst = (result: CheckResult): ReadonlyMap<HostId, number> =>
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
export function roomOf(results: readonly CheckResult[]): ReadonlyMap<HostId, number> {
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
export function rulesAmong(rulesOf: ReadonlyMap<VmUuid, readonly RuleFacts[]>): readonly GroupRule[] {
  const found = new Map<string, GroupRule>();
  for (const [uuid, facts] of rulesOf)
    for (const { rule } of facts) {
      const { name, kind, strength } = rule;
      if (kind !== 'apart' && kind !== 'together') continue;
      found.set(name, { name, kind, strength, vms: [...(found.get(name)?.vms ?? []), uuid] });
    }
  return [...found.values()].filter(({ vms }) => vms.length > 1);
}
