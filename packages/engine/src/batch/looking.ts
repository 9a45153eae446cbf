/** What the fleet shows of the members of a batch and of its hosts, as core wants to see it. */
import { wayOf, type Batch, type HostRef, type SeenVm, type Vm, type VmUuid } from '@ferry/core';
import type { BatchesDeps } from './deps.ts';

export interface Looking {
  /** Of the members, and of a drain all that is on its hosts. */
  readonly vmsOf: (batch: Pick<Batch, 'kind' | 'hosts' | 'members'>) => readonly SeenVm[];
  readonly vmsOn: (hosts: readonly HostRef[]) => readonly SeenVm[];
  /** Hosts of the batch and of its members that do not answer now. */
  readonly silentOf: (batch: Batch) => readonly HostRef[];
}

export function lookAt({
  knownHosts,
  fleet,
  labelsOf,
}: Pick<BatchesDeps, 'knownHosts' | 'fleet' | 'labelsOf'>): Looking {
  const seen = (vm: Vm): SeenVm => ({
    uuid: vm.uuid,
    name: vm.name,
    memoryBytes: vm.memoryBytes,
    host: { id: vm.hostId, name: knownHosts.nameOf(vm.hostId) },
    isPersistent: vm.instances.some(({ hostId, instance }) => hostId === vm.hostId && instance.persistent),
    isActive: vm.state !== 'shut-off' && vm.state !== 'crashed',
    ...wayOf(labelsOf(vm.uuid)),
    ...(vm.currentMigration === undefined ? {} : { migration: vm.currentMigration }),
  });
  const vmsOn = (hosts: readonly HostRef[]): readonly SeenVm[] =>
    hosts.flatMap(({ id }) => [...fleet.on(id)]).map(seen);
  const vmOf = (uuid: VmUuid): SeenVm | undefined => {
    const vm = fleet.get(uuid);
    return vm === undefined ? undefined : seen(vm);
  };
  const vmsOf = ({ kind, hosts, members }: Pick<Batch, 'kind' | 'hosts' | 'members'>): readonly SeenVm[] => {
    const found = [...(kind === 'drain' ? vmsOn(hosts) : []), ...members.flatMap(({ vm }) => vmOf(vm.uuid) ?? [])];
    return [...new Map(found.map((vm) => [vm.uuid, vm])).values()];
  };
  const silentOf = ({ members, hosts }: Batch): readonly HostRef[] =>
    [...new Map([...hosts, ...members.map(({ from }) => from)].map((host) => [host.id, host])).values()].filter(
      ({ id }) => knownHosts.follower(id)?.view().state !== 'connected',
    );
  return { vmsOf, vmsOn, silentOf };
}
