/**
 * The VMs of the fleet, kept up to date by what changed: a change of one instance costs the same in a fleet of any
 * size. Each report names the VM that changed; the VM is put together again when it is next read.
 */
import { groups } from './groups.ts';
import { resolve, vmOf, type HostId, type Instance, type Migration, type Vm, type VmUuid } from '@ferry/core';

export interface VmIndexDeps {
  /** As the host reports it; undefined when it has none. */
  readonly instance: (host: HostId, vm: VmUuid) => Instance | undefined;
  /** Whether what the host reported is still true. */
  readonly answers: (host: HostId) => boolean;
  readonly isParked: (vm: VmUuid, host: HostId) => boolean;
  /** The migration of the VM that has not ended. */
  readonly migrationOf: (vm: VmUuid) => Migration | undefined;
  readonly nameOf: (host: HostId) => string;
}

export interface VmIndex {
  /** Something about this VM, or about its instance on this host, has changed. */
  touch(vm: VmUuid, host?: HostId): void;
  /** By name. */
  all(): readonly Vm[];
  get(vm: VmUuid): Vm | undefined;
  /** By UUID, name or the beginning of a UUID. Throws FerryError `vm-unknown`, `vm-ambiguous`. */
  find(ref: string): Vm;
  countOn(host: HostId): number;
  /** In no order. */
  on(host: HostId): readonly Vm[];
  /** VMs of which an instance has this name, in no order. */
  named(name: string): readonly Vm[];
  /** VMs with more than one instance. */
  several(): readonly Vm[];
}

/** Letters of a UUID by which it is found without a look at all others. */
const prefixLength = 4;
/** More changes in the order of names than this are merged in one go. */
const insertedSingly = 64;

/** By name. */
export const inOrder = (a: Pick<Vm, 'name' | 'uuid'>, b: Pick<Vm, 'name' | 'uuid'>): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : a.uuid < b.uuid ? -1 : a.uuid > b.uuid ? 1 : 0;

export function createVmIndex(deps: VmIndexDeps): VmIndex {
  const hostsOf = new Map<VmUuid, Set<HostId>>();
  const stale = new Set<VmUuid>();
  const vms = new Map<VmUuid, Vm>();
  const byName = groups<string>();
  const byPrefix = groups<string>();
  const byHost = groups<HostId>();
  const multiple = new Set<VmUuid>();
  let sorted: readonly Vm[] = [];
  /** Not yet in `sorted`, or there as they were before. */
  const unsorted = new Map<VmUuid, Vm | undefined>();

  const make = (uuid: VmUuid): Vm | undefined => {
    const placed = [...(hostsOf.get(uuid) ?? [])].flatMap((hostId) => {
      const instance = deps.instance(hostId, uuid);
      if (instance === undefined) return [];
      return [{ hostId, instance, silent: !deps.answers(hostId), parked: deps.isParked(uuid, hostId) }];
    });
    return placed.length === 0 ? undefined : vmOf(uuid, placed, deps.migrationOf(uuid));
  };

  const replace = (uuid: VmUuid, old: Vm | undefined, next: Vm | undefined): void => {
    for (const name of namesOf(old)) byName.remove(name, uuid);
    for (const name of namesOf(next)) byName.add(name, uuid);
    if (old?.hostId !== next?.hostId) {
      if (old !== undefined) byHost.remove(old.hostId, uuid);
      if (next !== undefined) byHost.add(next.hostId, uuid);
    }
    const prefix = uuid.slice(0, prefixLength);
    if (next === undefined) {
      vms.delete(uuid);
      byPrefix.remove(prefix, uuid);
    } else {
      vms.set(uuid, next);
      byPrefix.add(prefix, uuid);
    }
    if ((next?.instances.length ?? 0) > 1) multiple.add(uuid);
    else multiple.delete(uuid);
    if (!unsorted.has(uuid)) unsorted.set(uuid, old);
  };

  const refreshOne = (uuid: VmUuid): void => {
    if (!stale.delete(uuid)) return;
    const old = vms.get(uuid);
    const next = make(uuid);
    if (old !== undefined || next !== undefined) replace(uuid, old, next);
  };
  const refresh = (): void => {
    for (const uuid of stale) refreshOne(uuid);
  };

  const sort = (): void => {
    if (unsorted.size === 0) return;
    const changed = [...unsorted.keys()].flatMap((uuid) => vms.get(uuid) ?? []);
    sorted =
      unsorted.size <= insertedSingly && [...unsorted].every(([uuid, old]) => isInPlace(old, vms.get(uuid)))
        ? withReplaced(sorted, changed)
        : merged(
            sorted.filter(({ uuid }) => !unsorted.has(uuid)),
            changed.sort(inOrder),
          );
    unsorted.clear();
  };

  const current = (uuids: Iterable<VmUuid>): readonly Vm[] => [...uuids].flatMap((uuid) => vms.get(uuid) ?? []);

  return {
    touch(uuid, host) {
      stale.add(uuid);
      if (host === undefined) return;
      const hosts = hostsOf.get(uuid);
      if (deps.instance(host, uuid) !== undefined) {
        if (hosts === undefined) hostsOf.set(uuid, new Set([host]));
        else hosts.add(host);
      } else if (hosts?.delete(host) === true && hosts.size === 0) hostsOf.delete(uuid);
    },
    all() {
      refresh();
      sort();
      return sorted;
    },
    get(uuid) {
      refreshOne(uuid);
      return vms.get(uuid);
    },
    find(ref) {
      refresh();
      const lower = ref.toLowerCase();
      const candidates = new Set([
        lower as VmUuid,
        ...byName.of(ref),
        ...(ref.length >= prefixLength ? byPrefix.of(lower.slice(0, prefixLength)) : []),
      ]);
      return resolve(current(candidates).toSorted(inOrder), ref, {
        kind: 'vm',
        id: ({ uuid }) => uuid,
        name: ({ name }) => name,
        otherNames: namesOf,
        describe: (each) => `${each.uuid} (${each.name} on ${deps.nameOf(each.hostId)})`,
      });
    },
    countOn(host) {
      refresh();
      return byHost.of(host).size;
    },
    on(host) {
      refresh();
      return current(byHost.of(host));
    },
    named(name) {
      refresh();
      return current(byName.of(name));
    },
    several() {
      refresh();
      return current(multiple);
    },
  };
}

const namesOf = (vm: Vm | undefined): readonly string[] => vm?.instances.map(({ instance }) => instance.name) ?? [];

const isInPlace = (old: Vm | undefined, next: Vm | undefined): boolean =>
  old !== undefined && next !== undefined && old.name === next.name;

/** `changed`: VMs of `list` in their places. */
function withReplaced(list: readonly Vm[], changed: readonly Vm[]): readonly Vm[] {
  const copy = [...list];
  for (const vm of changed) {
    let low = 0;
    let high = copy.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = copy[middle];
      if (there !== undefined && inOrder(there, vm) < 0) low = middle + 1;
      else high = middle;
    }
    copy[low] = vm;
  }
  return copy;
}

/** Two sorted lists as one. */
function merged(a: readonly Vm[], b: readonly Vm[]): readonly Vm[] {
  const all: Vm[] = [];
  let at = 0;
  for (const vm of a) {
    for (let next = b[at]; next !== undefined && inOrder(next, vm) < 0; next = b[(at += 1)]) all.push(next);
    all.push(vm);
  }
  return [...all, ...b.slice(at)];
}
