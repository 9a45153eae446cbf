/**
 * Predictions held against what came: the error over finished migrations, and by how much the intervals have to be
 * wider. Pure: a finished migration has both, nothing else is stored. Only those count that moved and that no operator
 * changed on the way.
 */
import type { Migration } from '../model/migration.ts';
import type { Interval, Prediction, Widening } from '../model/prediction.ts';

export interface Measured {
  readonly totalMs: number;
  readonly downtimeMs?: number;
}

/** A finished migration, as far as it was predicted. */
export interface PredictionOutcome {
  readonly from: string;
  readonly to: string;
  readonly predicted: Prediction;
  readonly measured: Measured;
}

/** What was measured of that which is predicted: the transfer, until libvirt's call has ended. */
export function measuredOf({ phases, evidence, outcome, downtimeMs }: Migration): Measured | undefined {
  const begun = phases.findLast(({ phase }) => phase === 'transferring')?.at;
  const over = evidence.performEnded?.at ?? phases.findLast(({ phase }) => phase === 'verifying')?.at;
  return outcome !== 'succeeded' || begun === undefined || over === undefined || over < begun
    ? undefined
    : { totalMs: over - begun, ...(downtimeMs === undefined ? {} : { downtimeMs }) };
}

export function outcomeOf(migration: Migration): PredictionOutcome | undefined {
  const { prediction, from, to, decisions = [] } = migration;
  const measured = measuredOf(migration);
  const changed = decisions.some(({ action }) => action.do === 'note' && action.what === 'operator');
  return prediction?.totalMs === undefined || measured === undefined || to === undefined || changed
    ? undefined
    : { from: from.id, to: to.id, predicted: prediction, measured };
}

export const isWithin = ({ low, high = Infinity }: Interval, value: number): boolean => low <= value && value <= high;

/** The last of them count. */
const lastOutcomes = 50;
/** With fewer between these two hosts, those of all hosts count. */
const enoughOfPair = 5;
/** The share of them that the widened interval would have held. */
const heldShare = 0.9;
const none: Widening = { low: 1, high: 1 };

/** Newest first. Undefined: nothing has to be wider. */
export function learn(
  outcomes: readonly PredictionOutcome[],
  from: string,
  to: string,
): { readonly totalMs: Widening; readonly downtimeMs: Widening } | undefined {
  const ofPair = outcomes.filter((each) => each.from === from && each.to === to);
  const counted = (ofPair.length >= enoughOfPair ? ofPair : outcomes).slice(0, lastOutcomes);
  const [totalMs, downtimeMs] = [wideningOf(counted, 'totalMs'), wideningOf(counted, 'downtimeMs')];
  return [totalMs.low, totalMs.high, downtimeMs.low, downtimeMs.high].every((factor) => factor === 1)
    ? undefined
    : { totalMs, downtimeMs };
}

type Figure = keyof Measured;

function wideningOf(outcomes: readonly PredictionOutcome[], figure: Figure): Widening {
  const needed = outcomes.flatMap(({ predicted, measured }) => {
    const { [figure]: interval, widened: had } = predicted;
    const value = measured[figure];
    if (interval === undefined || value === undefined) return [];
    const factors = had?.[figure] ?? none;
    const { low, expected, high = Infinity } = interval;
    // a side without width says nothing of a factor
    const share = (beyond: number, width: number, factor: number): number =>
      beyond <= 0 || width <= 0 ? 0 : (beyond / width) * factor;
    return [
      {
        low: share(expected - value, expected - low, factors.low),
        high: share(value - expected, high - expected, factors.high),
      },
    ];
  });
  const held = (side: keyof Widening): number => {
    const sorted = needed.map((each) => each[side]).toSorted((a, b) => a - b);
    // of few the largest: one more would have to be held, too
    return Math.max(1, sorted[Math.min(sorted.length, Math.ceil((sorted.length + 1) * heldShare)) - 1] ?? 1);
  };
  return { low: held('low'), high: held('high') };
}

export const widened = ({ low, expected, high }: Interval, { low: below, high: above }: Widening): Interval => ({
  low: Math.max(0, expected - (expected - low) * below),
  expected,
  ...(high === undefined ? {} : { high: expected + (high - expected) * above }),
});

export interface FigureError {
  /** Finished migrations with this figure, predicted and measured. */
  readonly count: number;
  readonly medianErrorMs?: number;
  /** Of what was measured. */
  readonly medianErrorShare?: number;
  /** Of those whose interval has an upper end. */
  readonly withinShare?: number;
}

export interface PredictionStats {
  readonly totalMs: FigureError;
  readonly downtimeMs: FigureError;
}

export function statsOf(outcomes: readonly PredictionOutcome[]): PredictionStats {
  return { totalMs: errorOf(outcomes, 'totalMs'), downtimeMs: errorOf(outcomes, 'downtimeMs') };
}

function errorOf(outcomes: readonly PredictionOutcome[], figure: Figure): FigureError {
  const both = outcomes.flatMap(({ predicted: { [figure]: interval }, measured: { [figure]: value } }) =>
    interval === undefined || value === undefined
      ? []
      : [{ interval, value, error: Math.abs(interval.expected - value) }],
  );
  if (both.length === 0) return { count: 0 };
  const bounded = both.filter(({ interval: { high } }) => high !== undefined);
  return {
    count: both.length,
    medianErrorMs: median(both.map(({ error }) => error)),
    medianErrorShare: median(both.map(({ error, value }) => error / Math.max(1, value))),
    ...(bounded.length === 0
      ? {}
      : { withinShare: bounded.filter(({ interval, value }) => isWithin(interval, value)).length / bounded.length }),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}
