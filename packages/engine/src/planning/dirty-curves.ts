/**
 * What guests write to their memory, measured by their QEMUs and kept with its age, for the plan and for the migration
 * that follows. In this process only: it is old before a restart matters. It decides nothing.
 */
import { notMeasured, refuseMeasuring, type DirtyCurve, type DirtyReading, type Vm } from '@ferry/core';
import type { Clock, GuestPort } from '../ports/ports.ts';

/** A guest may be doing something else after this time, ms. */
const freshMs = 300_000;
/** For what the host does beside measuring, ms. */
const extraMs = 20_000;

export type MeasuredGuest = () => Pick<GuestPort, 'dirtyRate' | 'residentBytes'>;

export interface DirtyCurves {
  /** The last measurement, unless it is too old. */
  fresh(vm: Pick<Vm, 'uuid'>): DirtyCurve | undefined;
  /**
   * Takes as long as all periods together. `refused`: the host did not measure, in its words; with some of the periods
   * it is a curve all the same. Rejects where the host does not answer.
   */
  measure(
    vm: Pick<Vm, 'uuid'>,
    guest: MeasuredGuest,
    periodsSeconds: readonly number[],
    signal: AbortSignal,
  ): Promise<DirtyCurve | { readonly refused: string }>;
  /** The same, for `fresh`. */
  measureAndKeep: DirtyCurves['measure'];
  /** For an operator. Throws FerryError `vm-not-running`, `host-refused`. */
  measureNow(
    vm: Vm,
    on: { readonly name: string; readonly guest: MeasuredGuest },
    longestSeconds: number,
    signal: AbortSignal,
  ): Promise<DirtyCurve>;
}

/** 1, 2, 4 and so on, up to the longest. */
export function periodsUpTo(longestSeconds: number): readonly number[] {
  const periods: number[] = [];
  for (let seconds = 1; seconds < longestSeconds; seconds *= 2) periods.push(seconds);
  return [...periods, longestSeconds];
}

export function createDirtyCurves({ clock }: { readonly clock: Pick<Clock, 'now' | 'timeout'> }): DirtyCurves {
  const kept = new Map<string, DirtyCurve>();
  const isFresh = ({ at }: DirtyCurve): boolean => clock.now() - at < freshMs;

  const measure: DirtyCurves['measure'] = async ({ uuid }, guest, periodsSeconds, signal) => {
    const wholeMs = periodsSeconds.reduce((sum, seconds) => sum + seconds * 1_000, extraMs);
    const bounded = AbortSignal.any([signal, clock.timeout(wholeMs)]);
    const readings: DirtyReading[] = [];
    for (const seconds of periodsSeconds) {
      const measured = await guest().dirtyRate(uuid, seconds, bounded);
      if ('bytesPerSecond' in measured) readings.push({ seconds, bytesPerSecond: measured.bytesPerSecond });
      else if (readings.length === 0) return measured;
      else break;
    }
    const residentBytes = await guest().residentBytes(uuid, bounded);
    return { at: clock.now(), readings, ...(residentBytes === undefined ? {} : { residentBytes }) };
  };
  const measureAndKeep: DirtyCurves['measureAndKeep'] = async (vm, ...how) => {
    const curve = await measure(vm, ...how);
    if ('refused' in curve) return curve;
    for (const [uuid, each] of kept) if (!isFresh(each)) kept.delete(uuid);
    kept.set(vm.uuid, curve);
    return curve;
  };

  return {
    fresh({ uuid }) {
      const curve = kept.get(uuid);
      return curve !== undefined && isFresh(curve) ? curve : undefined;
    },
    measure,
    measureAndKeep,
    async measureNow(vm, { name, guest }, longestSeconds, signal) {
      refuseMeasuring(vm, name);
      const curve = await measureAndKeep(vm, guest, periodsUpTo(longestSeconds), signal);
      if ('refused' in curve) throw notMeasured(vm, name, curve.refused);
      return curve;
    },
  };
}
