/** What each stream sends: events of the engine as server-sent events, and what their ids mean. */
import type { FerryEvent, ParsedOf, StreamName } from '@ferry/api';
import type { Engine, NumberedEvent } from '@ferry/engine';
import { eventId, placeOf } from './event-ids.ts';
import { encodeEvent, type ServerSentEvent } from './event-stream.ts';
import type { HandlerContext } from './handlers.ts';
import { eventJson, lightProgressJson, migrationJson } from './views.ts';

export type StreamHandlers = {
  readonly [N in StreamName]: (
    input: ParsedOf<N>,
    context: HandlerContext,
  ) => Promise<AsyncIterable<ServerSentEvent | string>>;
};

export const streamHandlers = (engine: Engine): StreamHandlers => {
  // all readers of what goes on now share an event, and its text
  const shared = (jsonOf: (numbered: NumberedEvent) => FerryEvent): ((numbered: NumberedEvent) => string) => {
    const texts = new WeakMap<NumberedEvent, string>();
    return (numbered) => {
      const known = texts.get(numbered);
      if (known !== undefined) return known;
      const { seq } = numbered;
      const data = jsonOf(numbered);
      const id = seq === undefined ? {} : { id: eventId({ run: engine.eventRun, seq }) };
      const text = encodeEvent({ ...id, event: data.type, data });
      texts.set(numbered, text);
      return text;
    };
  };
  const whole = ({ event, at }: NumberedEvent): FerryEvent => eventJson(event, at, (id) => engine.hostNameOf(id));
  const fullText = shared(whole);
  const lightText = shared((numbered) =>
    numbered.passing === true && numbered.event.type === 'migration'
      ? lightProgressJson(numbered.event.migration, numbered.at)
      : whole(numbered),
  );
  return {
    migrationWatch: async ({ params }, { signal }) => {
      // Asked first, so that an unknown migration is refused before a stream begins.
      const { id } = await engine.migration(params.migration);
      return map(engine.watchMigration(id, signal), (migration) => ({
        event: 'migration',
        data: migrationJson(migration),
      }));
    },
    eventWatch: async ({ query }, { signal, lastEventId }) => {
      const after = placeOf(lastEventId ?? query.after);
      return map(engine.events(after, signal), query.progress === 'light' ? lightText : fullText);
    },
  };
};

async function* map<T, U>(source: AsyncIterable<T>, change: (item: T) => U): AsyncGenerator<U> {
  for await (const item of source) yield change(item);
}
