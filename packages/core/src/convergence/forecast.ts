/**
 * Predicts from a transfer's history how it will go on without measures. A pass leaves what the guest dirtied while it
 * was sent, so passes shrink by the ratio of dirtying to sending. Since a guest dirties the same pages again, that
 * ratio only grows as passes become shorter: a first pass that left as much as it sent proves that pre-copy cannot end
 * (performance notes of Clark et al., NSDI'05, and of Akoush et al., MASCOTS'10).
 */
import type { TimeMs } from '../model/ids.ts';
import type { TransferHistory, Pass } from '../model/transfer.ts';
import { rateOf, recentRate, secondsOf, gainShare, slowShare } from './transfer-history.ts';

export type Forecast =
  /** Too early to tell, or the link is not as it was. */
  | { readonly kind: 'unknown'; readonly because: 'first-pass' | 'link' | 'disks' }
  /** `inMs`: from the begin of the last pass on. */
  | { readonly kind: 'ends'; readonly inMs: number }
  | { readonly kind: 'never' };

/** Older passes say nothing about the link as it is now, ms. */
const linkMemoryMs = 60_000;
/** Passes that shrink by less than this do not shrink: the rest of the way would be longer than anybody waits. */
const endlessRatio = 0.97;
/** After this number of passes in a row without gain, over this time, pre-copy does not end; ms. */
const endlessPasses = 5;
const endlessMs = 4_000;
/** From this length on a pass is measured well by looks half a second to a second apart. */
const measuredSeconds = 5;
/**
 * Passes count as stalled only on a link that gives this share of what it gave: below it, they take longer and leave
 * more.
 */
const wholeShare = 0.85;

export const memoryPasses = ({ passes }: TransferHistory): readonly Pass[] =>
  passes.filter(({ iteration }) => iteration > 0);

/**
 * What the link gives when nothing disturbs it, bytes per second: the best of late, also from within a pass. 0 before
 * anything is known.
 */
export function linkRate(history: TransferHistory, now: TimeMs): number {
  const passes = memoryPasses(history);
  const { fastest } = history;
  const measured = passes.filter((pass, index) => index >= passes.length - 2 || pass.lastAt > now - linkMemoryMs);
  return Math.max(
    recentRate(history) ?? 0,
    fastest !== undefined && fastest.at > now - linkMemoryMs ? fastest.bytesPerSecond : 0,
    ...measured.filter((pass) => secondsOf(pass) >= 1 || passes.length > 1).map(rateOf),
  );
}

/** The link gives much less than it did. */
export function isLinkSlow(history: TransferHistory, now: TimeMs): boolean {
  const present = recentRate(history);
  return present !== undefined && present < slowShare * linkRate(history, now);
}

/** A pass at this share of the link's best was sent at its full rate. */
const fullShare = 0.93;
/**
 * Time after which a link that has become slower is taken as it is, ms; and the share of its best below which it
 * never is.
 */
const newLinkMs = 120_000;
const leastShare = 0.2;

/**
 * The link carries what is left: nothing that cannot be taken back begins on one that is down, has just slowed down,
 * or gives next to nothing.
 */
export function canCarry(history: TransferHistory, now: TimeMs): boolean {
  const { fastest } = history;
  const present = Math.min(recentRate(history) ?? 0, recentRate(history, 1_500) ?? 0);
  if (present <= 0 || fastest === undefined) return false;
  return (
    present >= slowShare * fastest.bytesPerSecond ||
    (now - fastest.at >= newLinkMs && present >= leastShare * fastest.bytesPerSecond)
  );
}

/** The pass was sent at less than the link's rate, so the guest had more time to dirty what it left. */
const wasSlow = (pass: Pass, link: number, share: number): boolean => rateOf(pass) < share * link;

/**
 * Remainders of the last passes, each with the pass that left it; those after a slow pass, sent at less than `share` of
 * the link's rate, do not count.
 */
export function honestRests(
  history: TransferHistory,
  now: TimeMs,
  share: number = slowShare,
): readonly { readonly before: Pass; readonly pass: Pass }[] {
  const passes = memoryPasses(history);
  const link = linkRate(history, now);
  return passes.flatMap((pass, index) => {
    const before = passes[index - 1];
    return before === undefined || wasSlow(before, link, share) ? [] : [{ before, pass }];
  });
}

/**
 * When pre-copy last had a fresh start: the end of its first pass, or of the last one since that the link slowed
 * down.
 */
export function patientSince(history: TransferHistory, now: TimeMs): TimeMs {
  const passes = memoryPasses(history);
  const link = linkRate(history, now);
  return passes.findLast((pass, index) => index === 0 || wasSlow(pass, link, fullShare))?.lastAt ?? now;
}

/** `budgetMs`: the pause that QEMU may use for it. */
export function forecast(history: TransferHistory, budgetMs: number, now: TimeMs): Forecast {
  if (history.part === 'disks') return { kind: 'unknown', because: 'disks' };
  const rests = honestRests(history, now);
  const last = rests.at(-1);
  if (memoryPasses(history).length < 2) return { kind: 'unknown', because: 'first-pass' };
  if (last === undefined || last.pass !== memoryPasses(history).at(-1) || isLinkSlow(history, now))
    return { kind: 'unknown', because: 'link' };
  const link = linkRate(history, now);
  if (link <= 0) return { kind: 'unknown', because: 'link' };
  const target = (link * budgetMs) / 1_000;
  const rest = last.pass.restBytes;
  const ratio = ratioOf(rests, link);
  if (isStalled(history, ratio, now) || shortPassMs(history) !== undefined) return { kind: 'never' };
  if (rest <= target) return { kind: 'ends', inMs: (rest / link) * 1_000 };
  if (ratio >= endlessRatio) return { kind: 'never' };
  const passes = Math.ceil(Math.log(target / rest) / Math.log(ratio));
  return { kind: 'ends', inMs: ((rest * (1 - ratio ** passes)) / (1 - ratio) / link) * 1_000 };
}

/**
 * What the guest dirties while a byte goes over. Concave: what a pass left, per second of it and byte of the link, is
 * the least that shorter ones will leave. Of a pass that lasted but a few looks its length is not known well, and
 * QEMU's own count is better.
 */
function ratioOf(rests: ReturnType<typeof honestRests>, best: number): number {
  const { before, pass } = rests.at(-1) ?? {};
  if (before === undefined || pass === undefined) return 0;
  const seconds = secondsOf(before);
  // the best of many noisy rates is somewhat more than the link gives; the pass's own is right where it was not
  // slowed down
  const own = rateOf(before);
  const link = own >= fullShare * best ? own : best;
  if (seconds < measuredSeconds)
    return pass.dirtyBytesPerSecond > 0
      ? pass.dirtyBytesPerSecond / link
      : pass.restBytes / Math.max(seconds * link, before.restBytes);
  const atFull = Math.min(1, own / link);
  return Math.max(
    pass.restBytes / (seconds * link),
    rests.length >= 2 ? (pass.restBytes / before.restBytes) * atFull : 0,
  );
}

/**
 * Passes in a row, up to the last, that left no less than the best before them; only those that began after `since`.
 */
export function stalledPasses(history: TransferHistory, now: TimeMs, since: TimeMs = -Infinity): number {
  return stalled(history, now).filter(({ startedAt }) => startedAt > since).length;
}

function stalled(history: TransferHistory, now: TimeMs): readonly Pass[] {
  let best = Infinity;
  let without: Pass[] = [];
  let previous: Pass | undefined;
  for (const { before, pass } of honestRests(history, now, wholeShare)) {
    // it restarts after a pass on a slow link, which left more than any pass before it
    if (before !== previous) best = Infinity;
    without = pass.restBytes < best * (1 - gainShare) ? [] : [...without, pass];
    best = Math.min(best, pass.restBytes);
    previous = pass;
  }
  return without;
}

/**
 * Short passes go on and on: by the figures the rest would fit, or shrink, and it does not. Where QEMU counts a clear
 * gain, looks must be wrong for longer.
 */
function isStalled(history: TransferHistory, ratio: number, now: TimeMs): boolean {
  const passes = stalled(history, now);
  const doubt = ratio < fullShare ? 2 : 1;
  return passes.length >= endlessPasses * doubt && now - (passes[0]?.startedAt ?? now) >= endlessMs * doubt;
}

/** So many passes within about a second that did not end it, and so fast, are too short to be looked at one by one. */
const manyPasses = 5;
const manyPerSecond = 4;

/**
 * Length of the last passes, ms, where many of them have followed each other within the last second or two: each has
 * found more than fits into the pause, or QEMU would have switched. Undefined where passes can be looked at.
 */
export function shortPassMs(history: TransferHistory): number | undefined {
  const passes = memoryPasses(history);
  const last = passes.at(-1);
  const first =
    last === undefined ? undefined : passes.findLast(({ startedAt }) => last.startedAt - startedAt >= 1_000);
  if (last === undefined || first === undefined) return undefined;
  const count = last.iteration - first.iteration;
  const ms = last.startedAt - first.startedAt;
  return count >= manyPasses && count >= (manyPerSecond * ms) / 1_000 ? ms / count : undefined;
}

/**
 * Pause that the smallest of the last rests would take, ms; undefined while nothing is known. `budgetMs`: the pause
 * that QEMU may use now.
 */
export function neededPauseMs(history: TransferHistory, now: TimeMs, budgetMs: number): number | undefined {
  const link = linkRate(history, now);
  // QEMU ends a pass when what is left fits; so a short one began with that and what was sent in it
  const shortMs = shortPassMs(history);
  if (shortMs !== undefined) return budgetMs + shortMs;
  const rests = honestRests(history, now)
    .slice(-3)
    .map(({ pass }) => pass.restBytes);
  return rests.length === 0 || link <= 0 ? undefined : (Math.min(...rests) / link) * 1_000;
}
