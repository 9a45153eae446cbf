/** The Journal on SQLite: append-only rows with one growing number, dropped by kind and age. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openDatabase, readRow, transaction } from './database.ts';
import type { Journal, JournalEntry } from '@ferry/engine';

const defaultLimit = 1_000;
const maxSeq = Number.MAX_SAFE_INTEGER;

const schema = `
CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,
  kind TEXT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS journal_kind ON journal (kind, subject, seq);
CREATE INDEX IF NOT EXISTS journal_age ON journal (kind, at)`;

export interface SqliteJournal extends Journal {
  close(): void;
}

export function openJournal(path: string): SqliteJournal {
  const database = openDatabase({ path, schema, synchronous: 'NORMAL' });
  const insert = database.prepare('INSERT INTO journal (at, kind, subject, data) VALUES (?, ?, ?, ?)');
  const bounds = database.prepare(
    'SELECT coalesce((SELECT seq FROM journal WHERE kind = ? ORDER BY at, seq LIMIT 1), 0) AS first, ' +
      `coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0) AS last`,
  );
  const prune = database.prepare('DELETE FROM journal WHERE kind = ? AND at < ?');
  const select = (order: 'ASC' | 'DESC') =>
    database.prepare(
      'SELECT * FROM journal WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR subject = ?2) AND ' +
        `seq > ?3 AND seq < ?5 ORDER BY seq ${order} LIMIT ?4`,
    );
  const ascending = select('ASC');
  const descending = select('DESC');
  return {
    async append(entries) {
      const last = transaction(database, () => {
        let last = 0;
        for (const { at, kind, subject, data } of entries)
          last = Number(insert.run(at, kind, subject, JSON.stringify(data)).lastInsertRowid);
        return last;
      });
      // who appends much, one batch after the other, lets others have their turn
      await nextTurn();
      return last;
    },
    async read({ kind, subject, afterSeq = 0, beforeSeq = maxSeq, newestFirst = false, limit = defaultLimit }) {
      const rows = (newestFirst ? descending : ascending).all(
        kind ?? null,
        subject ?? null,
        afterSeq,
        limit,
        beforeSeq,
      );
      return rows.map((row): JournalEntry => ({
        seq: Number(row['seq']),
        at: Number(row['at']),
        kind: String(row['kind']),
        subject: String(row['subject']),
        data: readRow(`the entry ${String(row['seq'])}`, () => JSON.parse(String(row['data'])) as unknown),
      }));
    },
    async bounds(kind) {
      const row = bounds.get(kind);
      return { first: Number(row?.['first'] ?? 0), last: Number(row?.['last'] ?? 0) };
    },
    async prune(kind, before) {
      return Number(prune.run(kind, before).changes);
    },
    close: () => database.close(),
  };
}
