/**
 * A group as numbers, and the state of a search: which unit is where, what that costs, and what still fits. A unit is
 * one VM, or several that hard rules keep together. Nothing is decided here.
 */
import type { VmUuid } from '../../model/ids.ts';
import { type Group, type GroupHost, type GroupRule, type GroupVm, leftPoints, softPairPoints } from './group.ts';

export interface Unit {
  readonly vms: readonly GroupVm[];
  readonly bytes: number;
  /** By host: points against it; NaN where it may not be. */
  readonly costs: Float64Array;
  /** Hosts where it may be, the fewest points first. */
  readonly hosts: readonly number[];
  /** No rule among the VMs of the group speaks of it. */
  readonly isFree: boolean;
}

/** Instead of a host: it has no place, and is where it came from; or it has had no turn yet, and is nowhere. */
export const left = -1;
export const open = -2;

export interface Board {
  readonly hosts: readonly GroupHost[];
  readonly units: readonly Unit[];
  /** By unit: a host, `left` or `open`. */
  at(unit: number): number;
  put(unit: number, host: number): void;
  /** Of a unit that is on no host. */
  fits(unit: number, host: number): boolean;
  /** What a unit that is on no host adds there, beside those that have a place. */
  points(unit: number, host: number): number;
  /**
   * One that came to a host and cannot be there beside those that are left: there is no room for all, or a hard rule
   * keeps it apart from one of them.
   */
  misplaced(): number | undefined;
  roomOn(host: number): number;
  unitsOn(host: number): readonly number[];
}

/** A rule, with how many of its VMs are where. */
interface Law {
  readonly kind: GroupRule['kind'];
  readonly isHard: boolean;
  readonly vms: ReadonlySet<VmUuid>;
  readonly placed: Int32Array;
  total: number;
  readonly left: Int32Array;
}

/** `split`: hard rules make no units. */
export function boardOf({ hosts, vms, rules }: Group, split = false): Board {
  const indexOf = new Map(hosts.map(({ id }, index) => [id, index]));
  const units = unitsOf(vms, rules, split).map((members) => unitOf(members, rules, hosts, indexOf));
  const home = ({ from }: GroupVm): number => indexOf.get(from) ?? left;
  const count = hosts.length;

  const base = Float64Array.from(hosts, ({ freeBytes }) => freeBytes);
  for (const vm of units.flatMap((unit) => unit.vms)) {
    const at = home(vm);
    if (at !== left) base[at] = (base[at] ?? 0) + vm.memoryBytes;
  }
  const bytes = units.reduce((sum, unit) => sum + unit.bytes, 0);
  const scale = bytes === 0 ? 0 : vms.length / bytes;

  const where = new Int32Array(units.length).fill(open);
  const on = hosts.map(() => new Set<number>());
  /** With those that are left; of those that have a place. */
  const used = new Float64Array(count);
  const load = new Float64Array(count);
  const laws: readonly Law[] = rules.map(({ kind, strength, vms: named }) => ({
    kind,
    isHard: strength === 'hard',
    vms: new Set<VmUuid>(named),
    placed: new Int32Array(count),
    total: 0,
    left: new Int32Array(count),
  }));
  /** By unit: the rules that speak of it, with how many of its VMs. */
  const lawsOf = units.map((unit) =>
    laws.flatMap((law) => {
      const members = unit.vms.filter(({ uuid }) => law.vms.has(uuid));
      return members.length === 0 ? [] : [{ law, members, size: members.length }];
    }),
  );

  const shift = (unit: number, host: number, sign: 1 | -1): void => {
    const what = units[unit];
    if (what === undefined || host === open) return;
    if (host === left) {
      for (const vm of what.vms) {
        const at = home(vm);
        if (at !== left) used[at] = (used[at] ?? 0) + sign * vm.memoryBytes;
      }
      for (const { law, members } of lawsOf[unit] ?? [])
        for (const vm of members) {
          const at = home(vm);
          if (at !== left) law.left[at] = (law.left[at] ?? 0) + sign;
        }
      return;
    }
    used[host] = (used[host] ?? 0) + sign * what.bytes;
    load[host] = (load[host] ?? 0) + sign * what.bytes;
    if (sign === 1) on[host]?.add(unit);
    else on[host]?.delete(unit);
    for (const { law, size } of lawsOf[unit] ?? []) {
      law.placed[host] = (law.placed[host] ?? 0) + sign * size;
      law.total += sign * size;
    }
  };
  const ownAt = (unit: number, host: number): number =>
    where[unit] === left
      ? (units[unit]?.vms.reduce((sum, vm) => sum + (home(vm) === host ? vm.memoryBytes : 0), 0) ?? 0)
      : 0;

  const isHome = (unit: number, host: number): boolean => units[unit]?.vms.every((vm) => home(vm) === host) === true;
  /** Fellows that are left on this host. */
  const stuckThere = (law: Law, unit: number, members: readonly GroupVm[], host: number): number =>
    (law.left[host] ?? 0) - (where[unit] === left ? members.filter((vm) => home(vm) === host).length : 0);

  return {
    hosts,
    units,
    at: (unit) => where[unit] ?? open,
    put(unit, host) {
      shift(unit, where[unit] ?? open, -1);
      where[unit] = host;
      shift(unit, host, 1);
    },
    fits(unit, host) {
      const what = units[unit];
      if (what === undefined || Number.isNaN(what.costs[host])) return false;
      if ((used[host] ?? 0) - ownAt(unit, host) + what.bytes > (base[host] ?? 0)) return false;
      return (lawsOf[unit] ?? []).every(({ law, members }) => {
        if (!law.isHard) return true;
        if (law.kind === 'together') return law.total === (law.placed[host] ?? 0);
        // beside one that is left there it may stay, and not come
        return (law.placed[host] ?? 0) === 0 && (isHome(unit, host) || stuckThere(law, unit, members, host) === 0);
      });
    },
    points(unit, host) {
      const what = units[unit];
      if (what === undefined) return 0;
      let points = what.costs[host] ?? Number.NaN;
      for (const { law, size } of lawsOf[unit] ?? []) {
        if (law.isHard) continue;
        const there = law.placed[host] ?? 0;
        points += softPairPoints * size * (law.kind === 'apart' ? there : law.total - there);
      }
      const room = base[host] ?? 0;
      // in proportion to what they have free: the sum over all hosts is least then, and at most one for each VM
      if (what.bytes > 0) points += (scale * what.bytes * (2 * (load[host] ?? 0) + what.bytes)) / room;
      return points;
    },
    misplaced: () =>
      units.keys().find((unit) => {
        const host = where[unit] ?? open;
        if (host < 0 || isHome(unit, host)) return false;
        return (
          (used[host] ?? 0) > (base[host] ?? 0) ||
          (lawsOf[unit] ?? []).some(({ law }) => law.isHard && law.kind === 'apart' && (law.left[host] ?? 0) > 0)
        );
      }),
    roomOn: (host) => (base[host] ?? 0) - (used[host] ?? 0),
    unitsOn: (host) => [...(on[host] ?? [])].sort((a, b) => a - b),
  };
}

/** Of all units, where they are. */
export function pointsOn(board: Board, at: readonly number[]): number {
  at.forEach((_, unit) => board.put(unit, open));
  let points = 0;
  for (const [unit, host] of at.entries()) {
    points += host < 0 ? leftPoints * (board.units[unit]?.vms.length ?? 0) : board.points(unit, host);
    board.put(unit, host);
  }
  return points;
}

/** VMs that hard rules keep together, by way of one another too. Who may be nowhere keeps nobody. */
function unitsOf(
  vms: readonly GroupVm[],
  rules: readonly GroupRule[],
  split: boolean,
): readonly (readonly GroupVm[])[] {
  const units = new Map<VmUuid, readonly GroupVm[]>(vms.map((vm) => [vm.uuid, [vm]]));
  for (const { kind, strength, vms: named } of split ? [] : rules) {
    if (kind !== 'together' || strength !== 'hard') continue;
    const joined = new Set(
      named.flatMap((uuid) => {
        const unit = units.get(uuid);
        return unit === undefined || unit.some(({ may }) => may.size === 0) ? [] : [unit];
      }),
    );
    const unit = [...joined].flat();
    for (const { uuid } of unit) units.set(uuid, unit);
  }
  return [...new Set(units.values())];
}

function unitOf(
  vms: readonly GroupVm[],
  rules: readonly GroupRule[],
  hosts: readonly GroupHost[],
  indexOf: ReadonlyMap<string, number>,
): Unit {
  const costs = new Float64Array(hosts.length).fill(Number.NaN);
  const [first, ...rest] = vms;
  const isTorn = rules.some(
    ({ kind, strength, vms: named }) =>
      kind === 'apart' && strength === 'hard' && vms.filter(({ uuid }) => named.includes(uuid)).length > 1,
  );
  for (const [id, points] of isTorn ? [] : (first?.may ?? [])) {
    const at = indexOf.get(id);
    if (at !== undefined) costs[at] = rest.reduce((sum, { may }) => sum + (may.get(id) ?? Number.NaN), points);
  }
  const bytes = vms.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const allowed = [...costs.keys()].filter((host) => !Number.isNaN(costs[host]));
  return {
    vms,
    bytes,
    costs,
    hosts: allowed.sort((a, b) => (costs[a] ?? 0) - (costs[b] ?? 0) || a - b),
    isFree: !rules.some(({ vms: named }) => vms.some(({ uuid }) => named.includes(uuid))),
  };
}
