/**
 * Measures what core needs to predict whether a live migration will converge. It decides nothing and never fails: what
 * cannot be measured is unknown.
 */
import {
  bandwidthInForce,
  copyTime,
  endsAnyGuest,
  limitedBytes,
  predict,
  type CopiedDisk,
  type CopyTime,
  type DirtyReading,
  type MigrationPlan,
  type MigrationRequest,
  type Prediction,
  type ResolvedPolicy,
  type Vm,
} from '@ferry/core';
import type { Clock, GuestPort } from '../ports/ports.ts';

/**
 * Two points of the curve; more would cost more than they show. One proves that a guest is too busy, and takes a
 * migration that begins a second.
 */
const periodsSeconds = { plan: [1, 3], start: [1] } as const;
/** For all of them, and for the host itself. */
const timeoutMs = 20_000;
const mib = 1_048_576;

export interface PredictedMove {
  readonly vm: Pick<Vm, 'uuid' | 'memoryBytes'>;
  readonly request: MigrationRequest;
  readonly plan: MigrationPlan;
  readonly policy: ResolvedPolicy;
}

/** `driver`: of the source; may throw. */
export async function predictConvergence(
  guest: () => Pick<GuestPort, 'dirtyRate'>,
  { vm, request, plan, policy }: PredictedMove,
  when: keyof typeof periodsSeconds,
  clock: Pick<Clock, 'timeout'>,
  signal: AbortSignal,
): Promise<Prediction> {
  const readings: DirtyReading[] = [];
  let problem: string | undefined;
  try {
    const bounded = AbortSignal.any([signal, clock.timeout(timeoutMs)]);
    for (const seconds of periodsSeconds[when]) {
      const bytesPerSecond = await guest().dirtyRate(vm.uuid, seconds, bounded);
      if (bytesPerSecond === undefined) break;
      readings.push({ seconds, bytesPerSecond });
    }
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  const { each, memory: bandwidth } = bandwidthInForce({ request, plan });
  const copied = copiedDisks(plan);
  return predict({
    readings,
    ...(problem === undefined ? {} : { problem }),
    memoryBytes: vm.memoryBytes,
    diskBytes: copied.reduce((sum, { bytes }) => sum + bytes, 0),
    // a share of the link is the memory's alone
    ...(each !== undefined ? { countedDiskBytes: limitedBytes(copied) } : {}),
    ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth * mib }),
    policy,
    mayPostCopy: plan.transfer?.postCopy === true,
  });
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

/**
 * Worth the time that measuring takes before a real migration: its policy forbids what would end any guest's, and
 * there is something to compare with.
 */
export const isWorthPredicting = ({ request, plan, policy }: Omit<PredictedMove, 'vm'>): boolean =>
  copiesLive(plan) && bandwidthInForce({ request, plan }).memory !== undefined && !endsAnyGuest(policy);
