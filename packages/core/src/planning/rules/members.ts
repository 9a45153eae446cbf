/** Who a rule speaks of: VMs and hosts by name, by id or by their labels. Pure. */
import { matchesSelector, parseSelector } from '../../fleet/selector.ts';
import type { Host } from '../../model/host.ts';
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { Migration } from '../../model/migration.ts';
import type { Rule, RuleContent, RuleFacts, RuleKind, RuleMember } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';

export type RuleVm = Pick<Vm, 'uuid' | 'name' | 'hostId'>;
type RuleHost = Pick<Host, 'id' | 'name' | 'labels'>;

export const isAboutVms = (kind: RuleKind): boolean => kind === 'together' || kind === 'apart';
export const isAboutHosts = (kind: RuleKind): boolean => kind === 'on-hosts' || kind === 'off-hosts';

/** A name stands for every VM that has it. A selector that does not parse means nobody. */
export function meansVm(
  { vms = [], vmSelector }: Pick<RuleContent, 'vms' | 'vmSelector'>,
  { uuid, name }: Pick<Vm, 'uuid' | 'name'>,
  labels: readonly string[],
): boolean {
  return vms.includes(name) || vms.includes(uuid) || isSelected(vmSelector, labels);
}

export const meansHost = (
  { hosts = [], hostSelector }: Pick<RuleContent, 'hosts' | 'hostSelector'>,
  { id, name, labels = [] }: RuleHost,
): boolean => hosts.includes(name) || hosts.includes(id) || isSelected(hostSelector, labels);

function isSelected(selector: string | undefined, labels: readonly string[]): boolean {
  if (selector === undefined) return false;
  try {
    return matchesSelector(parseSelector(selector), labels);
  } catch {
    return false;
  }
}

export const hostsOfRule = (rule: RuleContent, hosts: readonly RuleHost[]): ReadonlySet<HostId> =>
  new Set(hosts.filter((host) => meansHost(rule, host)).map(({ id }) => id));

/** What the rules that speak of a VM are judged by. */
export interface RuleFleet {
  readonly rules: readonly Rule[];
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly hosts: readonly RuleHost[];
  /** The VMs that a rule means. */
  readonly vmsOf: (rule: Rule) => readonly RuleVm[];
  /** Those that have not ended. */
  readonly active: readonly Pick<Migration, 'vm' | 'to' | 'request'>[];
}

export function rulesFor(vm: RuleVm, fleet: RuleFleet): readonly RuleFacts[] {
  const labels = fleet.labelsOf(vm.uuid);
  const moves = new Map(fleet.active.map((migration) => [migration.vm.uuid, migration]));
  const targetOf = (uuid: VmUuid): Pick<RuleMember, 'movesTo'> => {
    const move = moves.get(uuid);
    if (move === undefined) return {};
    const asked = fleet.hosts.find(({ id, name }) => id === move.request.to || name === move.request.to);
    return { movesTo: move.to?.id ?? asked?.id ?? 'open' };
  };
  return fleet.rules
    .filter((rule) => meansVm(rule, vm, labels))
    .map((rule) => ({
      rule,
      others: isAboutVms(rule.kind)
        ? fleet
            .vmsOf(rule)
            .filter(({ uuid }) => uuid !== vm.uuid)
            .map(({ uuid, name, hostId }) => ({ uuid, name, hostId, ...targetOf(uuid) }))
        : [],
      hosts: isAboutHosts(rule.kind) ? hostsOfRule(rule, fleet.hosts) : new Set<HostId>(),
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
