/**
 * Gets what core needs to predict a live migration: what the guest was measured to write, and how earlier predictions
 * ended. It decides nothing and never fails: what cannot be measured is unknown.
 */
import {
  bandwidthInForce,
  copyTime,
  endsAnyGuest,
  learn,
  limitedBytes,
  predict,
  type CopiedDisk,
  type CopyTime,
  type DirtyCurve,
  type HostId,
  type MigrationPlan,
  type MigrationRequest,
  type Prediction,
  type PredictionOutcome,
  type ResolvedPolicy,
  type Vm,
} from '@ferry/core';
import type { Clock } from '../ports/ports.ts';
import { periodsUpTo, type DirtyCurves, type MeasuredGuest } from './dirty-curves.ts';

/** The longest period of a plan. */
const longestSeconds = 4;
/** One proves that a guest is too busy, and takes a migration that begins a second. */
const atStart = [1];
const mib = 1_048_576;

export interface PredictedMove {
  readonly vm: Pick<Vm, 'uuid' | 'memoryBytes'>;
  readonly from: HostId;
  readonly to: HostId;
  readonly request: MigrationRequest;
  readonly plan: MigrationPlan;
  readonly policy: ResolvedPolicy;
}

export interface Predicting {
  readonly clock: Pick<Clock, 'now'>;
  readonly curves: Pick<DirtyCurves, 'fresh' | 'measure' | 'measureAndKeep'>;
  /** Predictions and what became of them, newest first. */
  readonly outcomes: () => Promise<readonly PredictionOutcome[]>;
}

type Figures = { readonly curve?: DirtyCurve; readonly problem?: string };

async function figuresOf(
  { curves }: Predicting,
  { vm }: PredictedMove,
  measure: () => ReturnType<DirtyCurves['measure']>,
): Promise<Figures> {
  const fresh = curves.fresh(vm);
  if (fresh !== undefined) return { curve: fresh };
  try {
    const measured = await measure();
    return 'refused' in measured
      ? { problem: `the host cannot measure what the guest writes: ${measured.refused}` }
      : { curve: measured };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** Of a plan. `guest`: of the source; may throw. */
export async function predictConvergence(
  deps: Predicting,
  guest: MeasuredGuest,
  move: PredictedMove,
  signal: AbortSignal,
): Promise<Prediction> {
  const measure = () => deps.curves.measureAndKeep(move.vm, guest, periodsUpTo(longestSeconds), signal);
  return predictionOf(deps, move, await figuresOf(deps, move, measure));
}

/**
 * Of a migration that begins: from what is known, or from a short measurement where its policy forbids what would end
 * any guest's. Undefined: it is worth no time, or there is no bandwidth to compare with.
 */
export async function predictAtStart(
  deps: Predicting,
  guest: MeasuredGuest,
  move: PredictedMove,
  signal: AbortSignal,
): Promise<Prediction | undefined> {
  if (!copiesLive(move.plan) || bandwidthInForce(move).memory === undefined) return undefined;
  if (deps.curves.fresh(move.vm) === undefined && endsAnyGuest(move.policy)) return undefined;
  const measure = () => deps.curves.measure(move.vm, guest, atStart, signal);
  return predictionOf(deps, move, await figuresOf(deps, move, measure));
}

async function predictionOf(
  { clock, outcomes }: Predicting,
  { vm, from, to, request, plan, policy }: PredictedMove,
  figures: Figures,
): Promise<Prediction> {
  const { each, memory: bandwidth } = bandwidthInForce({ request, plan });
  const copied = copiedDisks(plan);
  const widening = learn(await outcomes(), from, to);
  return predict(
    {
      ...figures,
      memoryBytes: vm.memoryBytes,
      diskBytes: copied.reduce((sum, { bytes }) => sum + bytes, 0),
      // a share of the link is the memory's alone
      ...(each !== undefined ? { countedDiskBytes: limitedBytes(copied) } : {}),
      ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth * mib }),
      policy,
      mayPostCopy: plan.transfer?.postCopy === true,
      ...(widening === undefined ? {} : { widening }),
    },
    clock.now(),
  );
}

const copiedDisks = ({ disks }: MigrationPlan): readonly CopiedDisk[] =>
  disks
    .filter(({ how }) => how === 'copy')
    .map(({ capacityBytes, allocationBytes = 0 }) => ({
      bytes: allocationBytes,
      countedBytes: capacityBytes ?? allocationBytes,
    }));

/** Of a move whose guest does not run; undefined if nothing is copied. `linksMbit`: of both hosts, where known. */
export function predictCopyTime(
  { request, plan }: Pick<PredictedMove, 'request' | 'plan'>,
  linksMbit: readonly (number | undefined)[],
): CopyTime | undefined {
  const { each: limit } = bandwidthInForce({ request, plan });
  const known = linksMbit.flatMap((mbit) => mbit ?? []);
  return copyTime(plan.how === 'helper' ? copiedDisks(plan) : [], {
    limit: limit === undefined ? undefined : limit * mib,
    link: known.length < linksMbit.length ? undefined : (Math.min(...known) * 1_000_000) / 8,
  });
}

/** A guest runs while its memory is copied. */
export const copiesLive = ({ how, live }: MigrationPlan): boolean => how === 'guest' && live;
