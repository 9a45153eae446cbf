/**
 * The InventoryCache on SQLite: the last report of each host as one compressed document, and the last definition of
 * each VM, stored once per content. Losing the reports costs a look at the hosts; losing the definitions costs the
 * rescue of VMs whose host is dead.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzipSync, gzip, gzipSync } from 'node:zlib';
import type { InventoryCache } from '@ferry/engine';
import { openDatabase, readRow, transaction } from './database.ts';

type Report = Parameters<InventoryCache['save']>[1];

const schema = `CREATE TABLE IF NOT EXISTS reports (host TEXT PRIMARY KEY, report BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS contents (digest TEXT PRIMARY KEY, xml BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS definitions (uuid TEXT, host TEXT, at INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (uuid, host)) STRICT;
CREATE INDEX IF NOT EXISTS definitions_digest ON definitions (digest)`;

/**
 * Bytes that zlib allocates at a time for its output. Most texts here pack into less; its default of 16 KiB a text is
 * memory outside the heap, which makes V8 collect the whole heap of a large fleet again and again.
 */
const chunkSize = 2_048;
/** Instances that are encoded in one turn of the event loop: a host may have 16,384. */
const instancesAtOnce = 500;

export interface SqliteInventory extends InventoryCache {
  close(): void;
}

export function openInventory(path: string): SqliteInventory {
  const database = openDatabase({ path, schema, synchronous: 'NORMAL' });
  const put = database.prepare(
    'INSERT INTO reports VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET report = excluded.report',
  );
  const all = database.prepare('SELECT host, report FROM reports');
  const remove = database.prepare('DELETE FROM reports WHERE host = ?');
  const putContent = database.prepare('INSERT INTO contents VALUES (?, ?) ON CONFLICT (digest) DO NOTHING');
  const putDefinition = database.prepare(
    'INSERT INTO definitions VALUES (?, ?, ?, ?) ON CONFLICT (uuid, host) DO UPDATE SET at = excluded.at, digest = excluded.digest',
  );
  const oneDefinition = database.prepare(
    'SELECT at, xml FROM definitions JOIN contents USING (digest) WHERE uuid = ? AND host = ?',
  );
  const removeDefinitions = database.prepare('DELETE FROM definitions WHERE host = ?');
  const digestOf = database.prepare('SELECT digest FROM definitions WHERE uuid = ? AND host = ?');
  const digestsOf = database.prepare('SELECT DISTINCT digest FROM definitions WHERE host = ?');
  const removeUnused = database.prepare(
    'DELETE FROM contents WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM definitions WHERE digest = ?1)',
  );
  return {
    async save(host, report) {
      put.run(host, await promisify(gzip)(await encode(report), { level: 1, chunkSize }));
    },
    async load() {
      const loaded = new Map<string, Report>();
      for (const row of all.all()) {
        const report = readReport(row['report']);
        if (report !== undefined) loaded.set(String(row['host']), report);
      }
      return loaded;
    },
    async remove(host) {
      transaction(database, () => {
        remove.run(host);
        const digests = digestsOf.all(host);
        removeDefinitions.run(host);
        for (const { digest } of digests) removeUnused.run(String(digest));
      });
    },
    async saveDefinition({ uuid, host, xml, at }) {
      const digest = createHash('sha256').update(xml).digest('hex');
      const before = digestOf.get(uuid, host)?.['digest'];
      transaction(database, () => {
        if (before !== digest) putContent.run(digest, gzipSync(xml, { chunkSize }));
        putDefinition.run(uuid, host, at, digest);
        if (typeof before === 'string' && before !== digest) removeUnused.run(before);
      });
    },
    async definition(uuid, host) {
      const row = oneDefinition.get(uuid, host);
      const packed = row?.['xml'];
      if (!(packed instanceof Uint8Array)) return undefined;
      return {
        uuid,
        host,
        at: Number(row?.['at']),
        xml: readRow(`the definition of ${uuid}`, () => gunzipSync(packed).toString()),
      };
    },
    close: () => database.close(),
  };
}

/** Undefined for one that cannot be read: its host is read again. */
function readReport(packed: unknown): Report | undefined {
  try {
    return packed instanceof Uint8Array ? (JSON.parse(gunzipSync(packed).toString()) as Report) : undefined;
  } catch {
    return undefined;
  }
}

/** As JSON, piece by piece, so that nobody waits for all of it. */
async function encode({ instances, ...rest }: Report): Promise<string> {
  const pieces: string[] = [];
  for (let at = 0; at < instances.length; at += instancesAtOnce) {
    if (at > 0) await nextTurn();
    pieces.push(JSON.stringify(instances.slice(at, at + instancesAtOnce)).slice(1, -1));
  }
  return `${JSON.stringify(rest).slice(0, -1)}${Object.keys(rest).length === 0 ? '' : ','}"instances":[${pieces.join(',')}]}`;
}
