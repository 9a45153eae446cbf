/**
 * Hands events to every reader and keeps the ones worth replaying in the journal. Kept events get their number when
 * the journal has them, in order; progress between two phases is passed on without a number. Where events were lost to
 * the journal, it gets a reset in their place.
 */
import type { Clock, Journal, Log } from '../ports/ports.ts';
import { boundedQueue, type Queue } from './bounded-queue.ts';
import type { EngineEvent, EventPlace, NumberedEvent } from './events.ts';

/** What waits for a reader is shared by all of them. */
const readerLimit = 4_096;
const replayPage = 500;
const runLength = 8;
const reset: EngineEvent = { type: 'reset' };
/** Events that are written to the journal in one go. */
const writtenAtOnce = 128;

/** Stands in a reader's queue for what was dropped: it goes on from the journal, after this number. */
interface Missed {
  readonly missedAfter: number;
}

export interface EventHub {
  publish(event: EngineEvent, options?: { readonly keep?: boolean }): void;
  /** Where the stream is now: all that is published from here on comes after it. */
  place(): Promise<Required<EventPlace>>;
  /** Text that tells this run of Ferry from others. */
  readonly run: string;
  subscribe(after: EventPlace | undefined, signal: AbortSignal): AsyncIterable<NumberedEvent>;
  /** Resolves when everything published so far is in the journal. */
  flush(): Promise<void>;
}

export function createEventHub(journal: Journal, clock: Clock, log: Log): EventHub {
  const readers = new Set<Queue<NumberedEvent | Missed>>();
  const pending: Omit<NumberedEvent, 'seq'>[] = [];
  let writing: Promise<void> | undefined;
  const run = clock.randomText(runLength);
  /** Events were published that the journal does not have. */
  let lost = false;

  const deliver = (event: NumberedEvent): void => {
    for (const reader of readers) reader.push(event);
  };

  const write = async (): Promise<void> => {
    await Promise.resolve();
    while (pending.length > 0) {
      const batch = pending.splice(0, writtenAtOnce);
      try {
        const written = lost ? [{ at: clock.now(), event: reset }, ...batch] : batch;
        const last = await journal.append(
          written.map(({ at, event }) => ({ at, kind: 'event', subject: event.type, data: event })),
        );
        lost = false;
        batch.forEach((each, index) => deliver({ ...each, seq: last - batch.length + 1 + index }));
      } catch (error) {
        log.error({ err: error }, 'events could not be written to the journal');
        lost = true;
        for (const each of batch) deliver(each);
      }
    }
    writing = undefined;
  };

  /** What is kept after this number; its result is the number of the last. */
  async function* fromJournal(afterSeq: number): AsyncGenerator<NumberedEvent, number> {
    const { first, last } = await journal.bounds('event');
    let seq = afterSeq;
    // with no event kept, those between may have been pruned
    const isPruned = first > 0 ? afterSeq < first - 1 : afterSeq > 0 && afterSeq < last;
    if (afterSeq > last || isPruned) {
      yield { at: clock.now(), event: reset };
      seq = last;
    } else if (lost) yield { at: clock.now(), event: reset };
    for (;;) {
      const page = await journal.read({ kind: 'event', afterSeq: seq, limit: replayPage });
      for (const { seq: number, at, data } of page) {
        seq = number;
        yield { seq, at, event: data as EngineEvent };
      }
      if (page.length < replayPage) return seq;
    }
  }

  /** Progress is not kept and soon replaced; where nothing dropped has a number, the reader has to look itself. */
  const missed = (dropped: readonly (NumberedEvent | Missed)[]): NumberedEvent | Missed => {
    for (const each of dropped) {
      if ('missedAfter' in each) return each;
      if (each.seq !== undefined) return { missedAfter: each.seq - 1 };
    }
    return { at: clock.now(), event: reset };
  };
  async function* resume({ run: of = run, seq }: EventPlace): AsyncGenerator<NumberedEvent, number> {
    if (of === run) return yield* fromJournal(seq);
    const { last } = await journal.bounds('event');
    yield { at: clock.now(), event: reset };
    return last;
  }

  return {
    publish(event, { keep = true } = {}) {
      const at = clock.now();
      if (!keep) return deliver({ passing: true, at, event });
      pending.push({ at, event });
      writing ??= write();
    },
    run,
    place: async () => ({ run, seq: (await journal.bounds('event')).last }),
    async *subscribe(after, signal) {
      const reader = boundedQueue<NumberedEvent | Missed>(readerLimit, missed, signal);
      readers.add(reader);
      try {
        let seq = after === undefined ? 0 : yield* resume(after);
        for await (const each of reader) {
          if ('missedAfter' in each) seq = yield* fromJournal(Math.max(seq, each.missedAfter));
          else if (each.seq === undefined) yield each;
          else if (each.seq > seq) {
            ({ seq } = each);
            yield each;
          }
        }
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
