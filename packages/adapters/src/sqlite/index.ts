/** The three store ports on SQLite files in one folder. One process at a time: a second one is told so. */
import { join } from 'node:path';
import type { Stores } from '@ferry/engine';
import { openIntents } from './intents.ts';
import { openInventory } from './inventory.ts';
import { openJournal } from './journal.ts';

/** Throws FerryError `store-locked`, `store-newer` or `store-broken`. */
export function openSqliteStores(directory: string, clock: { now(): number }): Stores {
  const opened: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(store: T): T => {
    opened.push(store);
    return store;
  };
  const closeAll = (): void => {
    for (let store = opened.pop(); store !== undefined; store = opened.pop()) store.close();
  };
  try {
    const intents = keep(openIntents(join(directory, 'intents.sqlite'), clock));
    const journal = keep(openJournal(join(directory, 'journal.sqlite')));
    const inventory = keep(openInventory(join(directory, 'inventory.sqlite')));
    return { intents, journal, inventory, close: async () => closeAll() };
  } catch (error) {
    closeAll();
    throw error;
  }
}
