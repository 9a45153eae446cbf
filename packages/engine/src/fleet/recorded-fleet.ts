/** What is recorded of the fleet at this moment, as plain data: for plans with no host in reach. Nobody is asked. */
import type { Fleet, HostId, Migration, VmUuid } from '@ferry/core';
import type { Clock } from '../ports/ports.ts';
import type { ClusterStore } from '../settings/clusters.ts';
import type { FleetSettingsStore } from '../settings/fleet-settings.ts';
import type { Policies } from '../settings/policies.ts';
import type { Rules } from '../settings/rules.ts';
import type { ReservationDocuments } from '../state/reservations.ts';
import type { KnownHosts } from './hosts.ts';
import type { KeptInstanceStore } from './kept-instances.ts';
import type { Fleet as Vms } from './vms.ts';

export interface RecordedFleetDeps {
  readonly clock: Pick<Clock, 'now'>;
  readonly knownHosts: Pick<KnownHosts, 'hosts'>;
  readonly fleet: Pick<Vms, 'all'>;
  readonly kept: Pick<KeptInstanceStore, 'isParked' | 'hasArrivedPaused'>;
  readonly rules: Pick<Rules, 'all'>;
  readonly clusters: Pick<ClusterStore, 'all' | 'revisionOf'>;
  readonly policies: Pick<Policies, 'all' | 'bindings' | 'labelledVms' | 'labelsOf'>;
  readonly settings: Pick<FleetSettingsStore, 'view'>;
  readonly active: () => readonly Migration[];
  readonly reservations: Pick<ReservationDocuments, 'all'>;
}

export function recordedFleet(deps: RecordedFleetDeps): Fleet {
  const { clock, policies, clusters, kept } = deps;
  // a host outside of the fleet is there for one migration only
  const hosts = deps.knownHosts.hosts().filter(({ host }) => host.external !== true);
  const known = new Set(hosts.map(({ host }) => host.id));
  const vms = deps.fleet.all().filter(({ hostId }) => known.has(hostId));
  const parkedOf = (uuid: VmUuid, on: readonly HostId[]): ReadonlySet<HostId> =>
    new Set(on.filter((id) => kept.isParked(uuid, id)));
  return {
    takenAt: clock.now(),
    hosts,
    vms: vms.map((vm) => ({ ...vm, instances: vm.instances.filter(({ hostId }) => known.has(hostId)) })),
    labels: new Map(policies.labelledVms().map((uuid) => [uuid, policies.labelsOf(uuid)])),
    parkedOn: new Map(
      vms.flatMap(({ uuid, instances }) => {
        const parked = parkedOf(
          uuid,
          instances.map(({ hostId }) => hostId),
        );
        return parked.size === 0 ? [] : [[uuid, parked] as const];
      }),
    ),
    arrivedPaused: new Set(vms.filter((vm) => kept.hasArrivedPaused(vm)).map(({ uuid }) => uuid)),
    rules: deps.rules.all(),
    clusters: [...clusters.all([]).values()].filter(({ name }) => clusters.revisionOf(name) > 0),
    policies: policies.all().filter(({ version }) => version > 0),
    bindings: policies.bindings(),
    settings: deps.settings.view().settings,
    migrations: deps
      .active()
      .filter(({ from, to }) => known.has(from.id) && (to === undefined || known.has(to.id)))
      .map(({ id, vm, from, to, request }) => ({
        id,
        vm,
        from,
        ...(to === undefined ? {} : { to }),
        request: request.to === undefined ? {} : { to: request.to },
      })),
    reservations: Object.fromEntries(deps.reservations.all().map(({ key, value }) => [key, value.entries])),
  };
}
