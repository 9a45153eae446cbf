/** The three store ports on SQLite files in one folder. One process at a time: a second one is told so. */
import { join } from 'node:path';
import type { Stores } from '@ferry/engine';
import { refuseNewer } from './database.ts';
import { openIntents } from './intents.ts';
import { openInventory } from './inventory.ts';
import { openJournal } from './journal.ts';

const files = ['intents.sqlite', 'journal.sqlite', 'inventory.sqlite'] as const;

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
    // all are looked at before the first is opened for writing: a refusal leaves everything as it is
    for (const file of files) refuseNewer(join(directory, file));
    const [intentsFile, journalFile, inventoryFile] = files;
    const intents = keep(openIntents(join(directory, intentsFile), clock));
    const journal = keep(openJournal(join(directory, journalFile)));
    const inventory = keep(openInventory(join(directory, inventoryFile)));
    return { intents, journal, inventory, close: async () => closeAll() };
  } catch (error) {
    closeAll();
    throw error;
  }
}
