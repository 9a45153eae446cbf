/** Work that may go on in a limited number of places at once, first come, first served. */
export interface Turns {
  /** Waits for a turn, until the signal aborts. */
  take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

export function turnsOf(atOnce: number): Turns {
  let busy = 0;
  const waiting = new Set<() => void>();
  const wait = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const stop = (): void => {
        waiting.delete(go);
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      const go = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      if (signal.aborted) return stop();
      signal.addEventListener('abort', stop, { once: true });
      waiting.add(go);
    });
  return {
    async take(work, signal) {
      if (busy < atOnce) busy += 1;
      else await wait(signal);
      try {
        return await work();
      } finally {
        // the place goes to the next one, or is free
        const [next] = waiting;
        if (next === undefined) busy -= 1;
        else {
          waiting.delete(next);
          next();
        }
      }
    },
  };
}
