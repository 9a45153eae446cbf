/**
 * Which members of a batch may begin now: those that the links and limits of their hosts allow, and that no blackout
 * period holds off. A host that is drained has one lane for what leaves it, a host that is restored one for what comes
 * back. How many fit into a lane is decided in pace.ts. Pure.
 */
import type { Batch, BatchMember, BatchPace, MemberState } from '../model/batch.ts';
import type { HostRef } from '../model/host.ts';
import type { HostId, TimeMs, VmUuid } from '../model/ids.ts';
import { defaultPerHost } from '../planning/slots.ts';
import { holdOf, loadOf, type Hold, type Lane, type Load } from './pace.ts';
import type { SeenVm } from './protocol.ts';

export const isUnderWay = (state: MemberState): boolean => state === 'moving' || state === 'stopping';

/** The host whose link its members share. */
export const laneHostOf = (
  { kind, hosts }: Pick<Batch, 'kind' | 'hosts'>,
  { from }: Pick<BatchMember, 'from'>,
): HostRef => (kind === 'restore' ? (hosts[0] ?? from) : from);

export const laneOf = (lanes: readonly Lane[], host: HostRef): Lane =>
  lanes.find((lane) => lane.host.id === host.id) ?? { host, most: defaultPerHost };

/** Of all that is under way, and of what begins now. */
interface Use {
  readonly lane: Lane;
  readonly loads: Load[];
  underWay: number;
  hold?: Hold;
  begun: number;
}

export interface Turns {
  /** May begin now, and then counts. Once one has been held, those behind it are, too. */
  take(member: BatchMember): boolean;
  /** As it is now; what has only changed its figures stays as it was. */
  pace(): readonly BatchPace[];
  /** Of the blackout period that holds members off, in a sentence. */
  dark(): string | undefined;
}

export function turnsOf(batch: Batch, vms: readonly SeenVm[], lanes: readonly Lane[], now: TimeMs): Turns {
  const seen = new Map<VmUuid, SeenVm>(vms.map((vm) => [vm.uuid, vm]));
  const uses = new Map<HostId, Use>();
  let dark: string | undefined;
  const useOf = (member: BatchMember): Use => {
    const host = laneHostOf(batch, member);
    const known = uses.get(host.id);
    if (known !== undefined) return known;
    const use: Use = { lane: laneOf(lanes, host), loads: [], underWay: 0, begun: 0 };
    uses.set(host.id, use);
    return use;
  };
  const loadNow = (member: BatchMember): Load => {
    const { bandwidthLimit, isMeasured } = seen.get(member.vm.uuid) ?? {};
    return { ...loadOf(member, bandwidthLimit), ...(isMeasured === true ? { isMeasured } : {}) };
  };
  for (const member of batch.members) {
    if (!isUnderWay(member.state)) continue;
    const use = useOf(member);
    use.underWay += 1;
    // one that is shut down for its move is soon on the link
    const usesLink = member.state === 'moving' ? seen.get(member.vm.uuid)?.isEnding !== true : member.way === 'cold';
    if (usesLink) use.loads.push(loadNow(member));
  }
  return {
    take(member) {
      // it uses no link
      if (member.way === 'start') return true;
      const use = useOf(member);
      const { lane, loads, hold } = use;
      const { blackout, host } = lane;
      // one that is down waits for nothing but the limits
      if (member.off === true && use.underWay < lane.most) {
        loads.push(loadNow(member));
        use.underWay += 1;
        use.begun += 1;
        return true;
      }
      if (blackout !== undefined && blackout.until > now && member.off !== true) {
        const until = new Date(blackout.until).toISOString();
        dark ??= `${host.name}: nothing begins before ${until}, for the blackout period ${blackout.period}.`;
        return false;
      }
      if (hold !== undefined) return false;
      const load = loadNow(member);
      const held = holdOf(loads, load, lane, use.underWay);
      if (held !== undefined) {
        use.hold = held;
        return false;
      }
      loads.push(load);
      use.underWay += 1;
      use.begun += 1;
      return true;
    },
    pace() {
      const before = new Map((batch.pace ?? []).map((each) => [each.host.id, each]));
      for (const [id, { lane, loads, hold, begun }] of uses) {
        if (hold === undefined && begun === 0) continue;
        const { code, text } = hold ?? { code: 'all' as const, text: 'no more are left' };
        const old = before.get(id);
        // the last ones say nothing new of the link
        const isKnown = hold === undefined ? loads.length <= (old?.atOnce ?? 0) : loads.length === old?.atOnce;
        if (isKnown && (hold === undefined || old?.code === code)) continue;
        before.set(id, { host: lane.host, atOnce: loads.length, code, why: text });
      }
      return [...before.values()];
    },
    dark: () => dark,
  };
}

/** Of a plan: what was measured, and how many would begin together. */
export function withPace(batch: Batch, vms: readonly SeenVm[], lanes: readonly Lane[], now: TimeMs): Batch {
  const seen = new Map<VmUuid, SeenVm>(vms.map((vm) => [vm.uuid, vm]));
  const members = batch.members.map((member) => {
    const curve = seen.get(member.vm.uuid)?.curve;
    return curve === undefined ? member : { ...member, curve };
  });
  const turns = turnsOf({ ...batch, members }, vms, lanes, now);
  for (const member of inOrder(members)) turns.take(member);
  const [pace, dark] = [turns.pace(), turns.dark()];
  return {
    ...batch,
    members,
    ...(pace.length === 0 ? {} : { pace }),
    ...(dark === undefined ? {} : { attention: dark }),
  };
}

/**
 * Those that are down for their move, then the largest: while there is most room, and the small ones fill what is left.
 */
export const inOrder = (members: readonly BatchMember[]): readonly BatchMember[] =>
  members
    .filter(({ state }) => state === 'waiting')
    .toSorted(
      (a, b) =>
        Number(b.off === true) - Number(a.off === true) ||
        b.memoryBytes - a.memoryBytes ||
        (a.vm.name < b.vm.name ? -1 : 1),
    );
