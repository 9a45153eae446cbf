/** Who a rule speaks of: VMs and hosts by name, by id or by their labels. Pure. */
import { matchesSelector, parseSelector } from '../../fleet/selector.ts';
import type { Host } from '../../model/host.ts';
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { Migration } from '../../model/migration.ts';
import type { Rule, RuleContent, RuleFacts, RuleKind, RuleMember } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';

export type RuleVm = Pick<Vm, 'uuid' | 'name' | 'hostId'>;
type RuleHost = Pick<Host, 'id' | 'name' | 'labels' | 'service'>;

export const isAboutVms = (kind: RuleKind): boolean => kind === 'together' || kind === 'apart';
export const isAboutHosts = (kind: RuleKind): boolean => kind === 'on-hosts' || kind === 'off-hosts';

/** Whether the rule means a VM. A name stands for every VM that has it; a selector that does not parse means nobody. */
export function vmsMeantBy({
  vms = [],
  vmSelector,
}: Pick<RuleContent, 'vms' | 'vmSelector'>): (vm: Pick<Vm, 'uuid' | 'name'>, labels: readonly string[]) => boolean {
  const isSelected = selected(vmSelector);
  return ({ uuid, name }, labels) => vms.includes(name) || vms.includes(uuid) || isSelected(labels);
}

function hostsMeantBy({
  hosts = [],
  hostSelector,
}: Pick<RuleContent, 'hosts' | 'hostSelector'>): (host: RuleHost) => boolean {
  const isSelected = selected(hostSelector);
  return ({ id, name, labels = [] }) => hosts.includes(name) || hosts.includes(id) || isSelected(labels);
}

/** Read once for all whose labels are looked at. */
function selected(text: string | undefined): (labels: readonly string[]) => boolean {
  if (text === undefined) return () => false;
  try {
    const selector = parseSelector(text);
    return (labels) => matchesSelector(selector, labels);
  } catch {
    return () => false;
  }
}

export const hostsOfRule = (rule: RuleContent, hosts: readonly RuleHost[]): ReadonlySet<HostId> =>
  new Set(hosts.filter(hostsMeantBy(rule)).map(({ id }) => id));

/** What the rules that speak of a VM are judged by. */
export interface RuleFleet {
  readonly rules: readonly Rule[];
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly hosts: readonly RuleHost[];
  /** The VMs that a rule means. */
  readonly vmsOf: (rule: Rule) => readonly RuleVm[];
  /** The hosts that a rule means, where they are known already. */
  readonly hostsOf?: (rule: Rule) => ReadonlySet<HostId>;
  /** Those that have not ended. */
  readonly active: readonly Pick<Migration, 'vm' | 'to' | 'request'>[];
}

export function rulesFor(vm: RuleVm, fleet: RuleFleet): readonly RuleFacts[] {
  const source = fleet.hosts.find(({ id }) => id === vm.hostId)?.service?.state;
  const facts = allFor(vm, fleet);
  return source === 'draining' || source === 'maintenance' ? emptied(facts, vm.hostId) : facts;
}

function allFor(vm: RuleVm, fleet: RuleFleet): readonly RuleFacts[] {
  const labels = fleet.labelsOf(vm.uuid);
  const moves = new Map(fleet.active.map((migration) => [migration.vm.uuid, migration]));
  const targetOf = (uuid: VmUuid): Pick<RuleMember, 'movesTo'> => {
    const move = moves.get(uuid);
    if (move === undefined) return {};
    const asked = fleet.hosts.find(({ id, name }) => id === move.request.to || name === move.request.to);
    return { movesTo: move.to?.id ?? asked?.id ?? 'open' };
  };
  return fleet.rules
    .filter((rule) => vmsMeantBy(rule)(vm, labels))
    .map((rule) => ({
      rule,
      others: isAboutVms(rule.kind)
        ? fleet
            .vmsOf(rule)
            .filter(({ uuid }) => uuid !== vm.uuid)
            .map(({ uuid, name, hostId }) => ({ uuid, name, hostId, ...targetOf(uuid) }))
        : [],
      hosts: isAboutHosts(rule.kind) ? (fleet.hostsOf?.(rule) ?? hostsOfRule(rule, fleet.hosts)) : new Set<HostId>(),
    }));
}

/** As it is when everything on this host leaves it, since the host is dead or is being emptied: nobody knows where to. */
export const emptied = (rules: readonly RuleFacts[], host: HostId): readonly RuleFacts[] =>
  rules.map((facts) => ({
    ...facts,
    others: facts.others.map((each) =>
      each.hostId === host && each.movesTo === undefined ? { ...each, movesTo: 'open' as const } : each,
    ),
  }));
