/**
 * When each member of a batch is expected to begin and to end, and the whole: by the prediction of each transfer, as
 * many on a link at once as pace.ts allows, in their order. What is not known is said, and so is all that comes after
 * it. It knows nothing of what else will use the link, nor of blackout periods that are to come. Pure.
 */
import { lasting } from '../convergence/units.ts';
import type { Batch, BatchMember } from '../model/batch.ts';
import type { HostId, TimeMs, VmUuid } from '../model/ids.ts';
import type { Policy } from '../model/policy.ts';
import type { Interval } from '../model/prediction.ts';
import { predict } from '../prediction/prediction.ts';
import { inOrder, laneHostOf, laneOf } from './lanes.ts';
import { holdOf, loadOf, type Lane, type Load } from './pace.ts';
import { hasEnded } from './step.ts';

export interface ForecastFacts {
  readonly lanes: readonly Lane[];
  readonly policyOf: (vm: VmUuid) => Policy | undefined;
  /** Of one that moves; absent: not known. */
  readonly remainingMs: (member: BatchMember) => number | undefined;
}

export type MemberForecast =
  | {
      readonly beginsAt: TimeMs;
      readonly endsAt: TimeMs;
      /** Absent: nothing ends it for sure, or the link is not measured. */
      readonly latestAt?: TimeMs;
    }
  /** Why it is not known. */
  | { readonly unknown: string };

export interface BatchForecast {
  readonly members: ReadonlyMap<VmUuid, MemberForecast>;
  readonly endsAt?: TimeMs;
  readonly latestAt?: TimeMs;
  /** Of the whole, in words. */
  readonly text: string;
}

/** Checks, preparation and the look at both hosts afterwards, ms. */
const besideMs = 1_000;

/** Undefined: it has ended, or nothing is left to be done. */
export function forecastBatch(batch: Batch, facts: ForecastFacts, now: TimeMs): BatchForecast | undefined {
  if (hasEnded(batch) || batch.phase === 'cancelling') return undefined;
  const begins = Math.max(now, batch.phase === 'scheduled' ? (batch.beginsAt ?? now) : now);
  const members = new Map<VmUuid, MemberForecast>();
  const byLane = new Map<
    HostId,
    { readonly lane: Lane; readonly moving: BatchMember[]; readonly waiting: BatchMember[] }
  >();
  const moving = batch.members.filter(({ state }) => state === 'moving');
  for (const member of [...moving, ...inOrder(batch.members)]) {
    const host = laneHostOf(batch, member);
    const lane = byLane.get(host.id) ?? { lane: laneOf(facts.lanes, host), moving: [], waiting: [] };
    byLane.set(host.id, lane);
    lane[member.state === 'moving' ? 'moving' : 'waiting'].push(member);
  }
  for (const { vm, state } of batch.members)
    if (state === 'stopping') members.set(vm.uuid, { unknown: `how long ${vm.name} takes to shut down is not known` });
  for (const each of byLane.values()) inLane(each, facts, begins).forEach((one, uuid) => members.set(uuid, one));
  if (members.size === 0) return undefined;
  const reported = [...byLane.values()].find(({ lane }) => lane.bytesPerSecond === undefined)?.lane.host.name;
  return { members, ...wholeOf([...members.values()], now, reported) };
}

/** `reported`: a host of whose link only its card's word is known. */
function wholeOf(
  members: readonly MemberForecast[],
  now: TimeMs,
  reported: string | undefined,
): Omit<BatchForecast, 'members'> {
  const unknown = members.flatMap((each) => ('unknown' in each ? [each.unknown] : []));
  const known = members.flatMap((each) => ('unknown' in each ? [] : [each]));
  const endsAt = Math.max(...known.map((each) => each.endsAt));
  if (unknown.length > 0) {
    const others =
      known.length === 0 ? '' : `; ${known.length} of ${members.length} VMs in about ${lasting(endsAt - now)}`;
    return { text: `not known, because ${unknown[0] ?? ''}${others}` };
  }
  const latest = Math.max(...known.map(({ latestAt = Infinity }) => latestAt));
  const text = `in about ${lasting(endsAt - now)}`;
  if (reported !== undefined)
    return { endsAt, text: `${text}, if the link of ${reported} carries what its network card reports` };
  return Number.isFinite(latest)
    ? { endsAt, latestAt: latest, text: `${text}, ${lasting(latest - now)} at most` }
    : { endsAt, text: `${text}; nothing ends it for sure` };
}

/** A transfer, in the time that it takes with the whole link. */
interface Job {
  readonly uuid: VmUuid;
  readonly load: Load;
  readonly ms: Interval;
}

function inLane(
  {
    lane,
    moving,
    waiting,
  }: { readonly lane: Lane; readonly moving: readonly BatchMember[]; readonly waiting: readonly BatchMember[] },
  facts: ForecastFacts,
  begins: TimeMs,
): ReadonlyMap<VmUuid, MemberForecast> {
  const found = new Map<VmUuid, MemberForecast>();
  const link = lane.bytesPerSecond ?? lane.reportedBytesPerSecond;
  let unknown = link === undefined ? `what the link of ${lane.host.name} carries is not known` : undefined;
  const jobs = (members: readonly BatchMember[]): readonly Job[] =>
    members.flatMap((member) => {
      // beside the link
      if (member.way === 'start') return [];
      const ms = unknown ?? jobMs(member, facts, link ?? 0, moving.length);
      if (typeof ms !== 'string') return [{ uuid: member.vm.uuid, load: loadOf(member, limitOf(member, facts)), ms }];
      found.set(member.vm.uuid, { unknown: ms });
      if (member.way === 'live' || member.way === 'suspend') unknown = ms;
      return [];
    });
  const running = jobs(moving);
  const queue = jobs(waiting);
  const known = { ...lane, ...(link === undefined ? {} : { bytesPerSecond: link }) };
  const from = Math.max(begins, lane.blackout?.until ?? 0);
  const expected = simulated(known, running, queue, ({ ms }) => ms.expected, begins, from);
  const latest = simulated(known, running, queue, ({ ms }) => ms.high ?? Infinity, begins, from);
  for (const [uuid, { beginsAt, endsAt }] of expected) {
    const at = latest.get(uuid)?.endsAt ?? Infinity;
    const isSure = lane.bytesPerSecond !== undefined && Number.isFinite(at);
    found.set(uuid, { beginsAt, endsAt, ...(isSure ? { latestAt: Math.max(at, endsAt) } : {}) });
  }
  return found;
}

const limitOf = ({ vm }: BatchMember, { policyOf }: ForecastFacts): number | undefined => {
  const limit = policyOf(vm.uuid)?.bandwidthMiBPerSecond;
  return limit === undefined ? undefined : limit * 1_048_576;
};

/** With the whole link; or why that is not known. `sharing`: those that move now. */
function jobMs(member: BatchMember, facts: ForecastFacts, link: number, sharing: number): Interval | string {
  const { vm, way, state, curve, memoryBytes, diskBytes = 0 } = member;
  if (state === 'moving') {
    const left = facts.remainingMs(member);
    if (left !== undefined) {
      const ms = left / sharing;
      return { low: ms, expected: ms, high: 2 * ms };
    }
  }
  const limit = limitOf(member, facts);
  const rate = Math.min(link, limit ?? Infinity);
  if (way === 'suspend') {
    const ms = ((memoryBytes + diskBytes) / rate) * 1_000;
    return { low: 0, expected: ms, high: 2 * ms };
  }
  if (way !== 'live') return `how long ${vm.name} takes to shut down is not known`;
  const policy = facts.policyOf(vm.uuid);
  if (curve === undefined || policy === undefined) return `what ${vm.name} writes is not known`;
  const { totalMs } = predict(
    { curve, memoryBytes, diskBytes, bandwidthBytesPerSecond: rate, policy, mayPostCopy: policy.postCopy !== 'never' },
    curve.at,
  );
  return totalMs ?? `nothing ends the migration of ${vm.name} for sure`;
}

/** Those that share the link share its time. A job that has no end keeps its place for good. */
function simulated(
  lane: Lane,
  running: readonly Job[],
  waiting: readonly Job[],
  msOf: (job: Job) => number,
  now: TimeMs,
  from: TimeMs,
): ReadonlyMap<VmUuid, { readonly beginsAt: TimeMs; readonly endsAt: TimeMs }> {
  const ends = new Map<VmUuid, { readonly beginsAt: TimeMs; readonly endsAt: TimeMs }>();
  const link = lane.bytesPerSecond ?? 0;
  const queue = [...waiting];
  let at = now;
  let busy = running.map((job) => ({ job, beginsAt: now, left: msOf(job) }));
  while (busy.length > 0 || queue.length > 0) {
    if (busy.length === 0) at = Math.max(at, from);
    for (const next of at >= from ? [...queue] : []) {
      if (
        holdOf(
          busy.map(({ job }) => job.load),
          next.load,
          lane,
        ) !== undefined
      )
        break;
      busy.push({ job: next, beginsAt: at, left: msOf(next) });
      queue.shift();
    }
    const share = link / busy.length;
    const speedOf = ({ load: { limit = Infinity } }: Job): number => Math.min(1, share / Math.min(limit, link));
    const step = Math.min(...busy.map(({ job, left }) => left / speedOf(job)));
    at += step;
    const still: typeof busy = [];
    for (const { job, beginsAt, left } of busy) {
      const rest = left - step * speedOf(job);
      if (Number.isFinite(step) && rest > 1) still.push({ job, beginsAt, left: rest });
      else ends.set(job.uuid, { beginsAt, endsAt: at + besideMs });
    }
    busy = still;
  }
  return ends;
}
