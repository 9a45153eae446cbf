/**
 * Turns the figures of libvirt's running job into what people see. The percentage is computed from what remains
 * (zero pages make "processed" fall far short of "total") and never runs backwards, across restarts too, because
 * the last progress is an argument.
 */
import { forecast, linkRate } from '../convergence/forecast.ts';
import { rateOf, secondsOf } from '../convergence/transfer-history.ts';
import type { TimeMs } from '../model/ids.ts';
import type { MigrationProgress } from '../model/migration.ts';
import type { TransferHistory, JobSample } from '../model/transfer.ts';

/** Percent shown while the job runs; 100 is kept for a verified success. */
const highestRunningPercent = 99;
/** How far off a forecast from whole passes was found to be (docs/policies.md). */
const forecastMargin = 0.35;
/** Up to this number of further passes as long as this one are expected; and the interval between two samples, ms. */
const passesMore = 2;
const lookMs = 1_000;

export interface ProgressView {
  /** With this sample in it. */
  readonly history?: TransferHistory;
  /** The pause that QEMU may make. */
  readonly budgetMs?: number;
  readonly now?: TimeMs;
  /** No pass comes again: what remains is all there is. */
  readonly postCopy?: boolean;
}

export function progressOf(
  sample: JobSample,
  last: MigrationProgress | undefined,
  { history, budgetMs = 300, now = 0, postCopy = false }: ProgressView = {},
): MigrationProgress {
  const {
    remainingBytes,
    totalBytes,
    dirtyBytesPerSecond,
    throughputBytesPerSecond,
    iteration,
    throttlePercent,
    postCopyFaults,
  } = sample;
  const start = postCopy ? (last?.postCopyFrom ?? { percent: last?.percent ?? 0, remainingBytes }) : undefined;
  const percent = Math.max(
    last?.percent ?? 0,
    Math.min(
      highestRunningPercent,
      start === undefined ? percentDone(totalBytes, remainingBytes) : percentSince(start, remainingBytes),
    ),
  );
  return {
    percent,
    // libvirt counts what was sent again, which makes more of it than there is
    processedBytes: Math.max(0, totalBytes - remainingBytes),
    ...sentOf(sample, last),
    remainingBytes,
    totalBytes,
    ...(start === undefined ? {} : { postCopyFrom: start }),
    dirtyBytesPerSecond,
    throughputBytesPerSecond,
    iteration,
    ...(history === undefined ? {} : { part: history.part }),
    ...(throttlePercent === undefined || throttlePercent === 0 ? {} : { throttlePercent }),
    ...(postCopyFaults === undefined || postCopyFaults === 0 ? {} : { postCopyFaults }),
    ...etaOf(sample, history, budgetMs, now),
  };
}

const sentOf = ({ memory }: JobSample, last: MigrationProgress | undefined): Pick<MigrationProgress, 'sentBytes'> => {
  const sentBytes = memory?.sentBytes ?? last?.sentBytes;
  return sentBytes === undefined ? {} : { sentBytes };
};

const percentDone = (totalBytes: number, remainingBytes: number): number =>
  totalBytes > 0 ? Math.floor((1 - remainingBytes / totalBytes) * 100) : 0;

/** The rest of the way is the rest of the memory: passes before had brought the percentage where it was. */
const percentSince = (
  { percent, remainingBytes: first }: NonNullable<MigrationProgress['postCopyFrom']>,
  remainingBytes: number,
): number => (first > 0 ? percent + Math.floor((100 - percent) * (1 - Math.min(1, remainingBytes / first))) : percent);

/** Time left with the earliest and the latest it may be; nothing where nothing is gained. */
function etaOf(
  { remainingBytes, dirtyBytesPerSecond, throughputBytesPerSecond, postCopyFaults = 0 }: JobSample,
  history: TransferHistory | undefined,
  budgetMs: number,
  now: TimeMs,
): Pick<MigrationProgress, 'etaMs' | 'etaEarliestMs' | 'etaLatestMs'> {
  const ahead = history === undefined ? undefined : forecast(history, budgetMs, now);
  const pass = history?.passes.at(-1);
  // in post-copy nothing is dirtied any more
  if (postCopyFaults > 0 && history !== undefined) {
    const onlyMs = Math.round((remainingBytes / Math.max(1, linkRate(history, now))) * 1_000);
    return {
      etaMs: onlyMs,
      etaEarliestMs: Math.round(onlyMs * (1 - forecastMargin)),
      etaLatestMs: Math.round(onlyMs * (1 + forecastMargin)) + lookMs,
    };
  }
  if (ahead?.kind === 'never') return {};
  if (history !== undefined && ahead?.kind === 'ends' && pass !== undefined) {
    const link = Math.max(1, linkRate(history, now));
    const earliest = (remainingBytes / link) * 1_000;
    const left = Math.max(earliest, ahead.inMs - secondsOf(pass) * 1_000);
    // the pages that are written most are left over: passes may shrink less than the last ones did, down to not at all
    const again = (pass.restBytes / link) * 1_000 * passesMore;
    return {
      etaMs: Math.round(left),
      etaEarliestMs: Math.round(earliest),
      etaLatestMs: Math.round(Math.max(left + ahead.inMs * forecastMargin, earliest + again)) + lookMs,
    };
  }
  // before the first pass is over nobody knows how fast the guest writes
  const rate = throughputBytesPerSecond > 0 ? throughputBytesPerSecond : pass === undefined ? 0 : rateOf(pass);
  const gain = rate - dirtyBytesPerSecond;
  if (gain <= 0 || remainingBytes <= 0) return {};
  const etaMs = Math.round((remainingBytes / gain) * 1_000);
  return { etaMs, etaEarliestMs: Math.round((remainingBytes / rate) * 1_000), etaLatestMs: etaMs * 2 };
}

/** Progress of a migration that succeeded: nothing remains, and there is no time left. */
export function finalProgress(last: MigrationProgress | undefined): MigrationProgress | undefined {
  if (last === undefined) return undefined;
  const { etaMs: _, etaEarliestMs: _earliest, etaLatestMs: _latest, ...rest } = last;
  return { ...rest, percent: 100, remainingBytes: 0 };
}
