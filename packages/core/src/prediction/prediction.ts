/**
 * Predicts a live migration before it begins: whether pre-copy converges at its bandwidth, how long it takes and how
 * long the guest stands still, and what the policy will do if it does not end by itself. Pure. Pre-copy ends exactly if
 * a pass as long as the pause budget leaves less than it sends. The guest may change later: decide.ts watches the
 * transfer itself.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Policy } from '../model/policy.ts';
import type { DirtyCurve, Interval, Prediction, Remedy, Widening } from '../model/prediction.ts';
import { widened } from './calibration.ts';
import { curvesOf, type Curve, type Curves } from './curve.ts';
import { fallbackEnd, isImpatient, type Transfer } from './fallback.ts';
import { neededPauseMs, ownEnd, passesOf, type End } from './pre-copy.ts';
import { givenUpAfterMs, remediesOf } from './remedies.ts';
import { predictionText } from './words.ts';

export interface PredictionInput {
  readonly curve?: DirtyCurve;
  /** Why there is none. */
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
  /** By what earlier predictions were too narrow. */
  readonly widening?: { readonly totalMs: Widening; readonly downtimeMs: Widening };
}

/** Up to this share of the bandwidth the model was within 4 % of real transfers, and off by a third at 0.92. */
const safeShare = 0.8;
/** What QEMU makes of its bandwidth at worst. */
const usedShare = 0.9;
/** What libvirt does before the first and after the last byte, ms. */
const aroundMs = { low: 100, expected: 500, high: 2_000 };
/** Memory of a QEMU that is not the guest's, and the share of what the guest touched that is not empty at least. */
const ownBytes = 33_554_432;
const leastFull = 0.5;

export function predict(input: PredictionInput, now: TimeMs): Prediction {
  const { curve, problem, memoryBytes, diskBytes, bandwidthBytesPerSecond: link, policy } = input;
  const budgetMs = Math.max(1, policy.downtime.initialMs);
  const curves = curve === undefined ? undefined : curvesOf(curve.readings, memoryBytes);
  const known = {
    budgetMs,
    ...(curves === undefined ? {} : { dirtyBytesPerSecond: curves.bytesPerSecond }),
    ...(curve === undefined ? {} : { measuredAt: curve.at }),
    ...(link === undefined ? {} : { bandwidthBytesPerSecond: link }),
  };
  const say = (rest: Omit<Prediction, 'text' | 'budgetMs'>, why?: string): Prediction => ({
    ...known,
    ...rest,
    text: predictionText({ ...known, ...rest }, policy, { sizeBytes: memoryBytes + diskBytes, now, why }),
  });
  if (curves === undefined)
    return say({ kind: 'unknown', remedies: [] }, problem ?? 'the host cannot measure what the guest writes');
  if (link === undefined || link <= 0)
    return say(
      { kind: 'unknown', remedies: [] },
      'this migration has no bandwidth limit, and the speed of the link is unknown',
    );
  return say(verdictOf(input, curves, link, budgetMs));
}

function verdictOf(
  input: PredictionInput,
  curves: Curves,
  link: number,
  budgetMs: number,
): Omit<Prediction, 'text' | 'budgetMs'> {
  const { memoryBytes, diskBytes, policy, mayPostCopy } = input;
  const sizeBytes = memoryBytes + diskBytes;
  const remediesFor = (needed: number): readonly Remedy[] => remediesOf(policy, needed, sizeBytes, mayPostCopy);
  const pause = (curve: Curve, rate: number): number => neededPauseMs(curve, rate, memoryBytes);
  const most = pause(curves.high, safeShare * link);
  const endsByItself = pause(curves.middle, link) <= budgetMs;
  if (pause(curves.low, link) > budgetMs) {
    const pauseMs = pause(curves.least, link);
    const remedies = remediesFor(pauseMs);
    return {
      kind: 'does-not-converge',
      endsByItself: false,
      pauseMs,
      remedies,
      ...timesOf(input, curves, link, budgetMs, remedies),
    };
  }
  if (most > budgetMs) {
    const remedies = remediesFor(most);
    return {
      kind: 'at-risk',
      endsByItself,
      pauseMs: most,
      remedies,
      ...timesOf(input, curves, link, budgetMs, remedies),
    };
  }
  const remedies = remediesFor(Infinity);
  const times = timesOf(input, curves, link, budgetMs, remedies);
  const late = (times.totalMs?.expected ?? 0) > givenUpAfterMs(policy, sizeBytes);
  const passes = passesOf(sentBytes(input, curves).expected, curves.middle, link, budgetMs);
  const needed = late || isImpatient(policy, passes, remedies);
  return { kind: late ? 'at-risk' : 'converges', endsByItself, ...times, remedies: needed ? remedies : [] };
}

type Times = Pick<Prediction, 'totalMs' | 'downtimeMs' | 'widened'>;

/** When it ends, by itself or by the policy's step, and the pause of that. */
function timesOf(
  input: PredictionInput,
  curves: Curves,
  link: number,
  budgetMs: number,
  remedies: readonly Remedy[],
): Times {
  const { memoryBytes, diskBytes, countedDiskBytes = diskBytes, policy, widening } = input;
  const sent = sentBytes(input, curves);
  const end = (bytes: number, of: Curve, rate: number): End | undefined => {
    const transfer = {
      disksMs: (countedDiskBytes / rate) * 1_000,
      bytes,
      curve: of,
      rate,
      budgetMs,
      sizeBytes: memoryBytes + diskBytes,
    };
    return endOf(transfer, neededPauseMs(of, rate, memoryBytes), policy, remedies);
  };
  const [low, middle, high] = [
    end(sent.low, curves.low, link),
    end(sent.expected, curves.middle, link),
    end(sent.high, curves.high, usedShare * link),
  ];
  const ends = [low, middle, high].flatMap((each) => each ?? []);
  if (low === undefined || middle === undefined) return {};
  const times = ends.map((each) => each.totalMs);
  // it may not end by itself: then it is given up at some time, or never
  const givenUpMs = Math.max(middle.totalMs, givenUpAfterMs(policy, memoryBytes + diskBytes));
  const latestMs = Math.min(high === undefined ? Infinity : Math.max(...times), givenUpMs) + aroundMs.high;
  const totalMs: Interval = {
    low: Math.min(...times) + aroundMs.low,
    expected: middle.totalMs + aroundMs.expected,
    ...(Number.isFinite(latestMs) ? { high: latestMs } : {}),
  };
  const downtimeMs: Interval = {
    low: Math.min(...ends.map(({ pauseMs }) => pauseMs.low)),
    expected: middle.pauseMs.expected,
    ...(totalMs.high === undefined ? {} : { high: Math.max(...ends.map(({ pauseMs }) => pauseMs.high)) }),
  };
  return widening === undefined
    ? { totalMs, downtimeMs }
    : {
        totalMs: widened(totalMs, widening.totalMs),
        downtimeMs: widened(downtimeMs, widening.downtimeMs),
        widened: widening,
      };
}

/** By itself, unless that takes longer than the policy waits; undefined: nothing ends it, as far as one can tell. */
function endOf(transfer: Transfer, neededMs: number, policy: Policy, remedies: readonly Remedy[]): End | undefined {
  const { bytes, curve, rate, budgetMs, disksMs } = transfer;
  if (neededMs > budgetMs) return fallbackEnd(policy, remedies, transfer);
  const passes = passesOf(bytes, curve, rate, budgetMs);
  const byStep = isImpatient(policy, passes, remedies) ? fallbackEnd(policy, remedies, transfer) : undefined;
  if (byStep !== undefined) return byStep;
  const own = ownEnd(passes, rate, budgetMs);
  return { ...own, totalMs: disksMs + own.totalMs };
}

/** Empty pages are not sent, and nobody counts them; what was never touched is not in its QEMU's memory. */
export function sentBytes(
  { memoryBytes, curve }: Pick<PredictionInput, 'memoryBytes' | 'curve'>,
  { seenBytes }: Curves,
): Required<Interval> {
  const residentBytes = curve?.residentBytes;
  const within = (bytes: number): number => Math.min(memoryBytes, Math.max(seenBytes, bytes));
  return residentBytes === undefined
    ? { low: seenBytes, expected: memoryBytes, high: memoryBytes }
    : {
        low: within(leastFull * (residentBytes - 2 * ownBytes)),
        expected: within(residentBytes - ownBytes),
        high: within(residentBytes),
      };
}
