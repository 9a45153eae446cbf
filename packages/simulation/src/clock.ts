/**
 * The clock of a simulated fleet: virtual time, and randomness drawn from a seed, so that a run can be repeated.
 */
import { virtualTime, type Clock } from '@ferry/engine';
import { drawn } from './link.ts';

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

export interface VirtualClock extends Clock, Disposable {}

export function virtualClock({
  startMs,
  seed = 1,
}: { readonly startMs?: number; readonly seed?: number } = {}): VirtualClock {
  let draws = 0;
  const random = (limit: number): number => Math.floor(drawn(seed, (draws += 1)) * limit);
  const hex = (length: number): string => Array.from({ length }, () => random(16).toString(16)).join('');
  return {
    ...virtualTime(startMs),
    randomText: (length) => Array.from({ length }, () => letters[random(letters.length)]).join(''),
    anchor: () => ({ boot: 'virtual', offsetMs: 0 }),
    randomUuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
  };
}
