/**
 * What is wrong with a rule by itself, which hard rules cannot hold together, and what of a rule means nobody. Only the
 * VMs, hosts and labels of this moment are looked at: what changes later is found by the checks of a move. Pure.
 */
import { parseSelector } from '../../fleet/selector.ts';
import type { Host } from '../../model/host.ts';
import type { HostId } from '../../model/ids.ts';
import { FerryError } from '../../model/errors.ts';
import type { Rule, RuleContent } from '../../model/rule.ts';
import { hostsOfRule, isAboutHosts, isAboutVms } from './members.ts';

/** Sentence by sentence; empty when it can be used. */
export function ruleProblems(rule: RuleContent): readonly string[] {
  const { kind, strength, vms = [], vmSelector, hosts = [], hostSelector } = rule;
  const problems: string[] = [];
  const check = (fine: boolean, sentence: string): void => void (fine ? undefined : problems.push(sentence));
  check(vms.length > 0 || vmSelector !== undefined, 'It names no VM: give "vms" or "vmSelector".');
  if (isAboutHosts(kind))
    check(hosts.length > 0 || hostSelector !== undefined, `It names no host, which "${kind}" needs.`);
  else check(hosts.length === 0 && hostSelector === undefined, `It names hosts, which "${kind}" does not speak of.`);
  check(
    !isAboutVms(kind) || vmSelector !== undefined || new Set(vms).size > 1,
    `It names one VM, and "${kind}" is about several.`,
  );
  check(kind !== 'pinned' || strength === 'hard', 'A pinned VM never moves, so that the rule is hard.');
  for (const selector of [vmSelector, hostSelector]) {
    if (selector === undefined) continue;
    try {
      parseSelector(selector);
    } catch (error) {
      if (!(error instanceof FerryError)) throw error;
      problems.push(error.message);
    }
  }
  return problems;
}

export const unknownRule = (name: string): FerryError => new FerryError('rule-unknown', `There is no rule "${name}".`);

/** Throws FerryError `rule-invalid`. */
export function refuseRule(name: string, rule: RuleContent): void {
  const problems = ruleProblems(rule);
  if (problems.length > 0) throw new FerryError('rule-invalid', `The rule ${name}: ${problems.join(' ')}`);
}

/** Throws FerryError `rules-contradict`. */
export function refuseContradictions(found: readonly string[]): void {
  if (found.length > 0) throw new FerryError('rules-contradict', found.join(' '));
}

/** A rule with those that it means at this moment. */
export interface MeantRule {
  readonly rule: Rule;
  /** UUIDs of VMs; and names of those that are not in the fleet. */
  readonly vms: readonly string[];
}

/** What the rule names and the fleet does not have. It takes effect when that comes. */
export function ruleWarningsOf(
  rule: Rule,
  meant: { readonly vms: number; readonly isVm: (ref: string) => boolean },
  hosts: readonly Pick<Host, 'id' | 'name' | 'labels'>[],
): readonly string[] {
  const { kind, vms = [], vmSelector, hosts: named = [], hostSelector } = rule;
  const unknownVms = vms.filter((ref) => !meant.isVm(ref));
  const unknownHosts = named.filter((ref) => !hosts.some(({ id, name }) => id === ref || name === ref));
  const selected = (selector: string): number =>
    hostsOfRule({ ...rule, hosts: [], hostSelector: selector }, hosts).size;
  const warnings: string[] = [];
  if (unknownVms.length > 0) warnings.push(`There is no VM ${unknownVms.join(', ')} in the fleet.`);
  if (meant.vms === 0 && vmSelector !== undefined) warnings.push(`The selector ${vmSelector} matches no VM.`);
  else if (meant.vms === 1 && isAboutVms(kind)) warnings.push('It means one VM only.');
  if (unknownHosts.length > 0) warnings.push(`There is no host ${unknownHosts.join(', ')} in the fleet.`);
  if (hostSelector !== undefined && selected(hostSelector) === 0)
    warnings.push(`The selector ${hostSelector} matches no host.`);
  else if (kind === 'on-hosts' && hostsOfRule(rule, hosts).size === 1)
    warnings.push('One host only matches: its VMs cannot move, and do not come back when it dies.');
  return warnings;
}

/** Pairs or groups of hard rules that cannot hold together, each in one sentence that names them. */
export function contradictions(
  rules: readonly MeantRule[],
  hosts: readonly Pick<Host, 'id' | 'name' | 'labels'>[],
  nameOf: (vm: string) => string,
): readonly string[] {
  const hard = rules.filter(({ rule }) => rule.strength === 'hard');
  const groups = groupsOf(hard.filter(({ rule }) => rule.kind === 'together'));
  const found: string[] = [];
  for (const { rule, vms } of hard) {
    if (rule.kind !== 'apart') continue;
    const seen = new Map<Group, string>();
    for (const vm of vms) {
      const group = groups.get(vm);
      const other = group === undefined ? undefined : seen.get(group);
      if (group !== undefined && other === undefined) seen.set(group, vm);
      if (group === undefined || other === undefined) continue;
      found.push(
        `${rulesText([...group.rules, rule.name])} contradict each other: ${nameOf(other)} and ` +
          `${nameOf(vm)} would be on one host and on two.`,
      );
      break;
    }
  }
  return [...found, ...hostContradictions(hard, groups, hosts, nameOf)];
}

/** VMs that hard rules keep together, by way of one another too. */
interface Group {
  readonly vms: Set<string>;
  readonly rules: Set<string>;
}

function groupsOf(together: readonly MeantRule[]): ReadonlyMap<string, Group> {
  const groups = new Map<string, Group>();
  for (const { rule, vms } of together) {
    const joined = new Set(vms.flatMap((vm) => groups.get(vm) ?? []));
    const group: Group = {
      vms: new Set([...[...joined].flatMap((each) => [...each.vms]), ...vms]),
      rules: new Set([...[...joined].flatMap((each) => [...each.rules]), rule.name]),
    };
    for (const vm of group.vms) groups.set(vm, group);
  }
  return groups;
}

/** No host is left to a VM, or to VMs that are kept together. A rule that means no host says nothing yet. */
function hostContradictions(
  hard: readonly MeantRule[],
  groups: ReadonlyMap<string, Group>,
  hosts: readonly Pick<Host, 'id' | 'name' | 'labels'>[],
  nameOf: (vm: string) => string,
): readonly string[] {
  const speaking = hard
    .filter(({ rule }) => isAboutHosts(rule.kind))
    .map(({ rule, vms }) => ({ rule, vms, hosts: hostsOfRule(rule, hosts) }))
    .filter((each) => each.hosts.size > 0);
  const left = new Map<Group, { readonly hosts: ReadonlySet<HostId>; readonly rules: readonly string[] }>();
  const everywhere = new Set(hosts.map(({ id }) => id));
  const alone = new Map<string, Group>();
  const groupOf = (vm: string): Group => {
    const group = groups.get(vm) ?? alone.get(vm) ?? { vms: new Set([vm]), rules: new Set<string>() };
    alone.set(vm, group);
    return group;
  };
  const found = new Map<string, string>();
  for (const { rule, vms, hosts: meant } of speaking) {
    for (const group of new Set(vms.map(groupOf))) {
      const before = left.get(group) ?? { hosts: everywhere, rules: [] };
      const now = new Set([...before.hosts].filter((id) => meant.has(id) === (rule.kind === 'on-hosts')));
      const names = [...before.rules, rule.name];
      left.set(group, { hosts: now, rules: names });
      // hosts without one that allows the VM may come; rules that say the opposite of each other do not change
      if (now.size > 0 || before.hosts.size === 0 || names.length === 1) continue;
      const [vm = ''] = group.vms;
      const all = [...group.rules, ...names];
      found.set(all.join(' '), `${rulesText(all)} contradict each other: no host is left to ${nameOf(vm)}.`);
    }
  }
  return [...found.values()];
}

const rulesText = (names: readonly string[]): string =>
  `The rule${names.length === 1 ? '' : 's'} ${names.length < 3 ? names.join(' and ') : names.join(', ')}`;
