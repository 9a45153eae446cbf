// A connection of its own for events: registers every kind once, reads the messages, and hands each event to all
// subscribers. libvirt neither repeats nor stores events, so events are lost while nobody is registered. The order for
// a caller is: subscribe, take a snapshot, apply the queued events. Each kind has its own messages and is registered
// once for all domains: the procedure number identifies a message, and the callback id adds nothing. Events may come
// before the answer to their registration. Nobody is subscribed then, and a later snapshot covers them.
import type { CallOptions, Connection } from './connection.ts';
import { VIR_DOMAIN_EVENT_ID } from './constants.ts';
import { LibvirtError } from './errors.ts';
import { createEventQueue } from './event-queue.ts';
import type { EventQueue } from './event-queue.ts';
import { eventKinds } from './events.ts';
import type { DomainEvent, EventGap } from './events.ts';
import type { Frame } from './frame.ts';
import { procedures } from './procedures.ts';
import { XdrReader } from './xdr-bytes.ts';

const KIND_OF_PROCEDURE = new Map(eventKinds.map((kind) => [kind.procedure, kind]));

export interface EventFeed {
  readonly connection: Connection;
  subscribe(options: {
    readonly queueLimit: number;
    readonly signal: AbortSignal | undefined;
  }): AsyncIterable<DomainEvent | EventGap>;
}

/** `connect` opens the connection with the given receiver of messages. Resolves when every registration is in force. */
export async function openEventFeed(
  connect: (onMessage: (frame: Frame) => void) => Promise<Connection>,
  options: CallOptions,
): Promise<EventFeed> {
  const subscribers = new Set<EventQueue<DomainEvent | EventGap>>();
  const onMessage = (frame: Frame): void => {
    const kind = KIND_OF_PROCEDURE.get(frame.procedure);
    if (kind === undefined) return;
    const reader = new XdrReader(frame.payload);
    const event = kind.read(reader);
    reader.end();
    for (const subscriber of subscribers) subscriber.push(event);
  };

  const connection = await connect(onMessage);
  const register = async (eventId: number): Promise<void> => {
    try {
      await connection.call(procedures.connectDomainEventCallbackRegisterAny, { eventId, dom: undefined }, options);
    } catch (error) {
      // an older daemon does not know every kind; without life cycles there is nothing to follow
      if (!(error instanceof LibvirtError) || eventId === VIR_DOMAIN_EVENT_ID.LIFECYCLE) throw error;
    }
  };
  try {
    await Promise.all(eventKinds.map(({ eventId }) => register(eventId)));
  } catch (error) {
    await connection.close();
    throw error;
  }

  let end: { readonly reason: Error | undefined } | undefined;
  const endWithConnection = async (): Promise<void> => {
    const reason = await connection.closed;
    end = { reason };
    for (const subscriber of subscribers) subscriber.end(reason);
    subscribers.clear();
  };
  void endWithConnection();

  return {
    connection,
    subscribe: ({ queueLimit, signal }) => {
      const stop = (): void => {
        subscribers.delete(queue);
        queue.end();
      };
      const queue: EventQueue<DomainEvent | EventGap> = createEventQueue<DomainEvent | EventGap>({
        limit: queueLimit,
        gap: (dropped) => ({ type: 'gap', dropped }),
        onLeave: () => {
          subscribers.delete(queue);
          signal?.removeEventListener('abort', stop);
        },
      });
      if (end === undefined) subscribers.add(queue);
      else queue.end(end.reason);
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted === true) stop();
      return queue.items;
    },
  };
}
