/** The three store ports on SQLite files in one folder. One process at a time: a second one is refused. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FerryError } from '@ferry/core';
import type { Clock, Stores } from '@ferry/engine';
import { hasRows, lookAtDatabase, reportingFailures } from './database.ts';
import { openIntents } from './intents.ts';
import { openInventory } from './inventory.ts';
import { openJournal } from './journal.ts';

const files = ['intents.sqlite', 'journal.sqlite', 'inventory.sqlite'] as const;

/** Throws FerryError `store-locked`, `store-newer`, `store-older` or `store-broken`. */
export function openSqliteStores(directory: string, clock: Pick<Clock, 'now' | 'sleep'>): Stores {
  const opened: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(store: T): T => {
    opened.push(store);
    return store;
  };
  const closeAll = (): void => {
    for (let store = opened.pop(); store !== undefined; store = opened.pop()) store.close();
  };
  try {
    // all are checked before the first is opened for writing: a refusal changes nothing
    for (const file of files) lookAtDatabase(join(directory, file));
    const [intentsFile, journalFile, inventoryFile] = files.map((file) => join(directory, file)) as [
      string,
      string,
      string,
    ];
    refuseLostIntents(intentsFile, journalFile);
    const intents = reportingFailures(intentsFile, keep(openIntents(intentsFile, clock)));
    const journal = reportingFailures(journalFile, keep(openJournal(journalFile)));
    const inventory = reportingFailures(inventoryFile, keep(openInventory(inventoryFile)));
    return { intents, journal, inventory, close: async () => closeAll() };
  } catch (error) {
    closeAll();
    throw error;
  }
}

/**
 * A journal is written only once there are intents: without them the hosts and running migrations that Ferry knew
 * would be forgotten without a word.
 */
function refuseLostIntents(intents: string, journal: string): void {
  const there = existsSync(intents);
  if ((there && statSync(intents).size > 0) || !hasRows(journal, 'journal')) return;
  throw new FerryError(
    'store-broken',
    `${intents} is ${there ? 'empty' : 'missing'}, and ${journal} beside it is not: the hosts and ` +
      'migrations that Ferry knew are lost. To start empty on purpose, move the journal away too.',
  );
}
