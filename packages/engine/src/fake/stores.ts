/** The stores of the engine in memory, for its tests and for simulated fleets. */
import type { Clock, JournalEntry, StoredDefinition, Stores } from '../ports/ports.ts';
import { memoryIntents, type MemoryIntentsOptions } from './intents.ts';

/** Where no lease is granted no time passes. */
const noTime: Pick<Clock, 'now' | 'sleep'> = {
  now: () => 0,
  sleep: () => Promise.reject(new Error('these stores have no clock')),
};

export function memoryStores({ clock = noTime, ...options }: Partial<MemoryIntentsOptions> = {}): Stores {
  let journal: JournalEntry[] = [];
  let last = 0;
  const definitions = new Map<string, StoredDefinition>();
  return {
    intents: memoryIntents({ clock, ...options }),
    journal: {
      async append(added) {
        for (const each of added) journal.push({ ...each, seq: (last += 1) });
        return last;
      },
      async read({ kind, subject, afterSeq = 0, beforeSeq = Infinity, newestFirst = false, limit = 1_000 }) {
        const found = journal.filter(
          (each) =>
            (kind === undefined || each.kind === kind) &&
            (subject === undefined || each.subject === subject) &&
            each.seq > afterSeq &&
            each.seq < beforeSeq,
        );
        return (newestFirst ? found.toReversed() : found).slice(0, limit);
      },
      bounds: async (kind) => ({ first: journal.find((each) => each.kind === kind)?.seq ?? 0, last }),
      async prune(kind, before) {
        const kept = journal.filter((each) => each.kind !== kind || each.at >= before);
        const dropped = journal.length - kept.length;
        journal = kept;
        return dropped;
      },
    },
    inventory: {
      save: async () => {},
      load: async () => new Map(),
      remove: async () => {},
      saveDefinition: async (definition) => void definitions.set(`${definition.uuid}/${definition.host}`, definition),
      definition: async (uuid, host) => definitions.get(`${uuid}/${host}`),
    },
    close: async () => {},
  };
}
