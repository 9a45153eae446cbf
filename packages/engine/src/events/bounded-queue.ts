/**
 * A bounded queue between one producer and one consumer that reads it as an AsyncIterable. When the consumer falls
 * `limit` items behind, what is queued is dropped and it gets one overflow item instead, made of what was dropped;
 * the producer never waits.
 */
export interface Queue<T> extends AsyncIterable<T> {
  push(item: T): void;
  end(): void;
}

export function boundedQueue<T>(limit: number, overflow: (dropped: readonly T[]) => T, signal?: AbortSignal): Queue<T> {
  let items: T[] = [];
  let ended = false;
  let wake: (() => void) | undefined;
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  const end = (): void => {
    ended = true;
    notify();
  };
  signal?.addEventListener('abort', end, { once: true });
  return {
    push(item) {
      if (ended) return;
      if (items.length >= limit) items = [overflow([...items, item])];
      else items.push(item);
      notify();
    },
    end,
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const next = items.shift();
          if (next !== undefined) yield next;
          else if (ended || signal?.aborted === true) return;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        ended = true;
        items = [];
        signal?.removeEventListener('abort', end);
      }
    },
  };
}
