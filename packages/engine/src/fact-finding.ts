/**
 * Gathers what core needs to know about a move, from the hosts and from what is stored, and asks core. It decides nothing, and leaves nothing behind
 * on any host.
 */
import {
  candidatesOf, checkMigration, checkRescue, defaultCluster, joinMaps, ownPlaces, placesOf, portsOf, rescueCandidates, vmReasons, vmUuid,
  type CheckInput, type CheckResult, type Cluster, type Host, type HostView, type Instance, type Migration, type MigrationRequest, type RescueStorage, type ResolvedPolicy, type TargetStorage, type Vm,
} from '@ferry/core';
import type { KeptInstanceStore } from './kept-instances.ts';
import type { RunnerDeps } from './move-context.ts';
import type { Peers } from './peers.ts';
import type { Policies } from './policies.ts';
import type { HostLink, Hypervisor } from './ports.ts';

/** Bounds all the asking for one check. */
export const factsTimeoutMs = 30_000;

export interface FleetView {
  hosts(): readonly HostView[];
  vms(): readonly Vm[];
  vm(ref: string): Vm;
  vmByUuid(uuid: string): Vm | undefined;
  /** What the host last reported. */
  instancesOn(hostId: string): readonly Instance[];
}

export interface FactFinderDeps extends Pick<RunnerDeps, 'clock' | 'linkOf' | 'volumes' | 'stored'> {
  readonly hypervisor: Pick<Hypervisor, 'describeDefinition' | 'identityOfDefinition'>;
  readonly kept: Pick<KeptInstanceStore, 'hasArrivedPaused' | 'isParked'>;
  readonly peers: Pick<Peers, 'refusalsOf'>;
  readonly policies: Pick<Policies, 'resolve'>;
  readonly clusters: () => ReadonlyMap<string, Cluster>;
  readonly fleet: FleetView;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
}

export interface FactFinder {
  /** Whether and how the VM can be moved. `self`: the migration that asks. Rejects when a host does not give its facts. */
  check(vm: Vm, request: MigrationRequest, self: Pick<Migration, 'id' | 'policy' | 'attempts'> | undefined, signal: AbortSignal): Promise<CheckResult>;
  /** That of the cluster which the VM leaves, unless the VM or the request has another. */
  policyOf(vm: Vm, request: MigrationRequest): ResolvedPolicy;
  clusterOf(hostId: string): Cluster;
}

/** A host with its open connection. */
interface Place {
  readonly host: Host;
  readonly link: HostLink;
}

export function createFactFinder(deps: FactFinderDeps): FactFinder {
  const { clock, fleet, active } = deps;
  const clusterOf = (hostId: string): Cluster => {
    const name = fleet.hosts().find(({ host }) => host.id === hostId)?.host.cluster ?? defaultCluster;
    return deps.clusters().get(name) ?? { name };
  };
  const policyOf = (vm: Vm, request: MigrationRequest): ResolvedPolicy => deps.policies.resolve(request, vm.uuid, clusterOf(vm.hostId));

  const readOwnXml = (xml: string): NonNullable<CheckInput['ownXml']> => {
    try {
      return deps.hypervisor.identityOfDefinition(xml);
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  };

  /** Looks at the target's storage where the maps, or the operator's own definition, put the disks. */
  const surveyOn = async ({ request, facts, ownXml, clusters }: CheckInput, from: Place, to: Place, signal: AbortSignal): Promise<TargetStorage> => {
    const map = joinMaps(clusters?.get(to.host.cluster)?.map, request.map);
    const poolsOf = async ({ host, link }: Place) => ({ name: host.name, pools: map.pools === undefined ? [] : await link.storage.pools(signal) });
    const { places, reasons } = ownXml === undefined ? placesOf(map, await poolsOf(from), await poolsOf(to)) : { places: 'problem' in ownXml ? [] : ownPlaces(ownXml.disks, facts), reasons: [] };
    const side = ({ host, link }: Place) => ({ id: host.id, name: host.name, storage: link.storage });
    return { ...(await deps.volumes.survey(facts?.disks ?? [], side(from), side(to), places, signal)), mapReasons: reasons };
  };

  /** The dead host is asked nothing: what is stored and what the candidates have decides. */
  const rescueCheck = async ({ vm, hosts, request, loadOf, domainsOn, parkedOn = new Set() }: CheckInput, signal: AbortSignal): Promise<CheckResult> => {
    const definition = await deps.stored(vm.uuid, vm.hostId);
    const facts = definition === undefined ? undefined : deps.hypervisor.describeDefinition(definition.xml);
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(factsTimeoutMs)]);
    const answering = rescueCandidates({ vm, hosts, request }).filter(({ state }) => state === 'connected');
    const surveyed = await Promise.all(
      answering.map(async ({ host }): Promise<readonly [typeof host.id, RescueStorage]> => [
        host.id,
        await deps.volumes.surveyForRescue(facts?.disks ?? [], vm.hostId, { ...host, storage: deps.linkOf(host.id).storage }, bounded),
      ]),
    );
    return checkRescue({ vm, hosts, request, loadOf, parkedOn, ...(domainsOn === undefined ? {} : { domainsOn }), storage: new Map(surveyed), ...(facts === undefined ? {} : { facts }) });
  };

  /** Asks the source what the VM consists of, and every candidate about its storage; then core decides. */
  const check: FactFinder['check'] = async (vm, request, self, signal) => {
    const basic: CheckInput = {
      vm,
      hosts: fleet.hosts(),
      request,
      policy: self?.policy ?? policyOf(vm, request),
      tried: (self?.attempts ?? []).flatMap(({ to }) => to?.id ?? []),
      loadOf: (id) => active().filter(({ id: other, from, to }) => other !== self?.id && (from.id === id || to?.id === id)).length,
      clusters: deps.clusters(),
      domainsOn: (id) => fleet.instancesOn(id),
      peerRefusals: await deps.peers.refusalsOf(vm.hostId),
      portsInUse: (id) => active().flatMap(({ id: other, to, plan }) => (other !== self?.id && to?.id === id ? portsOf(plan?.transfer) : [])),
      helperUuid: vmUuid(clock.randomUuid()),
      parkedOn: new Set(vm.instances.map(({ hostId }) => hostId).filter((id) => deps.kept.isParked(vm.uuid, id))),
      arrivedPaused: deps.kept.hasArrivedPaused(vm),
    };
    if (request.rescue !== undefined) return rescueCheck(basic, signal);
    const source = basic.hosts.find(({ host }) => host.id === vm.hostId);
    if (source?.state !== 'connected') return checkMigration(basic);
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(factsTimeoutMs)]);
    const sourceLink = deps.linkOf(vm.hostId);
    const facts = await sourceLink.definitions.describe(vm.uuid, bounded);
    const input: CheckInput = { ...basic, facts, ...(request.xml === undefined ? {} : { ownXml: readOwnXml(request.xml) }) };
    // no host is asked about disks when the VM itself forbids the move, or nothing of them has to be known
    if (vmReasons(input).length > 0) return checkMigration(input);
    const candidates = candidatesOf(input).map(({ host }) => ({ host, link: deps.linkOf(host.id) }));
    const needs = input.ownXml !== undefined && 'needs' in input.ownXml ? input.ownXml.needs : facts.needs;
    const named = Object.values(needs).some((names) => names.length > 0);
    const resources = named ? await Promise.all(candidates.map(async ({ host, link }) => [host.id, await link.resources.look(bounded)] as const)) : [];
    if (request.kind === 'configuration' || facts.disks.length === 0) return checkMigration({ ...input, resources: new Map(resources) });
    const surveyed = await Promise.all(candidates.map(async ({ host, link }) => [host.id, await surveyOn(input, { host: source.host, link: sourceLink }, { host, link }, bounded)] as const));
    return checkMigration({ ...input, resources: new Map(resources), storage: new Map(surveyed) });
  };

  return { check, policyOf, clusterOf };
}
