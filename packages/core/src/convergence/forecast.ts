/**
 * Tells from a transfer's course how it will go on by itself. A pass leaves what the guest dirtied while it was sent, so passes shrink by the
 * ratio of dirtying to sending. Since a guest dirties the same pages again, that ratio only grows as passes become shorter: a first pass that
 * left as much as it sent proves that pre-copy cannot end (performance notes of Clark et al., NSDI'05, and of Akoush et al., MASCOTS'10).
 */
import { rateOf, recentRate, secondsOf, type Course, type Pass } from './course.ts';
import type { TimeMs } from '../ids.ts';

export type Forecast =
  /** Too early to tell, or the link is not as it was. */
  | { readonly kind: 'unknown'; readonly because: 'first-pass' | 'link' | 'disks' }
  | { readonly kind: 'ends'; readonly inMs: number }
  | { readonly kind: 'never' };

/** Passes older than this do not tell what the link gives now, ms. */
const linkMemoryMs = 60_000;
/** Below this share of what the link gave, it is the link that is slow and not the guest that is busy. */
const slowShare = 0.6;
/** Passes that shrink by less than this do not shrink: the rest of the way would be longer than anybody waits. */
const endlessRatio = 0.97;

export const memoryPasses = ({ passes }: Course): readonly Pass[] => passes.filter(({ iteration }) => iteration > 0);

/** What the link gives when nothing disturbs it, bytes per second: the best recent pass. 0 before anything is known. */
export function linkRate(course: Course, now: TimeMs): number {
  const passes = memoryPasses(course);
  const measured = passes.filter((pass, index) => index >= passes.length - 2 || pass.lastAt > now - linkMemoryMs);
  return Math.max(recentRate(course) ?? 0, ...measured.filter((pass) => secondsOf(pass) >= 1 || passes.length > 1).map(rateOf));
}

/** The link gives much less than it did. */
export function isLinkSlow(course: Course, now: TimeMs): boolean {
  const present = recentRate(course);
  return present !== undefined && present < slowShare * linkRate(course, now);
}

/** The pass was sent at less than the link's rate, so the guest had more time to dirty what it left. */
const wasSlow = (pass: Pass, link: number): boolean => secondsOf(pass) >= 1 && rateOf(pass) < slowShare * link;

/** Rests of the last passes, each with the pass that led to it; those after a slow pass say nothing. */
export function honestRests(course: Course, now: TimeMs): readonly { readonly before: Pass; readonly pass: Pass }[] {
  const passes = memoryPasses(course);
  const link = linkRate(course, now);
  return passes.flatMap((pass, index) => {
    const before = passes[index - 1];
    return before === undefined || wasSlow(before, link) ? [] : [{ before, pass }];
  });
}

/** `budgetMs`: the pause that QEMU may make of it. */
export function forecast(course: Course, budgetMs: number, now: TimeMs): Forecast {
  if (course.part === 'disks') return { kind: 'unknown', because: 'disks' };
  const rests = honestRests(course, now);
  const last = rests.at(-1);
  if (memoryPasses(course).length < 2) return { kind: 'unknown', because: 'first-pass' };
  if (last === undefined || last.pass !== memoryPasses(course).at(-1) || isLinkSlow(course, now)) return { kind: 'unknown', because: 'link' };
  const link = linkRate(course, now);
  if (link <= 0) return { kind: 'unknown', because: 'link' };
  const target = (link * budgetMs) / 1_000;
  const rest = last.pass.restBytes;
  if (rest <= target) return { kind: 'ends', inMs: (rest / link) * 1_000 };
  // concave: what a pass left, per second of it and byte of the link, is the least that shorter ones will leave
  const ratio = Math.max(rest / (secondsOf(last.before) * link), rests.length >= 2 ? rest / last.before.restBytes : 0);
  if (ratio >= endlessRatio) return { kind: 'never' };
  const passes = Math.ceil(Math.log(target / rest) / Math.log(ratio));
  return { kind: 'ends', inMs: ((rest * (1 - ratio ** passes)) / (1 - ratio) / link) * 1_000 };
}

/** Pause that the smallest of the last rests would take, ms; undefined while nothing can be told. */
export function neededPauseMs(course: Course, now: TimeMs): number | undefined {
  const link = linkRate(course, now);
  const rests = honestRests(course, now).slice(-3).map(({ pass }) => pass.restBytes);
  return rests.length === 0 || link <= 0 ? undefined : (Math.min(...rests) / link) * 1_000;
}
