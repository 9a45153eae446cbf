/**
 * A transfer so far, from its samples, short enough to be stored with the migration. It has one entry per
 * pass over the memory: samples within a pass only show how far the pass is. Pure: `(history, sample, now) -> history`.
 */
import type { TimeMs } from '../model/ids.ts';
import type { JobSample, Part, TransferHistory, Pass } from '../model/transfer.ts';

const passesKept = 24;
const samplesKept = 24;
/** Time over which the current rate is measured, ms. */
const recentMs = 5_000;
const leastMs = 1_000;
/** Figures have noise: a rest is smaller when it is so by this share. */
export const gainShare = 0.04;
/** What is sent for the first time counts down: there so much less is a gain, however much is left. */
const firstPassGainBytes = 4_194_304;
/** Below this share of what the link gave, it is the link that is slow and not the guest that is busy. */
export const slowShare = 0.6;

const partOf = ({ memory, disk }: JobSample): Part =>
  (disk?.totalBytes ?? 0) > 0 && (memory?.sentBytes ?? 0) === 0 ? 'disks' : 'memory';

/** libvirt reports zeros until QEMU has begun: only their time counts. */
const begun = ({ memory, disk, totalBytes }: JobSample): boolean =>
  (memory?.totalBytes ?? totalBytes) > 0 || (disk?.totalBytes ?? 0) > 0;

export function follow(before: TransferHistory | undefined, sample: JobSample, now: TimeMs): TransferHistory {
  if (!begun(sample))
    return (
      before ?? {
        startedAt: now,
        part: 'memory',
        passes: [],
        recent: [],
        best: { bytes: Number.MAX_SAFE_INTEGER, at: now },
      }
    );
  const part = partOf(sample);
  const { memory, disk } = sample;
  const restBytes = part === 'disks' ? (disk?.remainingBytes ?? 0) : (memory?.remainingBytes ?? sample.remainingBytes);
  const sentBytes =
    part === 'disks'
      ? (disk?.totalBytes ?? 0) - (disk?.remainingBytes ?? 0)
      : (memory?.sentBytes ?? sample.processedBytes);
  const iteration = part === 'disks' ? 0 : Math.max(1, sample.iteration);
  // counters that run backwards belong to another attempt
  const history = before === undefined || iteration < (before.passes.at(-1)?.iteration ?? 0) ? undefined : before;
  const same = history?.part === part ? history : undefined;
  const recent = [
    ...(same?.recent ?? []).filter(({ at }) => at > now - recentMs),
    { at: now, sentBytes, restBytes },
  ].slice(-samplesKept);
  const fastest = part === 'disks' ? undefined : fastestOf(history?.fastest, recentRate({ recent }), now);
  return {
    startedAt: history?.startedAt ?? now,
    part,
    passes: withSample(history?.passes ?? [], { iteration, restBytes, sentBytes, sample }, now),
    recent,
    best:
      same === undefined || restBytes < same.best.bytes - gainOf(same.best.bytes, iteration)
        ? { bytes: restBytes, at: now }
        : same.best,
    ...(fastest === undefined ? {} : { fastest }),
  };
}

const gainOf = (bestBytes: number, iteration: number): number =>
  Math.min(bestBytes * gainShare, iteration <= 1 ? firstPassGainBytes : Infinity);

/** For how long the smallest remainder has not changed. Only times with samples count. */
export const stoodStillMs = ({ best, recent }: Pick<TransferHistory, 'best' | 'recent'>): number =>
  (recent.at(-1)?.at ?? best.at) - best.at;

/** From now on another rate is allowed, so earlier measurements no longer describe the link. */
export function withNewRate(before: TransferHistory, now: TimeMs): TransferHistory {
  const { fastest: _, ...history } = before;
  return {
    ...history,
    recent: [],
    passes: history.passes.slice(-1).map((pass) => ({ ...pass, startedAt: now, lastAt: now, sentFrom: pass.sentTo })),
  };
}

function fastestOf(
  before: TransferHistory['fastest'],
  rate: number | undefined,
  now: TimeMs,
): TransferHistory['fastest'] {
  if (rate === undefined || (before !== undefined && rate < before.bytesPerSecond * slowShare)) return before;
  return { bytesPerSecond: Math.max(rate, before?.bytesPerSecond ?? 0), at: now };
}

function withSample(
  passes: readonly Pass[],
  seen: {
    readonly iteration: number;
    readonly restBytes: number;
    readonly sentBytes: number;
    readonly sample: JobSample;
  },
  now: TimeMs,
): readonly Pass[] {
  const { iteration, restBytes, sentBytes, sample } = seen;
  const current = passes.at(-1);
  const throttlePercent = sample.throttlePercent ?? 0;
  if (current?.iteration === iteration) {
    const going = {
      ...current,
      lastAt: now,
      sentTo: sentBytes,
      restBytes: Math.max(current.restBytes, restBytes),
      reportedBytesPerSecond: sample.throughputBytesPerSecond,
      throttlePercent,
    };
    return [...passes.slice(0, -1), going];
  }
  // QEMU counted what was dirtied over the pass before; the first sample of the new one sees a part of that gone
  // already
  const over = current === undefined || iteration === 1 ? undefined : { ...current, lastAt: now, sentTo: sentBytes };
  // (no more than what went over since the last look, which bounds how late this one is)
  const counted =
    over === undefined || current === undefined || iteration !== over.iteration + 1
      ? 0
      : Math.min(
          sample.dirtyBytesPerSecond * secondsOf(over),
          sample.memory?.totalBytes ?? 0,
          restBytes + sentBytes - current.sentTo,
        );
  const begun = {
    iteration,
    startedAt: now,
    lastAt: now,
    restBytes: Math.max(restBytes, counted),
    sentFrom: sentBytes,
    sentTo: sentBytes,
    reportedBytesPerSecond: sample.throughputBytesPerSecond,
    dirtyBytesPerSecond: sample.dirtyBytesPerSecond,
    throttlePercent,
  };
  return shortened([...(over === undefined ? passes : [...passes.slice(0, -1), over]), begun]);
}

/** The first pass is kept: the patience is measured by it. */
const shortened = (passes: readonly Pass[]): readonly Pass[] =>
  passes.length <= passesKept ? passes : [...passes.slice(0, 1), ...passes.slice(1 - passesKept)];

export const secondsOf = ({ startedAt, lastAt }: Pick<Pass, 'startedAt' | 'lastAt'>): number =>
  (lastAt - startedAt) / 1_000;

/** Bytes per second that went over in this pass. */
export const rateOf = (pass: Pass): number =>
  secondsOf(pass) >= 1 ? (pass.sentTo - pass.sentFrom) / secondsOf(pass) : pass.reportedBytesPerSecond;

/** Bytes per second over the last `overMs` at most; undefined before there is a second to measure. */
export function recentRate({ recent }: Pick<TransferHistory, 'recent'>, overMs: number = recentMs): number | undefined {
  const last = recent.at(-1);
  if (last === undefined) return undefined;
  const first = recent.find(({ at }) => at >= last.at - overMs);
  return first === undefined || last.at - first.at < leastMs
    ? undefined
    : ((last.sentBytes - first.sentBytes) * 1_000) / (last.at - first.at);
}
