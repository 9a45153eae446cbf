/**
 * Opens one SQLite file for one process: owner-only, with an exclusive lock taken at once, and a schema version that a
 * newer Ferry raises. It knows no table.
 */
import { chmodSync, existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { FerryError } from '@ferry/core';

const schemaVersion = 1;

export interface OpenDatabase {
  readonly path: string;
  readonly schema: string;
  /** FULL: a commit survives a power cut. NORMAL: it survives a crash of the process. OFF: the file is a cache. */
  readonly synchronous: 'FULL' | 'NORMAL' | 'OFF';
}

/** Throws FerryError `store-newer` for a file of a newer version, without writing to it. Whatever else is wrong shows when it is opened. */
export function refuseNewer(path: string): void {
  if (!existsSync(path)) return;
  let version = 0;
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    database.close();
  } catch {
    return;
  }
  if (version > schemaVersion) throw newer(path, version);
}

const newer = (path: string, version: number): FerryError => new FerryError('store-newer', `${path} has schema version ${version}; this Ferry knows ${schemaVersion}.`);

/** Throws FerryError `store-locked`, `store-newer` or `store-broken`; none of them changes the file. */
export function openDatabase({ path, schema, synchronous }: OpenDatabase): DatabaseSync {
  const fresh = !existsSync(path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    if (fresh) chmodSync(path, 0o600);
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0;');
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    if (version > schemaVersion) throw newer(path, version);
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; BEGIN EXCLUSIVE; ${schema}; PRAGMA user_version = ${schemaVersion}; COMMIT;`);
    return database;
  } catch (error) {
    database?.close();
    throw openFailure(path, error);
  }
}

function openFailure(path: string, error: unknown): Error {
  if (error instanceof FerryError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (/locked|busy/i.test(message)) return new FerryError('store-locked', `${path} is in use by another process.`, { cause: error });
  return new FerryError('store-broken', `${path} cannot be opened: ${message}.`, { cause: error });
}

/** All or nothing. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // a full disk has SQLite roll back by itself
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
