/**
 * Virtual time, for tests and simulated fleets: it stops while there is work, and jumps to the next timer once nothing
 * is ready to run. It does not see work outside this process (a file, a socket): time jumps meanwhile.
 */
import type { Clock } from '../ports/ports.ts';

/** Turns of the event loop that are given to what is ready before time jumps. */
const turns = 4;

/** Disposal stops the time: sleepers never wake. */
export interface VirtualTime extends Pick<Clock, 'now' | 'sleep' | 'timeout'>, Disposable {}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

export function virtualTime(startMs = 1_700_000_000_000): VirtualTime {
  let now = startMs;
  const stopping = new AbortController();
  const sleepers = new Set<Sleeper>();
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
  const sleep: Clock['sleep'] = (ms, signal) =>
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
    });
  return {
    now: () => now,
    sleep,
    timeout: (ms) => {
      const late = new AbortController();
      void sleep(ms).then(() => late.abort(new DOMException(`${ms} ms have passed`, 'TimeoutError')));
      return late.signal;
    },
    [Symbol.dispose]: () => stopping.abort(),
  };
}
