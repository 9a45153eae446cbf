/** What happens on a simulated host, for those who watch it: bounded, one item for what was lost. */
import type { HostChange } from '@ferry/engine';

const limit = 1_000;

export interface Watchers {
  tell(change: HostChange): void;
  watch(signal: AbortSignal): AsyncIterable<HostChange>;
}

export function createWatchers(): Watchers {
  const told = new Set<(change: HostChange) => void>();
  return {
    tell: (change) => {
      for (const each of told) each(change);
    },
    watch(signal) {
      let waiting: HostChange[] = [];
      let wake = (): void => {};
      const hear = (change: HostChange): void => {
        waiting = waiting.length >= limit ? [{ type: 'gap' }] : [...waiting, change];
        wake();
      };
      // from now on, and not from the first read on
      told.add(hear);
      signal.addEventListener('abort', () => wake(), { once: true });
      return (async function* () {
        try {
          while (!signal.aborted) {
            const next = waiting.shift();
            if (next !== undefined) yield next;
            else await new Promise<void>((resolve) => (wake = resolve));
          }
        } finally {
          told.delete(hear);
        }
      })();
    },
  };
}
