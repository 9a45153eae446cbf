// A bounded queue between one producer and one consumer. Overflow rule: when `limit` items wait, new ones are dropped
// and counted, and one gap item with that count replaces them. Nothing is ever reordered, and the pusher never waits.

import { queueReader } from './queue-reader.ts';

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
  const closeGap = (): void => {
    if (dropped > 0) waiting.push(options.gap(dropped));
    dropped = 0;
  };

  const reader = queueReader<T>({
    take: () => {
      if (waiting.length === 0) closeGap();
      return waiting.shift();
    },
    over: () => failure ?? ended,
    onLeave: () => {
      ended = true;
      waiting = [];
      options.onLeave();
    },
  });

  return {
    push: (item) => {
      if (ended) return;
      if (waiting.length >= options.limit) {
        dropped += 1;
      } else {
        closeGap();
        waiting.push(item);
      }
      reader.wake();
    },
    end: (error) => {
      if (ended) return;
      ended = true;
      failure = error;
      reader.wake();
    },
    items: { [Symbol.asyncIterator]: () => reader.read() },
  };
}
