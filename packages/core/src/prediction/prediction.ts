/**
 * Predicts a live migration before it begins: whether pre-copy converges at its bandwidth, and if not, what the policy
 * will do about it. Pure. A reading is the share of the memory that was written within a period, so two periods give
 * two points of the curve U(T), the bytes that a pass of T seconds leaves. U is concave (the same pages are written
 * again), hence pre-copy ends exactly if a pass as long as the pause budget leaves less than it sends. The guest may
 * change later: decide.ts watches the transfer itself.
 */
import type { Policy } from '../model/policy.ts';
import type { Remedy, Prediction } from '../model/prediction.ts';
import { givenUpAfterMs, remediesOf } from './remedies.ts';
import { predictionText } from './words.ts';

/** Unique pages that the guest wrote within this number of seconds, per second. */
export interface DirtyReading {
  readonly seconds: number;
  readonly bytesPerSecond: number;
}

export interface PredictionInput {
  readonly readings: readonly DirtyReading[];
  /** Why there are none. */
  readonly problem?: string;
  readonly memoryBytes: number;
  /** What is copied of its disks before the memory. */
  readonly diskBytes: number;
  /**
   * What QEMU counts of that against a limit: the disk that takes longest, because each disk has its own limit, with
   * its empty parts. If absent, `diskBytes`.
   */
  readonly countedDiskBytes?: number;
  /** Absent: as fast as the link goes, which nobody knows. */
  readonly bandwidthBytesPerSecond?: number;
  readonly policy: Policy;
  /** This transfer may be switched to post-copy. */
  readonly mayPostCopy: boolean;
}

/** QEMU samples 512 pages per GiB: each represents this much memory. */
const sampleBytes = 2_097_152;
/** Deviations that a reading is taken to be off at most. */
const deviations = 1.5;
/** Up to this share of the bandwidth the model was within 4 % of real transfers, and off by a third at 0.92. */
const safeShare = 0.8;
/** What QEMU makes of its bandwidth at worst. */
const usedShare = 0.9;

interface Point {
  readonly seconds: number;
  readonly bytes: number;
}
/** Bytes written within a time, in seconds. */
type Curve = (seconds: number) => number;

export function predict(input: PredictionInput): Prediction {
  const {
    readings,
    problem,
    memoryBytes,
    diskBytes,
    countedDiskBytes = diskBytes,
    bandwidthBytesPerSecond: link,
    policy,
    mayPostCopy,
  } = input;
  const budgetMs = Math.max(1, policy.downtime.initialMs);
  const points = pointsOf(readings, memoryBytes);
  const [first] = points;
  const known = {
    budgetMs,
    ...(first === undefined ? {} : { dirtyBytesPerSecond: first.bytes / first.seconds }),
    ...(link === undefined ? {} : { bandwidthBytesPerSecond: link }),
  };
  const say = (rest: Omit<Prediction, 'text' | 'budgetMs'>, why?: string): Prediction => ({
    ...known,
    ...rest,
    text: predictionText({ ...known, ...rest }, policy, memoryBytes + diskBytes, why),
  });
  if (first === undefined)
    return say({ kind: 'unknown', remedies: [] }, problem ?? 'the host cannot measure what the guest writes');
  if (link === undefined || link <= 0)
    return say(
      { kind: 'unknown', remedies: [] },
      'this migration has no bandwidth limit, and the speed of the link is unknown',
    );
  const sizeBytes = memoryBytes + diskBytes;
  const { low, middle, high } = curvesOf(points, memoryBytes);
  const remedies = (needed: number): readonly Remedy[] => remediesOf(policy, needed, sizeBytes, mayPostCopy);
  if (pauseMs(low, link, memoryBytes) > budgetMs) {
    const least = pauseMs(leastOf(points), link, memoryBytes);
    return say({ kind: 'does-not-converge', pauseMs: least, remedies: remedies(least) });
  }
  const most = pauseMs(high, safeShare * link, memoryBytes);
  if (most > budgetMs) return say({ kind: 'at-risk', pauseMs: most, remedies: remedies(most) });
  const endsIn = (bytes: number, curve: Curve, rate: number): number =>
    (countedDiskBytes / rate) * 1_000 + transferMs(bytes, curve, rate, budgetMs);
  const inMs = endsIn(memoryBytes, middle, link);
  const late = inMs > givenUpAfterMs(policy, sizeBytes);
  const times = {
    earliestMs: endsIn(points.at(-1)?.bytes ?? 0, low, link),
    inMs,
    latestMs: endsIn(memoryBytes, high, usedShare * link),
  };
  return say({ kind: late ? 'at-risk' : 'converges', ...times, remedies: late ? remedies(Infinity) : [] });
}

/**
 * Points of a concave curve; readings that contradict that are taken for what is nearest to them. The longer one saw
 * more, and counts.
 */
function pointsOf(readings: readonly DirtyReading[], memoryBytes: number): readonly Point[] {
  const [a, b] = readings
    .map(({ seconds, bytesPerSecond }) => ({ seconds, bytes: Math.min(memoryBytes, seconds * bytesPerSecond) }))
    .sort((x, y) => x.seconds - y.seconds);
  if (a === undefined || b === undefined || b.seconds === a.seconds) return a === undefined ? [] : [a];
  return [{ ...a, bytes: Math.min(b.bytes, Math.max(a.bytes, (b.bytes * a.seconds) / b.seconds)) }, b];
}

/** The least that agrees with the points: straight lines from nothing to each, and no more than the last. */
const leastOf =
  (points: readonly Point[]): Curve =>
  (seconds) => {
    let before: Point = { seconds: 0, bytes: 0 };
    for (const point of points) {
      if (seconds <= point.seconds)
        return (
          before.bytes + ((point.bytes - before.bytes) * (seconds - before.seconds)) / (point.seconds - before.seconds)
        );
      before = point;
    }
    return before.bytes;
  };

/**
 * The most: the line through the two points goes on both ways. A single one may have been reached at once, or lie on
 * a line from nothing.
 */
function mostOf(points: readonly Point[], memoryBytes: number): Curve {
  const [a, b] = points;
  if (a === undefined) return () => memoryBytes;
  const slope = b === undefined ? a.bytes / a.seconds : (b.bytes - a.bytes) / (b.seconds - a.seconds);
  return (seconds) =>
    Math.min(memoryBytes, b === undefined && seconds < a.seconds ? a.bytes : a.bytes + slope * (seconds - a.seconds));
}

/** What the guest may write at least, as it looks, and at most. */
function curvesOf(points: readonly Point[], memoryBytes: number): Readonly<Record<'low' | 'middle' | 'high', Curve>> {
  const seen = (points.at(-1)?.bytes ?? 0) / sampleBytes;
  const off = seen > 0 ? deviations / Math.sqrt(seen) : 0;
  const least = leastOf(points);
  const most = mostOf(points, memoryBytes);
  const last = points.at(-1)?.seconds ?? 0;
  return {
    low: (seconds) => least(seconds) * Math.max(0.1, 1 - off),
    middle: (seconds) => (seconds <= last ? least(seconds) : most(seconds)),
    high: (seconds) => Math.min(memoryBytes, most(seconds) * (1 + off)),
  };
}

/**
 * Length of the passes that leave as much as they send, at which pre-copy stays; 0 when they go on shrinking. Whole
 * ms.
 */
function pauseMs(curve: Curve, rate: number, memoryBytes: number): number {
  const whole = memoryBytes / rate;
  if (curve(whole) >= rate * whole) return Math.round(whole * 1_000);
  let [shorter, longer] = [0, whole];
  for (let halving = 0; halving < 40; halving += 1) {
    const between = (shorter + longer) / 2;
    if (curve(between) >= rate * between) shorter = between;
    else longer = between;
  }
  return Math.round(longer * 1_000);
}

/** Pass after pass until the rest fits into the budget; ends, since each leaves less than it sent. ms */
function transferMs(bytes: number, curve: Curve, rate: number, budgetMs: number): number {
  let rest = bytes;
  let elapsed = 0;
  while (rest > (rate * budgetMs) / 1_000) {
    elapsed += rest / rate;
    rest = curve(rest / rate);
  }
  return (elapsed + rest / rate) * 1_000;
}
