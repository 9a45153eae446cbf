/**
 * The iterative pre-copy model: each pass sends what the guest wrote during the one before, until the rest fits into the
 * pause. Pure; times in ms, rates in bytes per second.
 */
import type { Interval } from '../model/prediction.ts';
import type { Curve } from './curve.ts';

/** Passes that are looked at: more of them are no prediction. */
const mostPasses = 1_000;

export interface PassEnd {
  readonly atMs: number;
  /** What the guest wrote during it. */
  readonly restBytes: number;
}

/** The ends of the passes up to the one whose rest fits into the budget. */
export function passesOf(bytes: number, curve: Curve, rate: number, budgetMs: number): readonly PassEnd[] {
  const ends: PassEnd[] = [];
  let rest = bytes;
  let atMs = 0;
  while (ends.length === 0 || (rest > (rate * budgetMs) / 1_000 && ends.length < mostPasses)) {
    const seconds = rest / rate;
    atMs += seconds * 1_000;
    rest = curve(seconds);
    ends.push({ atMs, restBytes: rest });
  }
  return ends;
}

/**
 * Length of the passes that leave as much as they send, at which pre-copy stays; 0 when they go on shrinking. Whole
 * ms.
 */
export function neededPauseMs(curve: Curve, rate: number, memoryBytes: number): number {
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

/** How a transfer ends. */
export interface End {
  readonly totalMs: number;
  /** The guest stands still. */
  readonly pauseMs: Required<Interval>;
}

/** The state of the devices, and the switch itself. */
const switchMs = { low: 1, expected: 30, high: 250 };
/** In the last pass QEMU sends without its limit: the rest takes a part of the pause that it was given. */
const lastPassShare = 0.15;
/** QEMU misjudges its bandwidth, and the guest goes on writing while it looks. */
const overshoot = 1.2;

/** `restMs`: what is left then, at the bandwidth of the transfer. */
export const pauseOfSwitch = (restMs: number, budgetMs: number): Required<Interval> => ({
  low: switchMs.low,
  expected: switchMs.expected + lastPassShare * restMs,
  high: switchMs.high + overshoot * Math.max(restMs, budgetMs),
});

/** The pages follow: nothing of the memory is sent while the guest stands still. */
export const pauseOfPostCopy: Required<Interval> = { ...switchMs, high: 2 * switchMs.high };

/** The guest is paused while the rest is sent at the bandwidth of the transfer. */
export const pauseOfStanding = (restMs: number): Required<Interval> => ({
  low: restMs / overshoot,
  expected: restMs + switchMs.expected,
  high: overshoot * restMs + switchMs.high,
});

/** By itself. */
export function ownEnd(passes: readonly PassEnd[], rate: number, budgetMs: number): End {
  const { atMs = 0, restBytes = 0 } = passes.at(-1) ?? {};
  const restMs = (restBytes / rate) * 1_000;
  return { totalMs: atMs + restMs, pauseMs: pauseOfSwitch(restMs, budgetMs) };
}
