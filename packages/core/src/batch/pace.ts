/**
 * How many members of a batch use the link of one host at once. Idle guests share it, because while one begins or ends
 * the others fill it. A guest that writes has more to send again the longer its transfer takes: it joins others only
 * while that stays small. Where a guest is not known, two move at once; where the link is not, only those that write
 * little. Pure; what begins is in lanes.ts.
 */
import { mib } from '../convergence/units.ts';
import type { BatchMember, BatchPace } from '../model/batch.ts';
import type { HostRef } from '../model/host.ts';
import type { TimeMs } from '../model/ids.ts';
import { curvesOf, type Curve } from '../prediction/curve.ts';
import { passesOf } from '../prediction/pre-copy.ts';
import { sentBytes } from '../prediction/prediction.ts';

/** While one of the guests is not known. */
export const blindAtOnce = 2;
/** Enough to fill a link while one begins and one ends; more would only make each of them take longer. */
export const idleAtOnce = 4;
/** What guests may write together that share a link which is not known. */
const quietBytesPerSecond = 8_388_608;
/** One sample of QEMU's measurement: a guest that was seen to write no more may as well be idle. */
const noiseBytes = 2_097_152;
/** What the members may send together, compared with one after the other. */
const mostSent = 1.1;
/** The pause that the passes aim at, ms. */
const budgetMs = 100;
/** Pre-copy that takes more passes does not end, as far as anybody waits. */
const mostPasses = 50;

/** The link of one host, and what bounds its use. */
export interface Lane {
  readonly host: HostRef;
  /** Migrations that the limits of its cluster allow at once. */
  readonly most: number;
  /** What it was measured to carry; absent: not measured yet. */
  readonly bytesPerSecond?: number;
  /** What its network card reports. */
  readonly reportedBytesPerSecond?: number;
  /** Nothing begins before, and why. */
  readonly blackout?: { readonly until: TimeMs; readonly period: string };
}

/** What one member puts on the link. */
export interface Load {
  readonly name: string;
  /** What is sent if the guest writes nothing; absent: not known. */
  readonly bytes?: number;
  readonly curve?: Curve;
  readonly bytesPerSecond?: number;
  /** The most that its policy allows. */
  readonly limit?: number;
  /** It will be known in a moment. */
  readonly isMeasured?: true;
}

const idle: Curve = () => 0;

export function loadOf(
  {
    vm,
    memoryBytes,
    way,
    curve,
    diskBytes = 0,
  }: Pick<BatchMember, 'vm' | 'memoryBytes' | 'way' | 'curve' | 'diskBytes'>,
  limit?: number,
): Load {
  const base = { name: vm.name, ...(limit === undefined ? {} : { limit }) };
  // what does not run writes nothing
  if (way === 'suspend') return { ...base, bytes: memoryBytes + diskBytes, curve: idle, bytesPerSecond: 0 };
  if (way === 'cold') return { ...base, bytes: diskBytes, curve: idle, bytesPerSecond: 0 };
  const curves = curve === undefined ? undefined : curvesOf(curve.readings, memoryBytes);
  if (curve === undefined || curves === undefined) return base;
  const isIdle = curves.seenBytes <= noiseBytes;
  return {
    ...base,
    bytes: diskBytes + sentBytes({ memoryBytes, curve }, curves).expected,
    curve: isIdle ? idle : curves.middle,
    bytesPerSecond: isIdle ? 0 : curves.bytesPerSecond,
  };
}

interface Sent {
  readonly bytes: number;
  readonly ends: boolean;
}

function sentAt({ bytes = 0, curve = idle, limit = Infinity }: Load, rate: number): Sent {
  const speed = Math.min(rate, limit);
  const passes = passesOf(bytes, curve, speed, budgetMs);
  const { atMs = 0, restBytes = 0 } = passes.at(-1) ?? {};
  return { bytes: (atMs * speed) / 1_000 + restBytes, ends: passes.length <= mostPasses };
}

/** Why one more does not begin. */
export interface Hold {
  readonly code: Exclude<BatchPace['code'], 'all'>;
  readonly text: string;
}

/**
 * Whether `next` may use the link beside `others`; undefined: it may. `underWay`: all that have begun, with those that
 * are about to end and use the link no more.
 */
export function holdOf(others: readonly Load[], next: Load, lane: Lane, underWay = others.length): Hold | undefined {
  const { host, most, bytesPerSecond: link } = lane;
  if (underWay >= most) return { code: 'limit', text: `the limits of its cluster allow ${most}` };
  if (underWay === 0) return undefined;
  const all = [...others, next];
  const measured = all.find((load) => load.bytes === undefined && load.isMeasured === true);
  if (measured !== undefined) return { code: 'guest-unknown', text: `what ${measured.name} writes is being measured` };
  const unknown = all.find(({ bytes }) => bytes === undefined);
  if (unknown !== undefined)
    return underWay < blindAtOnce
      ? undefined
      : { code: 'guest-unknown', text: `what ${unknown.name} writes is not known` };
  if (others.length === 0) return undefined;
  if (link === undefined || link <= 0)
    return all.length <= idleAtOnce &&
      all.reduce((sum, load) => sum + (load.bytesPerSecond ?? 0), 0) <= quietBytesPerSecond
      ? undefined
      : { code: 'link-unknown', text: `what the link of ${host.name} carries has not been measured yet` };
  if (all.length > idleAtOnce) return { code: 'full', text: 'these fill the link, and more would only take longer' };
  const together = all.map((load) => sentAt(load, link / all.length));
  const stuck = all[together.findIndex(({ ends }) => !ends)];
  if (stuck !== undefined)
    return { code: 'alone', text: `${says(stuck)}, which needs the whole link: ${carries(link)}` };
  const share = sum(together) / Math.max(1, sum(all.map((load) => sentAt(load, link))));
  if (share <= mostSent) return undefined;
  const busiest = all.toSorted((a, b) => (b.bytesPerSecond ?? 0) - (a.bytesPerSecond ?? 0))[0] ?? next;
  return {
    code: 'writes',
    text: `${says(busiest)} and ${carries(link)}: one more would have ${Math.round((share - 1) * 100)} % sent again`,
  };
}

const sum = (each: readonly Sent[]): number => each.reduce((total, { bytes }) => total + bytes, 0);
const says = ({ name, bytesPerSecond = 0 }: Load): string => `${name} writes ${mib(bytesPerSecond)} MiB/s`;
const carries = (bytesPerSecond: number): string => `the link carries ${mib(bytesPerSecond)} MiB/s`;

export interface LinkReading {
  readonly at: TimeMs;
  /** All transfers together. */
  readonly bytesPerSecond: number;
}

/** Readings that count, and for how long. */
const readingsKept = 12;
const fewestReadings = 2;
const keptMs = 600_000;

/** Oldest first. */
export const withReading = (before: readonly LinkReading[], reading: LinkReading): readonly LinkReading[] =>
  [...before.filter(({ at }) => reading.at - at < keptMs), reading].slice(-readingsKept);

/** The middle one: a transfer that begins or ends says less or more than the link carries. Undefined: too few. */
export function linkSpeed(readings: readonly LinkReading[], now: TimeMs): number | undefined {
  const fresh = readings.filter(({ at }) => now - at < keptMs).map(({ bytesPerSecond }) => bytesPerSecond);
  return fresh.length < fewestReadings ? undefined : fresh.toSorted((a, b) => a - b)[Math.floor(fresh.length / 2)];
}
