/** The InventoryCache on SQLite: the last report of each host as one compressed document. Losing it costs a look at the hosts. */
import { gunzipSync, gzipSync } from 'node:zlib';
import type { InventoryCache } from '@ferry/engine';
import { openDatabase } from './database.ts';

type Report = Parameters<InventoryCache['save']>[1];

const schema = 'CREATE TABLE IF NOT EXISTS reports (host TEXT PRIMARY KEY, report BLOB NOT NULL) STRICT';

export interface SqliteInventory extends InventoryCache {
  close(): void;
}

export function openInventory(path: string): SqliteInventory {
  const database = openDatabase({ path, schema, synchronous: 'OFF' });
  const put = database.prepare('INSERT INTO reports VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET report = excluded.report');
  const all = database.prepare('SELECT host, report FROM reports');
  const remove = database.prepare('DELETE FROM reports WHERE host = ?');
  return {
    async save(host, report) {
      put.run(host, gzipSync(JSON.stringify(report), { level: 1 }));
    },
    async load() {
      const loaded = new Map<string, Report>();
      for (const row of all.all()) {
        const { report } = row;
        if (report instanceof Uint8Array) loaded.set(String(row['host']), JSON.parse(gunzipSync(report).toString()) as Report);
      }
      return loaded;
    },
    async remove(host) {
      remove.run(host);
    },
    close: () => database.close(),
  };
}
