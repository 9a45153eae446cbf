// A bounded queue between one producer and one consumer. Overflow rule: when `limit` items wait, new ones are dropped
// and counted, and one gap item with that count replaces them. Nothing is ever reordered, and the pusher never waits.

export interface EventQueue<T> {
  push(item: T): void;
  /** What waits is still delivered; then iteration ends, with `error` if there is one. */
  end(error?: Error): void;
  /** For one consumer. Leaving the loop early calls `onLeave` and drops the rest. */
  readonly items: AsyncIterable<T>;
}

export function createEventQueue<T>(options: {
  readonly limit: number;
  readonly gap: (dropped: number) => T;
  readonly onLeave: () => void;
}): EventQueue<T> {
  let waiting: T[] = [];
  let dropped = 0; // since the last waiting item
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  const stir = (): void => {
    const sleeper = wake;
    wake = undefined;
    sleeper?.();
  };
  const closeGap = (): void => {
    if (dropped > 0) waiting.push(options.gap(dropped));
    dropped = 0;
  };

  async function* iterate(): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const item = waiting.shift();
        if (item !== undefined) {
          yield item;
        } else if (dropped > 0) {
          closeGap();
        } else if (failure !== undefined) {
          throw failure;
        } else if (ended) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      ended = true;
      waiting = [];
      options.onLeave();
    }
  }

  return {
    push: (item) => {
      if (ended) return;
      if (waiting.length >= options.limit) {
        dropped += 1;
      } else {
        closeGap();
        waiting.push(item);
      }
      stir();
    },
    end: (error) => {
      if (ended) return;
      ended = true;
      failure = error;
      stir();
    },
    items: { [Symbol.asyncIterator]: iterate },
  };
}
