/** The stores of the engine in memory, for its tests. */
import type { IntentEntry, JournalEntry, StoredDefinition, Stores } from '../ports/ports.ts';

/** `beforeCommit` may throw, as a full disk would. */
export function memoryStores(options: { readonly beforeCommit?: () => void } = {}): Stores {
  const entries = new Map<string, IntentEntry>();
  const journal: JournalEntry[] = [];
  const definitions = new Map<string, StoredDefinition>();
  let revision = 0;
  return {
    intents: {
      get: async (key) => entries.get(key),
      list: async (prefix) =>
        [...entries.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1)),
      async commit(writes) {
        options.beforeCommit?.();
        const conflict = writes
          .filter(({ key, ifRevision }) => ifRevision !== undefined && (entries.get(key)?.revision ?? 0) !== ifRevision)
          .map(({ key }) => key);
        if (conflict.length > 0) return { conflict };
        revision += 1;
        // as a store would: what is kept is a copy
        for (const write of writes) {
          if (write.op === 'put')
            entries.set(write.key, {
              key: write.key,
              value: JSON.parse(JSON.stringify(write.value)) as unknown,
              revision,
            });
          else entries.delete(write.key);
        }
        return { revision };
      },
      // eslint-disable-next-line require-yield
      async *watch() {
        throw new Error('not used by the engine yet');
      },
      lease: async () => {},
    },
    journal: {
      async append(added) {
        for (const each of added) journal.push({ ...each, seq: journal.length + 1 });
        return journal.length;
      },
      async read({ kind, subject, afterSeq = 0, newestFirst = false, limit = 1_000 }) {
        const found = journal.filter(
          (each) =>
            (kind === undefined || each.kind === kind) &&
            (subject === undefined || each.subject === subject) &&
            each.seq > afterSeq,
        );
        return (newestFirst ? found.toReversed() : found).slice(0, limit);
      },
      bounds: async () => ({ first: journal.length === 0 ? 0 : 1, last: journal.length }),
      prune: async () => 0,
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
