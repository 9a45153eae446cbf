/**
 * Hands events to every reader and keeps the ones worth replaying in the journal. Kept events get their number when
 * the journal has them, in order; progress between two phases is passed on without a number.
 */
import type { EngineEvent, NumberedEvent } from './facade.ts';
import type { Clock, Journal, Log } from './ports.ts';
import { boundedQueue, type Queue } from './queue.ts';

const readerLimit = 1_000;
const replayPage = 500;

export interface EventHub {
  publish(event: EngineEvent, options?: { readonly keep?: boolean }): void;
  subscribe(afterSeq: number | undefined, signal: AbortSignal): AsyncIterable<NumberedEvent>;
  /** Resolves when everything published so far is in the journal. */
  flush(): Promise<void>;
}

export function createEventHub(journal: Journal, clock: Clock, log: Log): EventHub {
  const readers = new Set<Queue<NumberedEvent>>();
  let pending: Omit<NumberedEvent, 'seq'>[] = [];
  let writing: Promise<void> | undefined;

  const deliver = (event: NumberedEvent): void => {
    for (const reader of readers) reader.push(event);
  };

  const write = async (): Promise<void> => {
    await Promise.resolve();
    while (pending.length > 0) {
      const batch = pending;
      pending = [];
      try {
        const last = await journal.append(batch.map(({ at, event }) => ({ at, kind: 'event', subject: event.type, data: event })));
        batch.forEach((each, index) => deliver({ ...each, seq: last - batch.length + 1 + index }));
      } catch (error) {
        log.error({ err: error }, 'events could not be written to the journal');
        for (const each of batch) deliver(each);
      }
    }
    writing = undefined;
  };

  async function* replay(afterSeq: number, reader: Queue<NumberedEvent>): AsyncGenerator<NumberedEvent> {
    const { first, last } = await journal.bounds();
    let seq = afterSeq;
    if (afterSeq > last || (first > 0 && afterSeq < first - 1)) {
      yield { at: clock.now(), event: { type: 'reset' } };
      seq = last;
    }
    for (;;) {
      const page = await journal.read({ kind: 'event', afterSeq: seq, limit: replayPage });
      for (const { seq: number, at, data } of page) {
        seq = number;
        yield { seq, at, event: data as EngineEvent };
      }
      if (page.length < replayPage) break;
    }
    for await (const event of reader) {
      if (event.seq === undefined || event.seq > seq) yield event;
    }
  }

  return {
    publish(event, { keep = true } = {}) {
      const numbered = { at: clock.now(), event };
      if (!keep) return deliver(numbered);
      pending.push(numbered);
      writing ??= write();
    },
    async *subscribe(afterSeq, signal) {
      const reader = boundedQueue<NumberedEvent>(readerLimit, () => ({ at: clock.now(), event: { type: 'reset' } }), signal);
      readers.add(reader);
      try {
        if (afterSeq === undefined) yield* reader;
        else yield* replay(afterSeq, reader);
      } finally {
        readers.delete(reader);
        reader.end();
      }
    },
    flush: async () => {
      await writing;
    },
  };
}
