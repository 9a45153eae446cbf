/** What the fleet shows of the members of a batch and of its hosts, as core wants to see it. */
import { wayOf, type Batch, type HostRef, type Migration, type SeenVm, type Vm, type VmUuid } from '@ferry/core';
import type { BatchesDeps } from './deps.ts';
import type { Measuring } from './measuring.ts';

const mib = 1_048_576;
/** A migration that ends within this time has left the link by the time that another one uses it, ms. */
const endingMs = 1_000;
const afterTransfer = new Set(['switching', 'verifying', 'cleaning']);

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
  policyOf,
  curves,
  migrations,
  measuring,
}: Pick<BatchesDeps, 'knownHosts' | 'fleet' | 'labelsOf' | 'policyOf' | 'curves' | 'migrations'> & {
  readonly measuring: Pick<Measuring, 'isMeasured'>;
}): Looking {
  const isEnding = ({ phase, progress }: Migration): boolean =>
    afterTransfer.has(phase) || (phase === 'transferring' && (progress?.etaMs ?? Infinity) <= endingMs);
  /** What decides how many move at once. */
  const loadOf = ({ uuid }: Vm): Partial<SeenVm> => {
    const curve = curves.fresh({ uuid });
    const limit = policyOf(uuid)?.bandwidthMiBPerSecond;
    return {
      ...(curve === undefined ? {} : { curve }),
      ...(measuring.isMeasured(uuid) ? { isMeasured: true as const } : {}),
      ...(limit === undefined ? {} : { bandwidthLimit: limit * mib }),
    };
  };
  const seen = (vm: Vm): SeenVm => ({
    uuid: vm.uuid,
    name: vm.name,
    memoryBytes: vm.memoryBytes,
    host: { id: vm.hostId, name: knownHosts.nameOf(vm.hostId) },
    isPersistent: vm.instances.some(({ hostId, instance }) => hostId === vm.hostId && instance.persistent),
    isActive: vm.state !== 'shut-off' && vm.state !== 'crashed',
    ...wayOf(labelsOf(vm.uuid)),
    ...(vm.currentMigration === undefined ? {} : { migration: vm.currentMigration }),
    ...loadOf(vm),
  });
  const vmsOn = (hosts: readonly HostRef[]): readonly SeenVm[] =>
    hosts.flatMap(({ id }) => [...fleet.on(id)]).map(seen);
  const vmOf = (uuid: VmUuid): SeenVm | undefined => {
    const vm = fleet.get(uuid);
    return vm === undefined ? undefined : seen(vm);
  };
  const vmsOf = ({ kind, hosts, members }: Pick<Batch, 'kind' | 'hosts' | 'members'>): readonly SeenVm[] => {
    const found = [...(kind === 'drain' ? vmsOn(hosts) : []), ...members.flatMap(({ vm }) => vmOf(vm.uuid) ?? [])];
    const ending = new Set(migrations.active().flatMap((each) => (isEnding(each) ? [each.vm.uuid] : [])));
    return [...new Map(found.map((vm) => [vm.uuid, vm])).values()].map((vm) =>
      ending.has(vm.uuid) ? { ...vm, isEnding: true as const } : vm,
    );
  };
  const silentOf = ({ members, hosts }: Batch): readonly HostRef[] =>
    [...new Map([...hosts, ...members.map(({ from }) => from)].map((host) => [host.id, host])).values()].filter(
      ({ id }) => {
        const follower = knownHosts.follower(id);
        // one that was removed has nothing to say any more
        return follower !== undefined && follower.view().state !== 'connected';
      },
    );
  return { vmsOf, vmsOn, silentOf };
}
