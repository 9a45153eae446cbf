/**
 * Virtual time: it stands still while there is work, and jumps to the next thing due once nothing is ready to run. Randomness is drawn from a
 * seed, so that a run can be repeated.
 */
import type { Clock } from '@ferry/engine';
import { drawn } from './link.ts';

/** Turns of the event loop that are given to what is ready before time jumps. */
const turns = 4;
const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

export interface VirtualClock extends Clock, Disposable {}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

export function virtualClock({ startMs = 1_700_000_000_000, seed = 1 }: { readonly startMs?: number; readonly seed?: number } = {}): VirtualClock {
  let now = startMs;
  const stopping = new AbortController();
  let draws = 0;
  const sleepers = new Set<Sleeper>();
  const random = (limit: number): number => Math.floor(drawn(seed, (draws += 1)) * limit);
  const hex = (length: number): string => Array.from({ length }, () => random(16).toString(16)).join('');
  const drive = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      const [next] = [...sleepers].sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) continue;
      now = Math.max(now, next.dueMs);
      next.wake();
    }
  };
  void drive();
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const stop = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
        };
        const sleeper: Sleeper = {
          dueMs: now + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', stop);
            resolve();
          },
        };
        if (signal?.aborted === true) return stop();
        signal?.addEventListener('abort', stop, { once: true });
        sleepers.add(sleeper);
      }),
    randomText: (length) => Array.from({ length }, () => letters[random(letters.length)]).join(''),
    randomUuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
    [Symbol.dispose]: () => stopping.abort(),
  };
}
