/**
 * A recorded fleet, ready for questions: what the checks need to know of a move, and the hosts in the order in which one
 * is chosen. A VM that was given a host counts there from then on, so that many decisions see each other. It decides
 * nothing.
 */
import { FerryError } from '../../model/errors.ts';
import { type Cluster, defaultCluster, type HostView } from '../../model/host.ts';
import { type HostId, migrationId, type VmUuid, vmUuid } from '../../model/ids.ts';
import type { Policy, ResolvedPolicy } from '../../model/policy.ts';
import type { MigrationRequest } from '../../model/request.ts';
import type { Rule, RuleFacts } from '../../model/rule.ts';
import type { Instance, Vm } from '../../model/vm.ts';
import { parseSelector } from '../../fleet/selector.ts';
import { resolve, resolveHost } from '../../fleet/vms.ts';
import { presets } from '../../policy/presets.ts';
import { choosePolicy, resolvePolicy } from '../../policy/resolve.ts';
import type { CheckInput } from '../check-input.ts';
import { hostKey, memoryPromised, portsTaken, type Ledger, type Reservations } from '../ledger.ts';
import { hostsOfRule, isAboutVms, rulesFor, vmsMeantBy } from '../rules/members.ts';
import { targetWaits } from '../slots.ts';
import type { Fleet, FleetMigration } from './fleet.ts';
import { createRanking } from './ranking.ts';

export interface KnownFleet {
  readonly fleet: Fleet;
  /** Throws FerryError `host-unknown`, `host-ambiguous`. */
  host(ref: string): HostView;
  /** Throws FerryError `vm-unknown`, `vm-ambiguous`. */
  vm(ref: string): Vm;
  vmsOn(host: HostId): readonly Vm[];
  /** Throws FerryError `policy-unknown`. */
  input(vm: Vm, request: MigrationRequest): CheckInput;
  rulesOf(vm: Vm): readonly RuleFacts[];
  /** Hosts of the cluster: the fewest migrations first, then the most memory that nobody has or was promised. */
  ranked(cluster: string): Iterable<HostView>;
  /** From now on the VM is on its way there. */
  given(vm: Vm, to: HostView): void;
}

export function knownFleet(fleet: Fleet): KnownFleet {
  const clusters = new Map<string, Cluster>(fleet.clusters.map((cluster) => [cluster.name, cluster]));
  const hosts = new Map(fleet.hosts.map((view) => [view.host.id, view]));
  const vms = new Map(fleet.vms.map((vm) => [vm.uuid, vm]));
  const named = grouped(fleet.vms, ({ name }) => name);
  const on = grouped(fleet.vms, ({ hostId }) => hostId);
  const instances = grouped(
    fleet.vms.flatMap((vm) => vm.instances),
    ({ hostId }) => hostId,
  );
  const domains = new Map<HostId, readonly Instance[]>(
    [...instances].map(([id, all]) => [id, all.map(({ instance }) => instance)]),
  );
  const labelsOf = (uuid: VmUuid): readonly string[] => fleet.labels.get(uuid) ?? [];
  const policies = new Map<string, Policy>([
    ...presets,
    ...fleet.policies.map((policy) => [policy.name, policy] as const),
  ]);
  const moves = new Map<VmUuid, FleetMigration>(fleet.migrations.map((each) => [each.vm.uuid, each]));

  const clusterOf = (id: HostId): Cluster => {
    const name = hosts.get(id)?.host.cluster ?? defaultCluster;
    return clusters.get(name) ?? { name };
  };
  const held = new Map<string, Reservations>(Object.entries(fleet.reservations));
  const ledger: Ledger = { of: (key) => held.get(key) ?? {}, clusterOf, fleet: () => fleet.settings };
  /** What is reserved, and what VMs take that were given the host since. */
  const promised = new Map([...hosts.keys()].map((id) => [id, memoryPromised(ledger.of(hostKey(id)))]));
  const promisedOn = (id: HostId): number => promised.get(id) ?? 0;
  const loads = new Map<HostId, number>();
  const loaded = (id: HostId | undefined): void => {
    if (id !== undefined) loads.set(id, (loads.get(id) ?? 0) + 1);
  };
  for (const { from, to } of fleet.migrations) {
    loaded(from.id);
    loaded(to?.id);
  }
  const loadOf = (id: HostId): number => loads.get(id) ?? 0;
  const ranking = createRanking(fleet.hosts, {
    loadOf,
    spareOf: ({ host, freeMemoryBytes = 0 }) => freeMemoryBytes - promisedOn(host.id),
  });

  const labelled = grouped(
    [...fleet.labels].flatMap(([uuid, labels]) => labels.map((label) => ({ uuid, label }))),
    ({ label }) => label,
  );
  /** Those that can match, and maybe others. */
  const selectable = (text: string | undefined): readonly Vm[] => {
    if (text === undefined) return [];
    const needs = parseSelector(text).find(({ is }) => is === 'in');
    if (needs === undefined) return fleet.vms;
    return needs.values.flatMap((value) =>
      (labelled.get(`${needs.key}=${value}`) ?? []).flatMap(({ uuid }) => vms.get(uuid) ?? []),
    );
  };
  const meantBy = new Map<Rule, readonly Vm[]>();
  const vmsOf = (rule: Rule): readonly Vm[] => {
    const known = meantBy.get(rule);
    if (known !== undefined) return known;
    const isMeant = vmsMeantBy(rule);
    const found = new Set<Vm>();
    for (const ref of rule.vms ?? [])
      for (const vm of [...(named.get(ref) ?? []), vms.get(vmUuid(ref))]) if (vm !== undefined) found.add(vm);
    for (const vm of selectable(rule.vmSelector)) if (isMeant(vm, labelsOf(vm.uuid))) found.add(vm);
    meantBy.set(rule, [...found]);
    return [...found];
  };
  /** By VM: the rules that speak of it. */
  const rulesBy = new Map<VmUuid, Rule[]>();
  for (const rule of fleet.rules)
    for (const { uuid } of vmsOf(rule)) rulesBy.set(uuid, [...(rulesBy.get(uuid) ?? []), rule]);
  const hostList = fleet.hosts.map(({ host }) => host);
  const hostsMeant = new Map(
    fleet.rules.filter(({ kind }) => !isAboutVms(kind)).map((rule) => [rule, hostsOfRule(rule, hostList)]),
  );
  const rulesOf = (vm: Vm): readonly RuleFacts[] => {
    const rules = rulesBy.get(vm.uuid) ?? [];
    if (rules.length === 0) return [];
    const fellows = rules.filter(({ kind }) => isAboutVms(kind)).flatMap(vmsOf);
    return rulesFor(vm, {
      rules,
      labelsOf,
      hosts: hostList,
      vmsOf,
      hostsOf: (rule) => hostsMeant.get(rule) ?? new Set(),
      active: fellows.flatMap(({ uuid }) => moves.get(uuid) ?? []),
    });
  };
  const policyOf = (vm: Vm, request: MigrationRequest): ResolvedPolicy => {
    const { policy: ofCluster } = clusterOf(vm.hostId);
    const { name, from } = choosePolicy({
      ...(request.policy === undefined ? {} : { requested: request.policy }),
      labels: labelsOf(vm.uuid),
      bindings: fleet.bindings,
      ...(ofCluster === undefined ? {} : { cluster: ofCluster }),
    });
    const policy = policies.get(name);
    if (policy === undefined) throw new FerryError('policy-unknown', `There is no policy "${name}".`);
    return resolvePolicy(policy, from, request);
  };

  return {
    fleet,
    host: (ref) => hosts.get(ref as HostId) ?? resolveHost(fleet.hosts, ref),
    vm: (ref) =>
      vms.get(ref as VmUuid) ??
      resolve(named.get(ref) ?? fleet.vms, ref, {
        kind: 'vm',
        id: ({ uuid }) => uuid,
        name: ({ name }) => name,
        describe: ({ uuid, hostId }) => `${uuid} on ${hosts.get(hostId)?.host.name ?? hostId}`,
      }),
    vmsOn: (id) => on.get(id) ?? [],
    input: (vm, request) => ({
      vm,
      hosts: fleet.hosts,
      request,
      policy: policyOf(vm, request),
      recordedOnly: true,
      loadOf,
      clusters,
      domainsOn: (id) => domains.get(id) ?? [],
      portsInUse: (id) => portsTaken(ledger.of(hostKey(id))),
      memoryPromised: promisedOn,
      slotWaits: ({ host }, travels) => targetWaits(ledger, host, travels),
      rules: rulesOf(vm),
      parkedOn: fleet.parkedOn.get(vm.uuid) ?? new Set(),
      arrivedPaused: fleet.arrivedPaused.has(vm.uuid),
    }),
    rulesOf,
    ranked: (cluster) => ranking.in(cluster),
    given(vm, { host }) {
      const { uuid, name, hostId: from, memoryBytes } = vm;
      const source = hosts.get(from)?.host ?? { id: from, name: from };
      const to = { id: host.id, name: host.name };
      moves.set(uuid, { id: migrationId(`planned-${uuid}`), vm: { uuid, name }, from: source, to, request: {} });
      promised.set(host.id, promisedOn(host.id) + memoryBytes);
      for (const id of [from, host.id]) {
        loaded(id);
        ranking.changed(id);
      }
    },
  };
}

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
