/** The SQLite drivers: the conformance suites, and what only files have: locks, versions, damage, a killed process. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { FerryError, vmUuid, type ErrorCode } from '@ferry/core';
import { intentConformance } from '../conformance/intents.ts';
import { journalConformance } from '../conformance/journal.ts';
import { movedClock } from '../conformance/moved-clock.ts';
import { storeFailure, transaction } from './database.ts';
import { openSqliteStores } from './index.ts';
import { openIntents } from './intents.ts';
import { openJournal } from './journal.ts';

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'ferry-sqlite-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};
const clock = movedClock();
const fails = (code: ErrorCode, path: string) => (error: unknown) =>
  error instanceof FerryError && error.code === code && error.message.includes(path);

intentConformance('sqlite', async (time) => {
  const { path } = folder();
  const store = openIntents(join(path, 'intents.sqlite'), time);
  return {
    store,
    close: async () => {
      store.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
});

journalConformance('sqlite', async () => {
  const { path } = folder();
  const journal = openJournal(join(path, 'journal.sqlite'));
  return {
    journal,
    close: async () => {
      journal.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
});

test('sqlite: the inventory is kept over a restart, per host', async () => {
  using at = folder();
  const instance = {
    uuid: vmUuid('A'),
    name: 'web',
    state: 'running',
    reason: 'booted',
    persistent: true,
    memoryBytes: 1,
    vcpus: 1,
    disks: [],
  } as const;
  const first = openSqliteStores(at.path, clock);
  await first.inventory.save('h1', { instances: [instance] });
  await first.inventory.save('h2', { instances: [] });
  await first.inventory.remove('h2');
  await first.close();
  const second = openSqliteStores(at.path, clock);
  assert.deepEqual([...(await second.inventory.load())], [['h1', { instances: [instance] }]]);
  await second.close();
});

test('sqlite: a second process is refused because the store is in use; the first goes on', async () => {
  using at = folder();
  const first = openSqliteStores(at.path, clock);
  assert.throws(() => openSqliteStores(at.path, clock), fails('store-locked', at.path));
  await first.intents.commit([{ op: 'put', key: 'a', value: 1, ifRevision: 0 }]);
  assert.equal((await first.intents.get('a'))?.value, 1);
  await first.close();
});

for (const [what, version, code] of [
  ['a newer', 99, 'store-newer'],
  ['an older', 2, 'store-older'],
] as const)
  test(`sqlite: data of ${what} version is refused and left as it is`, () => {
    using at = folder();
    const file = join(at.path, 'intents.sqlite');
    const other = new DatabaseSync(file);
    other.exec(`PRAGMA user_version = ${version}`);
    other.close();
    const before = readFileSync(file);
    assert.throws(() => openSqliteStores(at.path, clock), fails(code, `${file} has schema version ${version}`));
    assert.deepEqual(readFileSync(file), before);
  });

test('sqlite: a file that is no database is refused and left as it is', () => {
  using at = folder();
  const file = join(at.path, 'journal.sqlite');
  writeFileSync(
    file,
    'this is no database, and it is longer than a header of one hundred bytes so that it is looked at as one, which fails',
  );
  assert.throws(() => openSqliteStores(at.path, clock), fails('store-broken', file));
  assert.match(readFileSync(file, 'utf8'), /^this is no database/);
});

test('sqlite: files are for their owner only', async () => {
  using at = folder();
  const stores = openSqliteStores(at.path, clock);
  assert.equal(statSync(join(at.path, 'intents.sqlite')).mode & 0o777, 0o600);
  await stores.close();
});

test('sqlite: what was committed survives a killed process, and its lock does not', async () => {
  using at = folder();
  const code = `
    const { openSqliteStores } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
    const stores = openSqliteStores(${JSON.stringify(at.path)}, { now: () => 0, sleep: () => new Promise(() => undefined) });
    await stores.intents.commit([{ op: 'put', key: 'a', value: 'kept', ifRevision: 0 }]);
    console.log('committed');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(line.toString().trim(), 'committed');
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  const stores = openSqliteStores(at.path, clock);
  assert.equal((await stores.intents.get('a'))?.value, 'kept');
  await stores.close();
});

/** A folder with entries enough for many pages, closed again. */
async function filledFolder() {
  const at = folder();
  const stores = openSqliteStores(at.path, clock);
  for (let n = 0; n < 100; n += 1)
    await stores.intents.commit([{ op: 'put', key: `k${n}`, value: 'x'.repeat(500), ifRevision: 0 }]);
  await stores.journal.append([{ at: 1, kind: 'a', subject: 'b', data: {} }]);
  await stores.close();
  return at;
}

test('sqlite: a file that is cut off is damaged, not in use by another process, and stays as it is', async () => {
  for (const bytes of [50, 100, 4_096, 20_000]) {
    using at = await filledFolder();
    const file = join(at.path, 'intents.sqlite');
    truncateSync(file, bytes);
    assert.throws(() => openSqliteStores(at.path, clock), fails('store-broken', `${file} is cut off`), String(bytes));
    assert.equal(statSync(file).size, bytes);
  }
});

test('sqlite: intents that are missing or empty next to a journal are not created again', async () => {
  for (const lose of [(file: string) => rmSync(file), (file: string) => truncateSync(file, 0)]) {
    using at = await filledFolder();
    const file = join(at.path, 'intents.sqlite');
    lose(file);
    assert.throws(() => openSqliteStores(at.path, clock), fails('store-broken', 'are lost'));
    rmSync(join(at.path, 'journal.sqlite'));
    const anew = openSqliteStores(at.path, clock);
    assert.deepEqual((await anew.intents.list('')).entries, []);
    await anew.close();
  }
});

test('sqlite: a bad row and bad pages are reported as damage of their file, whenever they are read', async () => {
  {
    using at = await filledFolder();
    const file = join(at.path, 'intents.sqlite');
    const database = new DatabaseSync(file);
    database.exec("UPDATE intents SET value = '{' WHERE key = 'k7'");
    database.close();
    const stores = openSqliteStores(at.path, clock);
    await assert.rejects(stores.intents.get('k7'), fails('store-broken', 'the entry k7'));
    assert.equal((await stores.intents.get('k8'))?.value, 'x'.repeat(500));
    await stores.close();
  }
  using at = await filledFolder();
  const file = join(at.path, 'intents.sqlite');
  const bytes = readFileSync(file);
  bytes.fill(0xa5, bytes.length / 2);
  writeFileSync(file, bytes);
  const read = async () => {
    const stores = openSqliteStores(at.path, clock);
    try {
      await stores.intents.list('');
    } finally {
      await stores.close();
    }
  };
  await assert.rejects(read(), fails('store-broken', file));
});

test('sqlite: a report that cannot be read is left out, the others are given', async () => {
  using at = folder();
  const first = openSqliteStores(at.path, clock);
  for (const host of ['h1', 'h2']) await first.inventory.save(host, { instances: [] });
  await first.close();
  const database = new DatabaseSync(join(at.path, 'inventory.sqlite'));
  database.exec("UPDATE reports SET report = x'00' WHERE host = 'h1'");
  database.close();
  const second = openSqliteStores(at.path, clock);
  assert.deepEqual([...(await second.inventory.load()).keys()], ['h2']);
  await second.close();
});

test('a full disk has its own code, and nothing of the transaction stays', () => {
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE kept (text TEXT); PRAGMA max_page_count = 4');
  const insert = database.prepare('INSERT INTO kept VALUES (?)');
  const write = () => {
    try {
      transaction(database, () => Array.from({ length: 10 }, () => insert.run('x'.repeat(4_000))));
    } catch (error) {
      throw storeFailure('/data/intents.sqlite', error);
    }
  };
  assert.throws(write, fails('store-full', '/data/intents.sqlite'));
  assert.equal(database.prepare('SELECT count(*) AS n FROM kept').get()?.['n'], 0);
  transaction(database, () => insert.run('short'));
});
