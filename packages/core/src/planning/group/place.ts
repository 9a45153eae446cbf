/**
 * Places VMs together: as many as possible, within the hard rules and the room of the hosts, with few points, and only
 * where they can get to, one move after the other. Pure, and the same for the same group.
 */
import type { HostId, VmUuid } from '../../model/ids.ts';
import { boardOf, left, pointsOn, type Board } from './board.ts';
import type { Group, GroupPlan, GroupVm } from './group.ts';
import { orderOf, type Order } from './order.ts';
import { exhaust, hardestFirst, improve, type Places, type Steps } from './search.ts';

const defaultSteps = 2_000_000;
/** Of a group with more units, every choice takes too long to look at. */
const fewUnits = 10;

export function placeGroup(given: Group): GroupPlan {
  const group = sorted(given);
  const steps: Steps = { left: group.steps ?? defaultSteps };
  const board = boardOf(group);
  hardestFirst(board, steps);
  const found = improve(board, steps);
  const order = orderOf(group, placedOn(board, found));
  const isReachable = (places: Places): boolean => orderOf(group, placedOn(board, places)).kind === 'reachable';
  const sound = order.kind === 'reachable' ? found : undefined;
  const best = board.units.length <= fewUnits ? exhaust(board, sound, steps, isReachable) : sound;
  return carriedOut(group, placedOn(board, best ?? found), circleOf(order));
}

/** What to say of each of them, should it be left. */
const circleOf = (order: Order): ReadonlyMap<VmUuid, string> =>
  new Map(order.kind === 'reachable' ? [] : order.circle.map(({ uuid }) => [uuid, order.sentence]));

/** Whoever lists them in another order gets the same. */
const sorted = ({ hosts, vms, rules, ...group }: Group): Group => ({
  ...group,
  hosts: hosts.toSorted((a, b) => byName(a, b) || (a.id < b.id ? -1 : 1)),
  vms: vms.toSorted((a, b) => byName(a, b) || (a.uuid < b.uuid ? -1 : 1)),
  rules: rules.toSorted(byName),
});
const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

const placedOn = ({ hosts, units }: Board, places: Places): ReadonlyMap<VmUuid, HostId> =>
  new Map(
    units.flatMap(({ vms }, unit) => {
      const host = hosts[places[unit] ?? left];
      return host === undefined ? [] : vms.map(({ uuid }) => [uuid, host.id] as const);
    }),
  );

/** Each VM by itself: of a unit without a place some may still have one, and who waits in a circle is left. */
function carriedOut(
  group: Group,
  placed: ReadonlyMap<VmUuid, HostId>,
  blocked: ReadonlyMap<VmUuid, string>,
): GroupPlan {
  const board = boardOf(group, true);
  const indexOf = new Map(board.hosts.map(({ id }, index) => [id, index]));
  const indexAt = (id: HostId | undefined): number => (id === undefined ? left : (indexOf.get(id) ?? left));
  const vms = board.units.flatMap(({ vms: [vm] }) => (vm === undefined ? [] : [vm]));
  vms.forEach(({ uuid }, unit) => board.put(unit, indexAt(placed.get(uuid))));
  placeParts(board, group, vms);
  const circles = new Map(blocked);
  for (;;) {
    const places = vms.map((_, unit) => board.at(unit));
    const now = placedOn(board, places);
    const order = orderOf(group, now);
    if (order.kind === 'reachable')
      return {
        placed: now,
        moves: order.moves,
        left: new Map(
          vms.flatMap((vm, unit) =>
            board.at(unit) === left ? [[vm.uuid, circles.get(vm.uuid) ?? whyLeft(board, unit, vm)]] : [],
          ),
        ),
        points: pointsOn(board, places),
      };
    for (const [uuid, sentence] of circleOf(order)) circles.set(uuid, sentence);
    for (const vm of order.circle) {
      const unit = vms.indexOf(vm);
      const home = indexAt(vm.from);
      board.put(unit, left);
      if (home !== left && board.fits(unit, home)) board.put(unit, home);
    }
    for (let unit = board.misplaced(); unit !== undefined; unit = board.misplaced()) board.put(unit, left);
  }
}

/** Of VMs that hard rules keep together and that no host takes all of: as many as one host takes. */
function placeParts(board: Board, { rules }: Group, vms: readonly GroupVm[]): void {
  for (const { kind, strength, vms: named } of rules) {
    if (kind !== 'together' || strength !== 'hard') continue;
    const parts = vms.flatMap(({ uuid }, unit) => (named.includes(uuid) && board.at(unit) === left ? [unit] : []));
    const smallest = parts.toSorted((a, b) => (board.units[a]?.bytes ?? 0) - (board.units[b]?.bytes ?? 0) || a - b);
    const taken = (host: number): readonly number[] => {
      const there = smallest.filter((unit) => {
        const fits = board.fits(unit, host);
        if (fits) board.put(unit, host);
        return fits;
      });
      for (const unit of there) board.put(unit, left);
      return there;
    };
    let most: { readonly host: number; readonly there: readonly number[] } | undefined;
    for (const host of new Set(parts.flatMap((unit) => board.units[unit]?.hosts ?? []))) {
      const there = taken(host);
      if (there.length > (most?.there.length ?? 0)) most = { host, there };
    }
    for (const unit of most?.there ?? []) board.put(unit, most?.host ?? left);
  }
}

const mib = (bytes: number): string => `${Math.floor(bytes / 1_048_576)} MiB`;

function whyLeft(board: Board, unit: number, vm: GroupVm): string {
  const hosts = board.units[unit]?.hosts ?? [];
  if (hosts.length === 0) return 'No host can take it.';
  const roomy = hosts.filter((host) => board.roomOn(host) >= vm.memoryBytes);
  if (roomy.length > 0)
    return `Hard rules of the VMs that move with it keep it off every host that has room: ${namesOf(board, roomy)}.`;
  const [most = 0] = hosts.toSorted((a, b) => board.roomOn(b) - board.roomOn(a) || a - b);
  return (
    `No host has room for it beside the others that move: it needs ${mib(vm.memoryBytes)}, and ` +
    `${board.hosts[most]?.name ?? ''}, which has the most left, has ${mib(Math.max(0, board.roomOn(most)))}.`
  );
}

const shownHosts = 3;
function namesOf({ hosts }: Board, indexes: readonly number[]): string {
  const names = indexes.flatMap((index) => hosts[index] ?? []).toSorted(byName);
  const more = names.length - shownHosts;
  return [...names.slice(0, shownHosts).map(({ name }) => name), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}
