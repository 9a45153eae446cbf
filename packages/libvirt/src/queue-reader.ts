// The reading end of a queue: hands out what waits, in order, and sleeps while nothing does. How much may wait, and
// what happens to more, its owner decides.

export interface QueueReader<T> {
  /** For one consumer. */
  read(): AsyncGenerator<T, void, undefined>;
  /** Something waits, or the queue is over. */
  wake(): void;
}

export function queueReader<T>(queue: {
  /** The next item; undefined while nothing waits. */
  readonly take: () => T | undefined;
  /** Asked when nothing waits: an error is thrown, true ends the reading. */
  readonly over: () => Error | boolean;
  /** Called when the reading ends, however it does. */
  readonly onLeave?: () => void;
}): QueueReader<T> {
  let sleeper: (() => void) | undefined;
  return {
    async *read() {
      try {
        for (;;) {
          const item = queue.take();
          if (item !== undefined) {
            yield item;
            continue;
          }
          const over = queue.over();
          if (over instanceof Error) throw over;
          if (over) return;
          await new Promise<void>((resolve) => {
            sleeper = resolve;
          });
        }
      } finally {
        queue.onLeave?.();
      }
    },
    wake() {
      const sleeping = sleeper;
      sleeper = undefined;
      sleeping?.();
    },
  };
}
