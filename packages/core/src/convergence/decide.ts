/**
 * What a policy has done about a transfer that does not come to its end: `(policy, history, situation, now) ->
 * decision`. A pure function over figures; the engine carries the decision out and stores it with them. It waits for
 * the boundary of a pass before it judges what a measure has changed, and it does nothing that the policy does not
 * name.
 */
import type { Figures, Decision, Action, Note } from '../model/decision.ts';
import type { TimeMs } from '../model/ids.ts';
import type { MeasureName, PolicyContent, PolicyStep } from '../model/policy.ts';
import type { TransferHistory } from '../model/transfer.ts';
import {
  canCarry,
  forecast,
  isLinkSlow,
  linkRate,
  memoryPasses,
  neededPauseMs,
  patientSince,
  stalledPasses,
} from './forecast.ts';
import { recentRate, secondsOf } from './transfer-history.ts';
import { decisionText } from './words.ts';

export interface Situation {
  /** Pause budget in force, ms. */
  readonly downtimeMs: number;
  /** Memory of the guest and what its copied disks hold. */
  readonly sizeBytes: number;
  /** The transfer was begun so that it may be switched to post-copy. */
  readonly mayPostCopy: boolean;
  /** Only disks travel, or a guest that is paused anyway: there is none to pause, to throttle or to shut down. */
  readonly noGuestRuns?: true;
  /** We paused the guest already. */
  readonly paused: boolean;
  readonly deadlineAt?: TimeMs;
  readonly decisions: readonly Decision[];
}

/** A policy without a patience of its own waits for this number of first passes, and at least for this time. */
export const usualPatience = 2;
export const leastPatienceMs = 5_000;
const disksStalledMs = 15_000;
/** The rest fits into a pause with this much room for what the figures do not show. */
const headroom = 1.15;
/** The budget for a rest that needs this pause, ms. */
export const budgetFor = (neededMs: number): number => Math.ceil((neededMs * headroom) / 10) * 10;
const gib = 1_073_741_824;
/** Measures that need memory to be on its way. */
const ofMemory: readonly MeasureName[] = ['raise-downtime', 'double-downtime', 'fit-downtime', 'post-copy'];

export function decide(
  policy: PolicyContent,
  history: TransferHistory,
  situation: Situation,
  now: TimeMs,
): Decision | undefined {
  const figures = figuresOf(history, situation, now);
  const make = (action: Action, step?: number): Decision => ({
    at: now,
    action,
    ...(step === undefined ? {} : { step }),
    figures,
    text: decisionText(action, figures, step === undefined ? undefined : policy.steps[step]),
  });
  const useless = throttleUseless(history, now) && !has(situation, 'release-throttle');
  if (useless) return make({ do: 'release-throttle' });
  for (const [index, step] of policy.steps.entries()) {
    if (
      (situation.noGuestRuns === true && step.do !== 'abort') ||
      isOver(step, index, situation) ||
      !isDue(step, policy, history, situation, now)
    )
      continue;
    const action = actionOf(step, policy, history, situation, now);
    if (action !== undefined) return make(action, index);
  }
  return noteOf(history, situation, now, make);
}

const has = ({ decisions }: Situation, what: Action['do']): boolean =>
  decisions.some(({ action }) => action.do === what);
const noted = ({ decisions }: Situation, what: Note): boolean =>
  decisions.some(({ action }) => action.do === 'note' && action.what === what);

function noteOf(
  history: TransferHistory,
  situation: Situation,
  now: TimeMs,
  make: (action: Action) => Decision,
): Decision | undefined {
  if (history.part === 'disks')
    return now - history.best.at >= disksStalledMs && !noted(situation, 'disks-stalled')
      ? make({ do: 'note', what: 'disks-stalled' })
      : undefined;
  if (isLinkSlow(history, now) && !noted(situation, 'link-slow')) return make({ do: 'note', what: 'link-slow' });
  if (situation.paused || noted(situation, 'no-way') || !settled(history, situation, now)) return undefined;
  const ahead = forecast(history, situation.downtimeMs, now);
  return ahead.kind === 'never' || (ahead.kind === 'ends' && isLate(endsAt(history, ahead, now), situation))
    ? make({ do: 'note', what: 'no-way' })
    : undefined;
}

/** When it ends without a measure. */
const endsAt = (history: TransferHistory, { inMs }: { readonly inMs: number }, now: TimeMs): TimeMs =>
  (memoryPasses(history).at(-1)?.startedAt ?? now) + inMs;
const isLate = (at: TimeMs, { deadlineAt }: Situation): boolean => deadlineAt !== undefined && at > deadlineAt;

function figuresOf(history: TransferHistory, situation: Situation, now: TimeMs): Figures {
  const rest = history.recent.at(-1)?.restBytes ?? 0;
  const last = memoryPasses(history).at(-1);
  const needed = neededPauseMs(history, now, situation.downtimeMs);
  const ahead = forecast(history, situation.downtimeMs, now);
  return {
    part: history.part,
    iteration: last?.iteration ?? 0,
    restBytes: rest,
    dirtyBytesPerSecond: last?.dirtyBytesPerSecond ?? 0,
    linkBytesPerSecond: linkRate(history, now),
    presentBytesPerSecond: recentRate(history) ?? 0,
    downtimeMs: situation.downtimeMs,
    throttlePercent: last?.throttlePercent ?? 0,
    unchangedMs: now - history.best.at,
    elapsedMs: now - history.startedAt,
    ...(needed === undefined ? {} : { neededPauseMs: needed }),
    ...(ahead.kind === 'ends' ? { endsInMs: Math.max(0, endsAt(history, ahead, now) - now) } : {}),
  };
}

/** Taken already. A measure that can be taken again is never over. */
const isOver = (step: PolicyStep, index: number, { decisions, paused }: Situation): boolean =>
  (step.do === 'pause' && paused) ||
  (step.do !== 'fit-downtime' && step.do !== 'double-downtime' && decisions.some((each) => each.step === index));

/** What a measure changes takes a moment to be seen, ms. */
const effectMs = 1_500;

/** A pass that began after the last measure is under way: what the measure changed can be seen. */
function settled(history: TransferHistory, { decisions }: Situation, now: TimeMs): boolean {
  const last = decisions.findLast(({ action }) => action.do !== 'note');
  return (
    last === undefined ||
    history.part === 'disks' ||
    ((memoryPasses(history).at(-1)?.iteration ?? 0) > last.figures.iteration && now - last.at >= effectMs)
  );
}

function isDue(
  step: PolicyStep,
  policy: PolicyContent,
  history: TransferHistory,
  situation: Situation,
  now: TimeMs,
): boolean {
  const passes = memoryPasses(history);
  switch (step.when) {
    case 'forecast': {
      if (!settled(history, situation, now) || situation.paused) return false;
      const ahead = forecast(history, situation.downtimeMs, now);
      if (ahead.kind !== 'ends') return ahead.kind === 'never';
      const endsMs = endsAt(history, ahead, now);
      const [first] = passes;
      const patientUntilMs =
        first === undefined
          ? 0
          : patientSince(history, now) + (policy.patience ?? usualPatience) * secondsOf(first) * 1_000;
      return (endsMs > now + leastPatienceMs && endsMs > patientUntilMs) || isLate(endsMs, situation);
    }
    case 'passes':
      return (passes.at(-1)?.iteration ?? 0) > step.count + 1;
    case 'stalled':
      // a measure that is repeated gets as many passes to show what it changed
      return (
        stalledPasses(
          history,
          now,
          situation.decisions.findLast((each) => each.step === policy.steps.indexOf(step))?.at,
        ) >= step.passes
      );
    case 'elapsed':
      // before the memory's turn nobody knows how large it is
      return (
        (step.msPerGib === undefined || passes.length > 0) &&
        now - history.startedAt >= Math.max(step.ms ?? 0, ((step.msPerGib ?? 0) * situation.sizeBytes) / gib)
      );
    case 'no-progress':
      return now - history.best.at >= step.ms;
    case 'throttled':
      return (
        passes.filter(({ throttlePercent }) => throttlePercent >= step.percent).length > step.passes ||
        has(situation, 'release-throttle')
      );
    case 'deadline':
      return situation.deadlineAt !== undefined && now >= situation.deadlineAt;
  }
}

/**
 * A guest that dirties all of its set in each pass is read as dirtying what the link carries, however fast it is: below
 * this much throttling, in percent, such a reading proves nothing (a recorded guest was read so up to 40 % and
 * converged at 80 %).
 */
const severeThrottlePercent = 60;

/** Two steps of throttling in a row that left the guest dirtying as before. */
function throttleUseless(history: TransferHistory, now: TimeMs): boolean {
  const steps = memoryPasses(history).filter(
    (pass, index, all) => index === 0 || pass.throttlePercent !== all[index - 1]?.throttlePercent,
  );
  const [before, , after] = steps.slice(-3);
  // a pass carries what the one before it dirtied
  const dirtied = memoryPasses(history).at(-1);
  if (
    before === undefined ||
    after === undefined ||
    dirtied === undefined ||
    steps.length < 3 ||
    dirtied.iteration <= after.iteration ||
    after.throttlePercent <= before.throttlePercent
  )
    return false;
  const saturated = Math.abs(dirtied.dirtyBytesPerSecond / linkRate(history, now) - 1) < 0.15;
  return (
    before.dirtyBytesPerSecond > 0 &&
    dirtied.dirtyBytesPerSecond >= 0.9 * before.dirtyBytesPerSecond &&
    (!saturated || after.throttlePercent >= severeThrottlePercent)
  );
}

/** Undefined: it cannot be taken, or not now. */
function actionOf(
  step: PolicyStep,
  policy: PolicyContent,
  history: TransferHistory,
  situation: Situation,
  now: TimeMs,
): Action | undefined {
  const { limitMs } = policy.downtime;
  if (history.part === 'disks' && ofMemory.includes(step.do)) return undefined;
  switch (step.do) {
    case 'raise-downtime': {
      const toMs = Math.min(step.toMs, limitMs);
      return toMs > situation.downtimeMs ? { do: 'set-downtime', toMs } : undefined;
    }
    case 'double-downtime': {
      const toMs = Math.min(limitMs, situation.downtimeMs * 2);
      return toMs > situation.downtimeMs ? { do: 'set-downtime', toMs } : undefined;
    }
    case 'fit-downtime': {
      const needed = neededPauseMs(history, now, situation.downtimeMs);
      if (needed === undefined || needed > limitMs) return undefined;
      // QEMU did not switch at what the figures call enough, so they are too good
      const toMs = Math.min(limitMs, Math.max(budgetFor(needed), Math.ceil((situation.downtimeMs * 1.25) / 10) * 10));
      return toMs > situation.downtimeMs ? { do: 'set-downtime', toMs } : undefined;
    }
    case 'post-copy':
      return situation.mayPostCopy && !situation.paused && canCarry(history, now) ? { do: 'post-copy' } : undefined;
    case 'pause':
      return canCarry(history, now) ? { do: 'pause' } : undefined;
    case 'power-off':
    case 'abort':
      return { do: step.do };
  }
}
