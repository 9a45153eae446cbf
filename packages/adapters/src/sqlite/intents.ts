/**
 * The IntentStore on SQLite: documents with one growing revision, a kept log of changes for watchers, and leases whose
 * entries vanish when they are not renewed. Expiry is applied before each access, by the clock that was given.
 */
import type { DatabaseSync } from 'node:sqlite';
import { FerryError } from '@ferry/core';
import type { IntentChange, IntentEntry, IntentStore, IntentWrite } from '@ferry/engine';
import { openDatabase, readRow, transaction } from './database.ts';

const maxWrites = 64;
const maxValueBytes = 256 * 1024;
/** Changes kept for watchers that come back. */
const changesKept = 10_000;

const schema = `
CREATE TABLE IF NOT EXISTS intents (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease TEXT) STRICT;
CREATE TABLE IF NOT EXISTS changes (seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, key TEXT NOT NULL, value TEXT) STRICT;
CREATE TABLE IF NOT EXISTS leases (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO counter VALUES (1, 0)`;

export interface SqliteIntents extends IntentStore {
  close(): void;
}

export function openIntents(path: string, clock: { now(): number }): SqliteIntents {
  const database: DatabaseSync = openDatabase({ path, schema, synchronous: 'FULL' });
  const statement = {
    get: database.prepare('SELECT key, value, revision FROM intents WHERE key = ?'),
    list: database.prepare(
      'SELECT key, value, revision FROM intents WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key',
    ),
    put: database.prepare(
      'INSERT INTO intents VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, ' +
        'revision = excluded.revision, lease = excluded.lease',
    ),
    remove: database.prepare('DELETE FROM intents WHERE key = ?'),
    revision: database.prepare('SELECT revision FROM counter'),
    setRevision: database.prepare('UPDATE counter SET revision = ?'),
    change: database.prepare('INSERT INTO changes (revision, key, value) VALUES (?, ?, ?)'),
    compact: database.prepare('DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?'),
    changes: database.prepare(
      'SELECT revision, key, value FROM changes WHERE revision > ?1 AND revision <= (SELECT ' +
        'max(revision) FROM (SELECT revision FROM changes WHERE revision > ?1 ORDER BY seq LIMIT 1000)) ' +
        'ORDER BY seq',
    ),
    oldest: database.prepare('SELECT min(revision) AS revision FROM changes'),
    expired: database.prepare(
      'SELECT intents.key FROM intents JOIN leases ON leases.id = intents.lease WHERE leases.expires_at <= ?',
    ),
    dropLeases: database.prepare('DELETE FROM leases WHERE expires_at <= ?'),
    lease: database.prepare(
      'INSERT INTO leases VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at',
    ),
  };
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const each of waiting) each();
    waiting.clear();
  };
  const entryOf = (row: Record<string, unknown>): IntentEntry => ({
    key: String(row['key']),
    value: readRow(`the entry ${String(row['key'])}`, () => JSON.parse(String(row['value'])) as unknown),
    revision: Number(row['revision']),
  });
  const currentRevision = (): number => Number(statement.revision.get()?.['revision'] ?? 0);
  const get = (key: string): IntentEntry | undefined => {
    const row = statement.get.get(key);
    return row === undefined ? undefined : entryOf(row);
  };

  const apply = (writes: readonly (IntentWrite & { readonly text?: string })[]): number => {
    const revision = currentRevision() + 1;
    for (const write of writes) {
      if (write.op === 'put') {
        statement.put.run(write.key, write.text ?? '', revision, write.lease ?? null);
        statement.change.run(revision, write.key, write.text ?? '');
      } else if (Number(statement.remove.run(write.key).changes) > 0) statement.change.run(revision, write.key, null);
    }
    statement.setRevision.run(revision);
    statement.compact.run(changesKept);
    return revision;
  };

  const expire = (): void => {
    const now = clock.now();
    const keys = statement.expired.all(now).map((row) => String(row['key']));
    if (keys.length === 0) return;
    transaction(database, () => {
      apply(keys.map((key) => ({ op: 'delete', key })));
      statement.dropLeases.run(now);
    });
    wake();
  };

  return {
    async get(key) {
      expire();
      return get(key);
    },
    async list(prefix) {
      expire();
      return statement.list.all(prefix).map(entryOf);
    },
    async commit(writes) {
      expire();
      if (writes.length > maxWrites)
        throw new FerryError('request-invalid', `A transaction has ${writes.length} writes; ${maxWrites} is the most.`);
      const prepared = writes.map((write) =>
        write.op === 'put' ? { ...write, text: encode(write.key, write.value) } : write,
      );
      const result = transaction(database, () => {
        const conflict = prepared
          .filter(({ key, ifRevision }) => ifRevision !== undefined && (get(key)?.revision ?? 0) !== ifRevision)
          .map(({ key }) => key);
        return conflict.length > 0 ? { conflict } : { revision: apply(prepared) };
      });
      wake();
      return result;
    },
    async *watch(prefix, afterRevision, signal): AsyncGenerator<IntentChange> {
      let seen = afterRevision;
      while (!signal.aborted) {
        expire();
        const oldest = statement.oldest.get()?.['revision'];
        const revision = currentRevision();
        if (seen < revision && (oldest === null || oldest === undefined || seen + 1 < Number(oldest))) {
          seen = revision;
          yield { type: 'compacted', revision };
          continue;
        }
        const rows = statement.changes.all(seen);
        for (const row of rows) {
          const key = String(row['key']);
          if (key.startsWith(prefix)) {
            const at = Number(row['revision']);
            yield row['value'] === null ? { type: 'delete', key, revision: at } : { type: 'put', entry: entryOf(row) };
            if (signal.aborted) return;
          }
        }
        const last = rows.at(-1);
        seen = last === undefined ? seen : Number(last['revision']);
        if (rows.length === 0) await nextWrite(waiting, signal);
      }
    },
    async lease(id, ttlMs) {
      expire();
      statement.lease.run(id, clock.now() + ttlMs);
    },
    close: () => {
      wake();
      database.close();
    },
  };
}

const nextWrite = (waiting: Set<() => void>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      waiting.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    waiting.add(done);
    signal.addEventListener('abort', done, { once: true });
  });

function encode(key: string, value: unknown): string {
  const text = JSON.stringify(value);
  if (text === undefined) throw new FerryError('request-invalid', `The value of ${key} is no JSON.`);
  if (Buffer.byteLength(text) > maxValueBytes)
    throw new FerryError('request-invalid', `The value of ${key} is larger than ${maxValueBytes} bytes.`);
  return text;
}
