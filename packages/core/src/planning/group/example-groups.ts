/** Groups for tests and benchmarks, each made of a seed; and the best of all choices of a small one, found by trying all. */
import { hostId, vmUuid, type HostId, type VmUuid } from '../../model/ids.ts';
import { type Group, type GroupRule, leftPoints, softPairPoints } from './group.ts';
import { orderOf } from './order.ts';

/** A whole number from 0, below `below`. */
export type Random = (below: number) => number;

/** Mulberry32. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

const gib = 1_073_741_824;

/** Some VMs leave a host that takes none, others are on hosts that do; room is scarce. `apartOnly`: no hard `together`. */
export function randomGroup(
  random: Random,
  size: { readonly vms: number; readonly hosts: number; readonly apartOnly?: true },
): Group {
  const hosts = Array.from({ length: size.hosts }, (_, at) => ({
    id: hostId(`h${at}`),
    name: `h${at}`,
    freeBytes: random(12) * gib,
  }));
  const vms = Array.from({ length: size.vms }, (_, at) => {
    const from = hosts[random(size.hosts * 2)]?.id ?? hostId('drained');
    const may = hosts.flatMap(({ id }) => (random(4) === 0 ? [] : [[id, random(6) === 0 ? 10 : 0] as const]));
    return {
      uuid: vmUuid(`v${at}`),
      name: `v${at}`,
      from,
      memoryBytes: (1 + random(4)) * gib,
      may: new Map<HostId, number>(may),
    };
  });
  const some = (): readonly VmUuid[] => vms.filter(() => random(3) === 0).map(({ uuid }) => uuid);
  const rules: GroupRule[] = [
    { name: 'hard-apart', kind: 'apart', strength: 'hard', vms: some() },
    { name: 'soft-apart', kind: 'apart', strength: 'soft', vms: some() },
    { name: 'soft-together', kind: 'together', strength: 'soft', vms: some() },
    ...(size.apartOnly === true
      ? []
      : [{ name: 'hard-together', kind: 'together' as const, strength: 'hard' as const, vms: some().slice(0, 3) }]),
  ];
  return { hosts, vms, rules };
}

/** By trying every host, and none, for each VM; written without what it is compared with, but for the order. */
export function allPlaces(group: Group): { readonly placed: number; readonly points: number } {
  const { hosts, vms, rules } = group;
  const room = new Map(hosts.map(({ id, freeBytes }) => [id, freeBytes]));
  for (const { from, memoryBytes } of vms) if (room.has(from)) room.set(from, (room.get(from) ?? 0) + memoryBytes);
  const all = vms.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  let best = { placed: 0, points: leftPoints * vms.length };
  const at = new Map<VmUuid, HostId>();
  const judge = (): void => {
    const on = (uuid: VmUuid): HostId | undefined => at.get(uuid) ?? vms.find((vm) => vm.uuid === uuid)?.from;
    const cameTo = (uuid: VmUuid): boolean => at.has(uuid) && at.get(uuid) !== vms.find((vm) => vm.uuid === uuid)?.from;
    const used = new Map<HostId, number>();
    const load = new Map<HostId, number>();
    for (const { uuid, from, memoryBytes } of vms) {
      const host = at.get(uuid);
      if (host !== undefined) load.set(host, (load.get(host) ?? 0) + memoryBytes);
      used.set(host ?? from, (used.get(host ?? from) ?? 0) + memoryBytes);
    }
    if ([...load.keys()].some((id) => (used.get(id) ?? 0) > (room.get(id) ?? 0))) return;
    let points = leftPoints * (vms.length - at.size);
    for (const { kind, strength, vms: named } of rules)
      for (const [index, one] of named.entries())
        for (const two of named.slice(index + 1)) {
          const bothPlaced = at.has(one) && at.has(two);
          const same = on(one) === on(two);
          if (strength === 'soft') points += bothPlaced && same === (kind === 'apart') ? softPairPoints : 0;
          else if (kind === 'apart' && same && ((at.has(one) && at.has(two)) || cameTo(one) || cameTo(two))) return;
        }
    for (const { uuid, may } of vms) points += at.has(uuid) ? (may.get(at.get(uuid) ?? hostId('')) ?? 0) : 0;
    for (const [id, bytes] of load) points += (vms.length / all) * (bytes ** 2 / (room.get(id) ?? 0));
    if (points >= best.points - 1e-9 || orderOf(group, at).kind !== 'reachable') return;
    best = { placed: at.size, points };
  };
  const choose = (index: number): void => {
    const vm = vms[index];
    if (vm === undefined) return judge();
    for (const id of vm.may.keys()) {
      at.set(vm.uuid, id);
      choose(index + 1);
    }
    at.delete(vm.uuid);
    choose(index + 1);
  };
  choose(0);
  return best;
}
