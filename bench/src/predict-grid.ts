// What `script/bench predict` runs and how it judges: guests that dirty memory at 0.1 to 2 times a capped bandwidth, and
// what was predicted of each against what came. Pure: no lab, no clock.
import type { Target } from './report.ts';
import { median } from './report.ts';

/** Bandwidth limit, MiB/s. */
export const BANDWIDTH = 32;
/** All of it is dirtied again and again, so that what a pass leaves is its time at that rate. */
export const FILLED_MIB = 256;
/** QEMU's own pause budget. */
export const PAUSE_MS = 300;
/** The longest period of the measurement before a move. */
export const MEASURED_SECONDS = 8;

/** Of the bandwidth. Between 0.9 and 1.1 nothing is claimed. */
export const shares: readonly number[] = [0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2];
export const quickShares: readonly number[] = [0.25, 0.75, 1.5];

export const workloadOf = (share: number): string =>
  `sector:V=${FILLED_MIB},W=${FILLED_MIB},D=${Math.round(share * BANDWIDTH * 10) / 10}`;

export interface Interval {
  readonly low: number;
  readonly expected: number;
  readonly high?: number;
}

export interface Run {
  readonly share: number;
  readonly kind: string;
  readonly endsByItself: boolean;
  /** It moved within the limit, by pre-copy alone. */
  readonly ended: boolean;
  /** Predicted; absent where nothing was. */
  readonly totalMs?: Interval;
  readonly downtimeMs?: Interval;
  /** NaN: it did not end. */
  readonly tookMs: number;
  readonly pausedMs: number;
  /** What was measured of the guest, MiB/s; its own pace, before the move and while it was moved. */
  readonly paceRead: number;
  readonly paceBefore: number;
  readonly paceDuring: number;
}

const isIn = ({ low, high = Infinity }: Interval, value: number): boolean => low <= value && value <= high;
const shareOf = <T>(values: readonly T[], holds: (value: T) => boolean): number =>
  values.length === 0 ? Number.NaN : values.filter((value) => holds(value)).length / values.length;

export interface Summary {
  readonly runs: number;
  readonly ended: number;
  /** Of the runs that ended and had been predicted. */
  readonly totalError: number;
  readonly totalWithin: number;
  readonly downtimeErrorMs: number;
  readonly downtimeWithin: number;
  /** Runs in which it was said wrongly whether pre-copy ends. */
  readonly wrong: number;
  readonly atRisk: number;
}

export function summaryOf(runs: readonly Run[]): Summary {
  const both = <T>(of: (run: Run) => T | undefined): readonly T[] =>
    runs.filter(({ ended }) => ended).flatMap((run) => of(run) ?? []);
  const totals = both(({ totalMs, tookMs }) => (totalMs === undefined ? undefined : { totalMs, tookMs }));
  const pauses = both(({ downtimeMs, pausedMs }) => (downtimeMs === undefined ? undefined : { downtimeMs, pausedMs }));
  return {
    runs: runs.length,
    ended: runs.filter(({ ended }) => ended).length,
    totalError: median(totals.map(({ totalMs, tookMs }) => Math.abs(totalMs.expected - tookMs) / tookMs)),
    totalWithin: shareOf(totals, ({ totalMs, tookMs }) => isIn(totalMs, tookMs)),
    downtimeErrorMs: median(pauses.map(({ downtimeMs, pausedMs }) => Math.abs(downtimeMs.expected - pausedMs))),
    downtimeWithin: shareOf(pauses, ({ downtimeMs, pausedMs }) => isIn(downtimeMs, pausedMs)),
    wrong: runs.filter((run) => isWrong(run)).length,
    atRisk: runs.filter(({ kind }) => kind === 'at-risk').length,
  };
}

/** What is claimed for sure has to come; of one at risk, what is called likelier. */
const isWrong = ({ kind, endsByItself, ended }: Run): boolean => kind === 'unknown' || endsByItself !== ended;

/** Up to this share of the bandwidth the time is judged. */
const JUDGED_SHARE = 0.75;
const isClaimed = ({ share }: Run): boolean => share < 0.9 || share > 1.1;

/** The gates. Of runs that ended at 0.9 and more only the verdict and the intervals count. */
export function targetsOf(runs: readonly Run[]): Readonly<Record<'error' | 'total' | 'downtime' | 'verdict', Target>> {
  const judged = summaryOf(runs.filter(({ share }) => share <= JUDGED_SHARE));
  const all = summaryOf(runs);
  return {
    error: {
      what: `median error of the total time, up to ${JUDGED_SHARE} of the bandwidth`,
      value: judged.totalError,
      atMost: 0.1,
    },
    total: { what: 'share of total times outside the interval', value: 1 - all.totalWithin, atMost: 0.1 },
    downtime: { what: 'share of downtimes outside the interval', value: 1 - all.downtimeWithin, atMost: 0.1 },
    verdict: {
      what: 'runs outside 0.9 to 1.1 of which it was said wrongly whether pre-copy ends',
      value: summaryOf(runs.filter((run) => isClaimed(run))).wrong,
      atMost: 0,
    },
  };
}
