/** A clock that only moves when a test moves it, also backwards. */
import type { Clock } from '@ferry/engine';

export interface MovedClock extends Pick<Clock, 'now' | 'sleep'> {
  advance(ms: number): void;
}

export function movedClock(): MovedClock {
  let now = 0;
  const sleepers = new Set<{ readonly due: number; readonly wake: () => void }>();
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { due: now + ms, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper);
          reject(new Error('aborted'));
        });
      }),
    advance(ms) {
      now += ms;
      for (const sleeper of [...sleepers].filter(({ due }) => due <= now)) {
        sleepers.delete(sleeper);
        sleeper.wake();
      }
    },
  };
}
