/**
 * How a policy's step ends a transfer that does not end by itself: when it comes, how long the rest takes, and how long
 * the guest stands still for it. Undefined where that cannot be told from the model (throttling, a cold move). Pure.
 */
import { leastPatienceMs, usualPatience } from '../convergence/decide.ts';
import type { PolicyContent, PolicyStep } from '../model/policy.ts';
import type { Remedy } from '../model/prediction.ts';
import type { Curve } from './curve.ts';
import { passesOf, pauseOfPostCopy, pauseOfStanding, pauseOfSwitch, type End, type PassEnd } from './pre-copy.ts';
import { elapsedMs } from './remedies.ts';

export interface Transfer {
  /** The disks come first. */
  readonly disksMs: number;
  /** Of the memory. */
  readonly bytes: number;
  readonly curve: Curve;
  readonly rate: number;
  readonly budgetMs: number;
  /** All that is sent once: policies count by it. */
  readonly sizeBytes: number;
}

/** `remedies`: what the policy does about it, up to the measure that surely ends it. */
export function fallbackEnd(policy: PolicyContent, remedies: readonly Remedy[], transfer: Transfer): End | undefined {
  const last = remedies.at(-1);
  if (last === undefined || policy.throttle !== undefined) return undefined;
  const passes = passesOf(transfer.bytes, transfer.curve, transfer.rate, 0);
  for (const step of policy.steps) {
    const { disksMs, rate } = transfer;
    const due = dueAt(step, passes, policy, transfer);
    const isIt = step.do === last.do || (last.do === 'set-downtime' && isOfDowntime(step));
    if (!isIt || due === undefined) continue;
    const restMs = (due.restBytes / rate) * 1_000;
    const totalMs = disksMs + due.atMs + restMs;
    switch (last.do) {
      case 'post-copy':
        return { totalMs, pauseMs: pauseOfPostCopy };
      case 'pause':
        return { totalMs, pauseMs: pauseOfStanding(restMs) };
      case 'set-downtime':
        return { totalMs, pauseMs: pauseOfSwitch(restMs, last.toMs ?? restMs) };
      case 'power-off':
        return undefined;
    }
  }
  return undefined;
}

/** A policy that does not wait for passes that would end, but later than it has patience for. */
export const isImpatient = (
  { steps, patience = usualPatience }: PolicyContent,
  passes: readonly PassEnd[],
  remedies: readonly Remedy[],
): boolean => {
  const { atMs: firstMs = 0 } = passes[0] ?? {};
  const restMs = (passes.at(-1)?.atMs ?? 0) - firstMs;
  const last = remedies.at(-1)?.do;
  return (
    steps.some((step) => step.when === 'forecast' && step.do === last) &&
    restMs > Math.max(leastPatienceMs, patience * firstMs)
  );
};

const isOfDowntime = ({ do: what }: PolicyStep): boolean =>
  what === 'fit-downtime' || what === 'raise-downtime' || what === 'double-downtime';

/** The moment that the step comes, from the first pass on, and what is left then. */
function dueAt(
  step: PolicyStep,
  passes: readonly PassEnd[],
  policy: PolicyContent,
  { disksMs, sizeBytes, rate }: Transfer,
): PassEnd | undefined {
  const within = (ms: number): PassEnd => {
    const atMs = Math.max(0, ms - disksMs);
    const restBytes = passes.findLast((pass) => pass.atMs <= atMs)?.restBytes;
    // in the first pass: what it has not sent, and at most as much as it wrote meanwhile
    return {
      atMs,
      restBytes: restBytes ?? Math.max(passes[0]?.restBytes ?? 0, (((passes[0]?.atMs ?? 0) - atMs) * rate) / 1_000),
    };
  };
  switch (step.when) {
    case 'forecast':
      return passes[0];
    case 'passes':
      return passes[Math.min(step.count, passes.length - 1)];
    case 'stalled':
      return passes[Math.min(step.passes, passes.length - 1)];
    case 'elapsed':
      return within(elapsedMs(step, sizeBytes));
    case 'deadline':
      return policy.deadlineMs === undefined ? undefined : within(policy.deadlineMs);
    case 'no-progress':
    case 'throttled':
      return undefined;
  }
}
