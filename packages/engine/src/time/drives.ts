/**
 * Things that are worked on until they rest, each by itself: a round, then a pause that ends early when it is woken. What
 * is done to one of them is done one after the other. A round that fails is tried again.
 */
import type { Clock } from '../ports/ports.ts';

export interface DrivesDeps {
  readonly clock: Clock;
  readonly everyMs: number;
  readonly rests: (id: string) => boolean;
  readonly round: (id: string) => Promise<void>;
  readonly failed: (id: string, error: unknown) => void;
  /** It is not driven any more; never rejects. */
  readonly rested: () => Promise<void>;
}

export interface Drives {
  /** Aborts with `stop`. */
  readonly stopping: AbortSignal;
  /** Does this to it once what was begun before has ended. */
  readonly inTurn: <T>(id: string, work: () => Promise<T>) => Promise<T>;
  /** Drives it, unless it rests. Where it is driven, its next round begins at once. */
  readonly go: (id: string) => void;
  readonly wake: (id: string) => void;
  /** No round begins any more. Resolves when none is under way. */
  readonly stop: () => Promise<void>;
}

export function createDrives({ clock, everyMs, rests, round, failed, rested }: DrivesDeps): Drives {
  const stopping = new AbortController();
  const wakes = new Map<string, AbortController>();
  const driven = new Map<string, Promise<void>>();
  const turns = new Map<string, Promise<unknown>>();

  const inTurn = async <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const before = turns.get(id);
    const now = (async () => {
      await before?.catch(() => undefined);
      return work();
    })();
    turns.set(id, now);
    return now;
  };
  const drive = async (id: string): Promise<void> => {
    while (!stopping.signal.aborted && !rests(id)) {
      const wake = new AbortController();
      wakes.set(id, wake);
      await inTurn(id, () => round(id)).catch((error: unknown) => {
        if (!stopping.signal.aborted) failed(id, error);
      });
      await clock.sleep(everyMs, AbortSignal.any([stopping.signal, wake.signal])).catch(() => undefined);
    }
    wakes.delete(id);
    driven.delete(id);
    await rested();
  };
  const wake = (id: string): void => wakes.get(id)?.abort();
  return {
    stopping: stopping.signal,
    inTurn,
    wake,
    go(id) {
      wake(id);
      if (!driven.has(id) && !rests(id)) driven.set(id, drive(id));
    },
    async stop() {
      stopping.abort(new Error('the control plane stops'));
      await Promise.all(driven.values());
    },
  };
}
