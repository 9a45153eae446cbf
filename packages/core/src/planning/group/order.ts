/**
 * The order in which VMs of a group get to their places: one move after the other, each to a host that has room for it
 * at that moment and none of its fellows that a hard rule keeps it apart from. Two that are in each other's way go by
 * way of a third host. Where there is no order, the circle of those that wait for one another is named. Pure.
 */
import type { HostId, VmUuid } from '../../model/ids.ts';
import type { Group, GroupMove, GroupVm } from './group.ts';

export type Order =
  | { readonly kind: 'reachable'; readonly moves: readonly GroupMove[] }
  /** `circle`: each waits for the next, the last for the first. */
  | { readonly kind: 'blocked'; readonly circle: readonly GroupVm[]; readonly sentence: string };

/** Moves that are looked at for an order, with all numbers of moves to a third host together. */
const mostLooks = 400_000;

export function orderOf(group: Group, placed: ReadonlyMap<VmUuid, HostId>): Order {
  const going = group.vms.flatMap((vm) => {
    const to = placed.get(vm.uuid);
    return to === undefined || to === vm.from ? [] : [{ vm, to }];
  });
  const plainly = settleAll(fleetOf(group), going);
  if (plainly.rest.length === 0) return { kind: 'reachable', moves: plainly.moves };
  const looks = { left: mostLooks };
  for (let parks = 0; parks <= plainly.rest.length; parks += 1) {
    const moves = search({ fleet: fleetAfter(group, plainly.moves), rest: plainly.rest, parks, looks });
    if (moves !== undefined) return { kind: 'reachable', moves: [...plainly.moves, ...moves] };
  }
  // what went plainly may have the room that another needs on its way
  for (let parks = 1; plainly.moves.length > 0 && parks <= plainly.rest.length; parks += 1) {
    const moves = search({ fleet: fleetOf(group), rest: going, parks, looks });
    if (moves !== undefined) return { kind: 'reachable', moves };
  }
  return blocked(group, fleetAfter(group, plainly.moves), plainly.rest);
}

interface Going {
  readonly vm: GroupVm;
  readonly to: HostId;
}

interface Fleet {
  at(vm: GroupVm): HostId;
  free(host: HostId): number;
  /** A fellow that a hard rule keeps it apart from is there. */
  isTaken(vm: GroupVm, host: HostId): boolean;
  can(vm: GroupVm, host: HostId): boolean;
  go(vm: GroupVm, host: HostId): void;
}

function fleetOf({ hosts, vms, rules }: Group): Fleet {
  const free = new Map(hosts.map(({ id, freeBytes }) => [id, freeBytes]));
  const at = new Map(vms.map(({ uuid, from }) => [uuid, from]));
  const apart = new Map<VmUuid, Set<VmUuid>>();
  for (const { kind, strength, vms: named } of rules)
    if (kind === 'apart' && strength === 'hard')
      for (const uuid of named) apart.set(uuid, new Set([...(apart.get(uuid) ?? []), ...named]));
  const freeOf = (host: HostId): number => free.get(host) ?? 0;
  const isTaken = ({ uuid }: GroupVm, host: HostId): boolean =>
    [...(apart.get(uuid) ?? [])].some((other) => other !== uuid && at.get(other) === host);
  return {
    at: ({ uuid, from }) => at.get(uuid) ?? from,
    free: freeOf,
    isTaken,
    can: (vm, host) => vm.memoryBytes <= freeOf(host) && !isTaken(vm, host),
    go(vm, host) {
      const from = at.get(vm.uuid) ?? vm.from;
      free.set(from, freeOf(from) + vm.memoryBytes);
      free.set(host, freeOf(host) - vm.memoryBytes);
      at.set(vm.uuid, host);
    },
  };
}

function fleetAfter(group: Group, moves: readonly GroupMove[]): Fleet {
  const fleet = fleetOf(group);
  const vms = new Map(group.vms.map((vm) => [vm.uuid, vm]));
  for (const { vm, to } of moves) {
    const moved = vms.get(vm);
    if (moved !== undefined) fleet.go(moved, to);
  }
  return fleet;
}

/** Those whose host has room for all that are to come: they are in the way of nobody that goes straight there. */
function settleAll(
  fleet: Fleet,
  going: readonly Going[],
): { readonly moves: readonly GroupMove[]; readonly rest: readonly Going[] } {
  const moves: GroupMove[] = [];
  const toCome = new Map<HostId, number>();
  for (const { vm, to } of going) toCome.set(to, (toCome.get(to) ?? 0) + vm.memoryBytes);
  let rest = going;
  for (;;) {
    const stay: Going[] = [];
    for (const each of rest) {
      const { vm, to } = each;
      const coming = toCome.get(to) ?? 0;
      if (coming > fleet.free(to) || !fleet.can(vm, to)) {
        stay.push(each);
        continue;
      }
      moves.push({ vm: vm.uuid, from: fleet.at(vm), to });
      fleet.go(vm, to);
      toCome.set(to, coming - vm.memoryBytes);
    }
    if (stay.length === rest.length || stay.length === 0) return { moves, rest: stay };
    rest = stay;
  }
}

interface Question {
  readonly fleet: Fleet;
  readonly rest: readonly Going[];
  /** Moves to a third host. */
  readonly parks: number;
  /** Of all questions about one order. */
  readonly looks: { left: number };
}

/** Straight moves first; a state that was left with as many parks is not entered again. */
function search({ fleet, rest, parks, looks }: Question): readonly GroupMove[] | undefined {
  const moves: GroupMove[] = [];
  const seen = new Map<string, number>();
  const attempt = (vm: GroupVm, to: HostId, parksLeft: number, isPark: boolean): boolean => {
    const from = fleet.at(vm);
    fleet.go(vm, to);
    moves.push({ vm: vm.uuid, from, to, ...(isPark ? { parks: true as const } : {}) });
    if (descend(parksLeft)) return true;
    moves.pop();
    fleet.go(vm, from);
    return false;
  };
  const descend = (parksLeft: number): boolean => {
    const open = rest.filter(({ vm, to }) => fleet.at(vm) !== to);
    if (open.length === 0) return true;
    looks.left -= open.length;
    if (looks.left <= 0) return false;
    const key = rest.map(({ vm }) => fleet.at(vm)).join('\n');
    if ((seen.get(key) ?? -1) >= parksLeft) return false;
    seen.set(key, parksLeft);
    for (const { vm, to } of open) if (fleet.can(vm, to) && attempt(vm, to, parksLeft, false)) return true;
    if (parksLeft === 0) return false;
    for (const { vm, to } of open) {
      looks.left -= vm.may.size;
      if (looks.left <= 0) return false;
      for (const host of [...vm.may.keys()].sort((a, b) => fleet.free(b) - fleet.free(a) || (a < b ? -1 : 1)))
        if (host !== to && host !== fleet.at(vm) && fleet.can(vm, host) && attempt(vm, host, parksLeft - 1, true))
          return true;
    }
    return false;
  };
  return descend(parks) ? moves : undefined;
}

function blocked({ hosts }: Group, fleet: Fleet, rest: readonly Going[]): Order {
  const nameOf = (id: HostId): string => hosts.find((host) => host.id === id)?.name ?? id;
  const waitsFor = ({ vm, to }: Going): Going | undefined => {
    const there = rest.filter((each) => each.vm !== vm && fleet.at(each.vm) === to);
    return there.toSorted((a, b) => b.vm.memoryBytes - a.vm.memoryBytes)[0];
  };
  const path: Going[] = [];
  let next = rest[0];
  while (next !== undefined && !path.includes(next)) {
    path.push(next);
    next = waitsFor(next);
  }
  const circle = next === undefined ? path : path.slice(path.indexOf(next));
  const says = circle.map(
    ({ vm, to }, index) =>
      `${vm.name} (${nameOf(fleet.at(vm))} to ${nameOf(to)}) waits until ` +
      `${circle[(index + 1) % circle.length]?.vm.name ?? 'another'} has left ${nameOf(to)}`,
  );
  return {
    kind: 'blocked',
    circle: circle.map(({ vm }) => vm),
    sentence: `${says.join(', ')}; and no third host can take one of them meanwhile.`,
  };
}
