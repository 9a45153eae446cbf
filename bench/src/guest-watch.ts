// A sector guest (lab/src/boot-sector.ts) seen from outside: its serial log is read every few milliseconds, and each
// look that found something new is kept with its time. From these: the rate at which the guest dirties, and the longest
// time it was silent. It asks nobody.
import { closeSync, openSync, readSync } from 'node:fs';
import { SECTOR_BYTES } from '@ferry/lab';

/** What the guest had said in all by then. Times are of `performance.now()`. */
export interface Look {
  readonly atMs: number;
  readonly beats: number;
  readonly hotMib: number;
}

export interface GuestWatch extends Disposable {
  /** Those that found something new, oldest first. */
  readonly looks: readonly Look[];
}

const LOOK_EVERY_MS = 5;

export function watchGuest(logFile: string): GuestWatch {
  const looks: Look[] = [];
  const file = openSync(logFile, 'r');
  const buffer = Buffer.alloc(65_536);
  let place = 0;
  let beats = 0;
  let hotMib = 0;
  const timer = setInterval(() => {
    const length = readSync(file, buffer, 0, buffer.length, place);
    if (length === 0) return;
    place += length;
    for (const byte of buffer.subarray(0, length)) {
      if (byte === SECTOR_BYTES.beat.charCodeAt(0)) beats += 1;
      if (byte === SECTOR_BYTES.hot.charCodeAt(0)) hotMib += 1;
    }
    looks.push({ atMs: performance.now(), beats, hotMib });
  }, LOOK_EVERY_MS);
  return {
    looks,
    [Symbol.dispose]: () => {
      clearInterval(timer);
      closeSync(file);
    },
  };
}

/**
 * The longest silence that touches the time between, ms; NaN where nothing was heard. Short of a pause it is a few
 * beats.
 */
export function longestSilenceMs(looks: readonly Look[], fromMs: number, toMs: number): number {
  let longest = Number.NaN;
  looks.forEach((look, index) => {
    const next = looks[index + 1];
    if (next === undefined || next.atMs < fromMs || look.atMs > toMs) return;
    const silent = next.atMs - look.atMs;
    if (!(silent <= longest)) longest = silent;
  });
  return longest;
}

/**
 * MiB/s of its hot set that the guest dirtied between the two; interpolated between the MiB that it reported. NaN if it
 * reported none.
 */
export function hotRate(looks: readonly Look[], fromMs: number, toMs: number): number {
  return (hotMibAt(looks, toMs) - hotMibAt(looks, fromMs)) / ((toMs - fromMs) / 1000);
}

function hotMibAt(looks: readonly Look[], atMs: number): number {
  const steps = looks.filter((look, index) => look.hotMib !== looks[index - 1]?.hotMib);
  const next = steps.findIndex((step) => step.atMs > atMs);
  const before = next === -1 ? steps.at(-1) : steps[next - 1];
  const after = next === -1 ? undefined : steps[next];
  if (before === undefined) return Number.NaN;
  if (after === undefined) return before.hotMib;
  return before.hotMib + ((atMs - before.atMs) / (after.atMs - before.atMs)) * (after.hotMib - before.hotMib);
}
