/**
 * Guards documents that others name, such as the policy that a label selects. Whoever begins to name one writes a key
 * beside it, and whoever removes it removes that key too: the two conflict, though neither changes the document of the
 * other. The key does not say who uses the document; those who remove it look.
 */
import type { IntentStore, IntentWrite } from '../ports/ports.ts';
import { collection, text, type Collection, type Stored } from './collection.ts';

export interface Users<T> {
  /** Goes into the transaction of what begins to name the document. */
  begin(document: Stored<T>): Promise<readonly IntentWrite[]>;
  /** Goes into the transaction that removes the document. Ask for it before you look who uses the document. */
  none(key: string): Promise<readonly IntentWrite[]>;
}

export function usersOf<T>(intents: IntentStore, prefix: string, documents: Collection<T>): Users<T> {
  const used = collection(intents, `users/${prefix}`, text);
  return {
    async begin({ key, revision }) {
      const before = await used.get(key);
      return [documents.check(key, revision), used.put(key, 'used', before?.revision ?? 0)];
    },
    async none(key) {
      const before = await used.get(key);
      return [before === undefined ? used.check(key, 0) : used.delete(key, before.revision)];
    },
  };
}
