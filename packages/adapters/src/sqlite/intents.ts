/**
 * The IntentStore on SQLite: documents with one growing revision, a kept log of changes for watchers, and leases whose
 * entries vanish when they are not renewed. Expiry is applied before each access, by the clock that was given.
 */
import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import {
  encodeWrites,
  intentsPerPage,
  leaseExpired,
  nextWake,
  type Clock,
  type IntentChange,
  type IntentEntry,
  type IntentStore,
  type IntentWrite,
} from '@ferry/engine';
import { openDatabase, readRow, transaction } from './database.ts';

/** Changes kept for watchers that come back. */
const changesKept = 10_000;

const schema = `
CREATE TABLE IF NOT EXISTS intents (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease TEXT) STRICT;
CREATE TABLE IF NOT EXISTS changes (seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, key TEXT NOT NULL, value TEXT) STRICT;
CREATE INDEX IF NOT EXISTS changes_revision ON changes (revision);
DROP TABLE IF EXISTS leases;
CREATE TABLE IF NOT EXISTS granted_leases (id TEXT PRIMARY KEY, ttl_ms INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO counter VALUES (1, 0)`;

export interface SqliteIntents extends IntentStore {
  close(): void;
}

export function openIntents(path: string, clock: Pick<Clock, 'now' | 'sleep'>): SqliteIntents {
  const database: DatabaseSync = openDatabase({ path, schema, synchronous: 'FULL' });
  const statement = {
    get: database.prepare('SELECT key, value, revision FROM intents WHERE key = ?'),
    revisionOf: database.prepare('SELECT revision FROM intents WHERE key = ?'),
    list: database.prepare(
      'SELECT key, value, revision FROM intents WHERE key > ?2 AND key >= ?1 AND key < ?1 || char(1114111) ' +
        'ORDER BY key LIMIT ?3',
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
      'SELECT intents.key FROM intents JOIN granted_leases ON granted_leases.id = intents.lease ' +
        'WHERE granted_leases.expires_at <= ?',
    ),
    lease: database.prepare('SELECT ttl_ms FROM granted_leases WHERE id = ?'),
    nextExpiry: database.prepare('SELECT min(expires_at) AS at FROM granted_leases'),
    dropLeases: database.prepare('DELETE FROM granted_leases WHERE expires_at <= ?'),
    grant: database.prepare('INSERT INTO granted_leases VALUES (?, ?, ?)'),
    renew: database.prepare('UPDATE granted_leases SET expires_at = ?2 + ttl_ms WHERE id = ?1'),
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
  const revisionOf = (key: string): number => Number(statement.revisionOf.get(key)?.['revision'] ?? 0);
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
      } else if (write.op === 'delete' && Number(statement.remove.run(write.key).changes) > 0)
        statement.change.run(revision, write.key, null);
    }
    statement.setRevision.run(revision);
    statement.compact.run(changesKept);
    return revision;
  };

  /** Leases that are over go with their entries, for good: a clock that is set back revives none. */
  const expire = (): void => {
    const now = clock.now();
    const next = nextExpiry();
    if (next === undefined || next > now) return;
    const keys = statement.expired.all(now).map((row) => String(row['key']));
    transaction(database, () => {
      if (keys.length > 0) apply(keys.map((key) => ({ op: 'delete', key, ifRevision: 0 })));
      statement.dropLeases.run(now);
    });
    if (keys.length > 0) wake();
  };
  const nextExpiry = (): number | undefined => {
    const at = statement.nextExpiry.get()?.['at'];
    return at === null || at === undefined ? undefined : Number(at);
  };

  return {
    async get(key) {
      expire();
      return get(key);
    },
    async list(prefix, { after = '', limit = intentsPerPage } = {}) {
      expire();
      const size = Math.min(limit, intentsPerPage);
      const rows = statement.list.all(prefix, after, size + 1);
      const entries = rows.slice(0, size).map(entryOf);
      const last = entries.at(-1)?.key;
      const next = rows.length > size && last !== undefined ? { next: last } : {};
      return { entries, revision: currentRevision(), ...next };
    },
    async commit(writes) {
      expire();
      const encoded = encodeWrites(writes);
      const result = transaction(database, () => {
        for (const each of encoded)
          if (each.op === 'put' && each.lease !== undefined && statement.lease.get(each.lease) === undefined)
            throw leaseExpired(each.key);
        const conflict = encoded.filter(({ key, ifRevision }) => revisionOf(key) !== ifRevision).map(({ key }) => key);
        return conflict.length > 0 ? { conflict } : { revision: apply(encoded) };
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
        if (rows.length === 0) await nextWake(waiting, clock, nextExpiry(), signal);
      }
    },
    async grantLease(ttlMs) {
      expire();
      const id = randomUUID();
      statement.grant.run(id, ttlMs, clock.now() + ttlMs);
      // whoever waits, waits for this one too
      wake();
      return id;
    },
    async renewLease(id) {
      expire();
      return Number(statement.renew.run(id, clock.now()).changes) > 0;
    },
    close: () => {
      wake();
      database.close();
    },
  };
}
