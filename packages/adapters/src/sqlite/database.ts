/**
 * Opens one SQLite file for one process: owner-only, with an exclusive lock taken at once, and the schema version of this
 * Ferry. It knows no table.
 */
import { chmodSync, closeSync, existsSync, lstatSync, openSync, readSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { FerryError } from '@ferry/core';

/** Raised with every change of what is stored: files of another version are refused. */
const schemaVersion = 3;

export interface OpenDatabase {
  readonly path: string;
  readonly schema: string;
  /** FULL: a commit survives a power cut. NORMAL: it survives a crash of the process. OFF: the file is a cache. */
  readonly synchronous: 'FULL' | 'NORMAL' | 'OFF';
}

/** Bytes of SQLite's file header, which has the page size and the number of pages (SQLite's file format, 1.3). */
const headerBytes = 100;

/**
 * Throws FerryError `store-newer` or `store-older` for a file of another version and `store-broken` for one that is no
 * whole file, without writing to it. Whatever else is wrong shows when it is opened.
 */
export function lookAtDatabase(path: string): void {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isFile()) throw new FerryError('store-broken', `${path} is not a regular file.`);
  // SQLite itself takes such a file for one that another process is at work on
  if (isCutOff(path))
    throw new FerryError('store-broken', `${path} is cut off: it is shorter than its own header says.`);
  let version = 0;
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    database.close();
  } catch {
    return;
  }
  refuseOtherVersion(path, version);
}

function isCutOff(path: string): boolean {
  const { size } = statSync(path);
  const log = `${path}-wal`;
  if (size === 0 || (existsSync(log) && statSync(log).size > 0)) return false;
  const header = Buffer.alloc(headerBytes);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, header, 0, headerBytes, 0) < headerBytes) return true;
  } finally {
    closeSync(file);
  }
  const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
  return header.toString('latin1', 0, 15) === 'SQLite format 3' && size < pageBytes * header.readUInt32BE(28);
}

/** Whether the table of this file has a row; false for a file that is not there or cannot be read. */
export function hasRows(path: string, tableName: string): boolean {
  if (!existsSync(path)) return false;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    return database.prepare(`SELECT 1 AS one FROM ${tableName} LIMIT 1`).get() !== undefined;
  } catch {
    return false;
  } finally {
    database?.close();
  }
}

/** A file that nobody has written to yet has version 0. */
function refuseOtherVersion(path: string, version: number): void {
  if (version === 0 || version === schemaVersion) return;
  throw new FerryError(
    version > schemaVersion ? 'store-newer' : 'store-older',
    `${path} has schema version ${version}, and this Ferry needs ${schemaVersion}.`,
  );
}

/** Throws FerryError `store-locked`, `store-newer`, `store-older` or `store-broken`; none of them changes the file. */
export function openDatabase({ path, schema, synchronous }: OpenDatabase): DatabaseSync {
  const fresh = !existsSync(path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    if (fresh) chmodSync(path, 0o600);
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0;');
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    refuseOtherVersion(path, version);
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; BEGIN EXCLUSIVE; ${schema}; ` +
        `PRAGMA user_version = ${schemaVersion}; COMMIT;`,
    );
    return database;
  } catch (error) {
    database?.close();
    throw storeFailure(path, error);
  }
}

/** SQLite's result codes (sqlite3.h); the extended ones have them in their lowest byte. */
const SQLITE = { BUSY: 5, LOCKED: 6, READONLY: 8, FULL: 13 } as const;

/** What is wrong with the store when SQLite refuses. Anything else that was thrown stays what it is. */
export function storeFailure(path: string, error: unknown): unknown {
  if (error instanceof UnreadableRowError)
    return new FerryError('store-broken', `${path} is damaged: ${error.message}.`, { cause: error });
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error;
  switch (error.errcode & 0xff) {
    case SQLITE.BUSY:
    case SQLITE.LOCKED:
      return new FerryError('store-locked', `${path} is in use by another process.`, { cause: error });
    case SQLITE.FULL:
      return new FerryError('store-full', `${path} cannot be written: its disk is full.`, { cause: error });
    default:
      return new FerryError('store-broken', `${path} cannot be used: ${error.message}.`, { cause: error });
  }
}

/** A row that SQLite gives out and that is not what was written. */
class UnreadableRowError extends Error {
  override readonly name = 'UnreadableRowError';
}

/** The result of `read` for a row. If it throws, `storeFailure` reports `store-broken`. */
export function readRow<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UnreadableRowError(`${what} is not readable`, { cause: error });
  }
}

/** The same store, with each failure reported by its own code. */
export function reportingFailures<T extends object>(path: string, store: T): T {
  const report = (error: unknown): never => {
    throw storeFailure(path, error);
  };
  const wrapped = Object.entries(store).map(([name, method]: [string, unknown]) => {
    if (typeof method !== 'function') return [name, method];
    return [
      name,
      (...args: unknown[]): unknown => {
        const outcome: unknown = method.apply(store, args);
        return outcome instanceof Promise ? outcome.catch(report) : outcome;
      },
    ];
  });
  return Object.fromEntries(wrapped) as T;
}

/** All or nothing. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite rolls back on its own when the disk is full
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
