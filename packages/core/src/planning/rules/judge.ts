/**
 * What the rules say of a host as the target of a VM: hard ones refuse it, soft ones warn and weigh in the choice. A VM
 * that is being moved counts where it goes; for `apart` also where it still is, since a move may fail. Pure.
 */
import type { HostId } from '../../model/ids.ts';
import type { Reason } from '../../model/reasons.ts';
import type { RuleFacts, RuleMember } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';
import type { Host } from '../../model/host.ts';

type Moved = Pick<Vm, 'name' | 'hostId'>;
type Candidate = Pick<Host, 'id' | 'name'>;
type NameOf = (id: HostId) => string;

/** Hard rules that refuse the host. */
export const ruleReasons = (
  vm: Moved,
  rules: readonly RuleFacts[],
  host: Candidate,
  nameOf: NameOf,
): readonly Reason[] =>
  rules.flatMap((facts) => (facts.rule.strength === 'hard' ? (reasonOf(vm, facts, host, nameOf) ?? []) : []));

/** Hard rules that refuse every move of the VM. */
export const pinReasons = (vm: Moved, rules: readonly RuleFacts[], nameOf: NameOf): readonly Reason[] =>
  rules.flatMap(({ rule }) =>
    rule.kind === 'pinned'
      ? [
          {
            code: 'rule-pinned' as const,
            message: `The rule ${rule.name} pins ${vm.name} to ${nameOf(vm.hostId)}.`,
            remedy: `To let it move, change or delete the rule: ferry rule delete ${rule.name}`,
          },
        ]
      : [],
  );

/** Soft rules that speak against the host. */
export const softRuleReasons = (
  vm: Moved,
  rules: readonly RuleFacts[],
  host: Candidate,
  nameOf: NameOf,
): readonly Reason[] =>
  rules.flatMap((facts) => {
    const { rule } = facts;
    if (rule.strength !== 'soft' || weightOf(facts, host) === 0) return [];
    return [
      {
        code: 'rule-soft',
        host: host.name,
        message: `${sentenceOf(vm, facts, host, nameOf)} (soft)`,
        remedy: 'Choose another host, or change the rule (ferry rule list).',
      },
    ];
  });

/** How much of the soft rules the host leaves unmet: a VM or a host of a rule each. */
export const unmetRules = (rules: readonly RuleFacts[], host: Pick<Host, 'id'>): number =>
  rules.reduce((sum, facts) => sum + (facts.rule.strength === 'soft' ? weightOf(facts, host) : 0), 0);

const countsOn = ({ hostId, movesTo }: RuleMember, id: HostId): boolean =>
  movesTo === undefined ? hostId === id : movesTo === id;
const isLocated = ({ movesTo }: RuleMember): boolean => movesTo !== 'open';
const inTheWay = (members: readonly RuleMember[], id: HostId): readonly RuleMember[] =>
  members.filter((each) => each.hostId === id || each.movesTo === id);
const elsewhere = (members: readonly RuleMember[], id: HostId): readonly RuleMember[] =>
  members.filter((each) => isLocated(each) && !countsOn(each, id));

function weightOf({ rule, others, hosts }: RuleFacts, { id }: Pick<Host, 'id'>): number {
  switch (rule.kind) {
    case 'apart':
      return inTheWay(others, id).length;
    case 'together':
      return elsewhere(others, id).length;
    case 'on-hosts':
      return hosts.has(id) ? 0 : 1;
    case 'off-hosts':
      return hosts.has(id) ? 1 : 0;
    case 'pinned':
      return 0;
  }
}

/** A group that is split already comes together step by step: a host that has more of it than the VM's own is an improvement. */
function isWorse({ others }: RuleFacts, vm: Moved, { id }: Candidate): boolean {
  const on = (host: HostId): number => others.filter((each) => countsOn(each, host)).length;
  return others.some(isLocated) && on(id) <= on(vm.hostId);
}

function reasonOf(vm: Moved, facts: RuleFacts, host: Candidate, nameOf: NameOf): Reason | undefined {
  const { rule } = facts;
  if (rule.kind === 'pinned' || weightOf(facts, host) === 0) return undefined;
  if (rule.kind === 'together' && !isWorse(facts, vm, host)) return undefined;
  return {
    code: `rule-${rule.kind}`,
    host: host.name,
    message: `${sentenceOf(vm, facts, host, nameOf)}.`,
    remedy: remedyOf(facts),
  };
}

function sentenceOf(vm: Moved, { rule, others }: RuleFacts, { id, name }: Candidate, nameOf: NameOf): string {
  switch (rule.kind) {
    case 'apart':
      return (
        `The rule ${rule.name} keeps ${vm.name} apart from ` +
        listed(inTheWay(others, id), (each) => `${each.name}, which ${each.hostId === id ? 'is' : 'moves'} there`) +
        ` (${name})`
      );
    case 'together':
      return (
        `The rule ${rule.name} keeps ${vm.name} together with ` +
        listed(elsewhere(others, id), (each) =>
          each.movesTo === undefined || each.movesTo === 'open'
            ? `${each.name}, which is on ${nameOf(each.hostId)}`
            : `${each.name}, which moves to ${nameOf(each.movesTo)}`,
        ) +
        `, and not on ${name}`
      );
    case 'on-hosts':
      return `The rule ${rule.name} keeps ${vm.name} to hosts that ${name} is not among`;
    case 'off-hosts':
      return `The rule ${rule.name} keeps ${vm.name} off ${name}`;
    case 'pinned':
      return `The rule ${rule.name} pins ${vm.name} to ${nameOf(vm.hostId)}`;
  }
}

function remedyOf({ rule }: RuleFacts): string {
  const soften = `ferry rule set ${rule.name} --soft`;
  switch (rule.kind) {
    case 'together':
      return `Choose the host where they are; or, to move them one after another, make the rule soft meanwhile: ${soften}`;
    case 'apart':
    case 'on-hosts':
    case 'off-hosts':
    case 'pinned':
      return `Choose another host, or change the rule: ${soften}`;
  }
}

const shownAtMost = 3;
function listed(members: readonly RuleMember[], show: (member: RuleMember) => string): string {
  const some = members.toSorted((a, b) => (a.name < b.name ? -1 : 1)).slice(0, shownAtMost);
  const rest = members.length - some.length;
  return [...some.map(show), ...(rest > 0 ? [`${rest} more`] : [])].join(', and ');
}
