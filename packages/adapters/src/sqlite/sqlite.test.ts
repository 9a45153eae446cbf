/** The SQLite drivers: the conformance suites, and what only files have: locks, versions, damage, a killed process. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { FerryError, vmUuid, type ErrorCode } from '@ferry/core';
import { intentConformance } from '../conformance/intents.ts';
import { journalConformance } from '../conformance/journal.ts';
import { transaction } from './database.ts';
import { openSqliteStores } from './index.ts';
import { openIntents } from './intents.ts';
import { openJournal } from './journal.ts';

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'ferry-sqlite-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};
const clock = { now: () => 0 };
const fails = (code: ErrorCode, path: string) => (error: unknown) => error instanceof FerryError && error.code === code && error.message.includes(path);

intentConformance('sqlite', async () => {
  const { path } = folder();
  let now = 0;
  const store = openIntents(join(path, 'intents.sqlite'), { now: () => now });
  return {
    store,
    advance: (ms) => void (now += ms),
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
  const instance = { uuid: vmUuid('A'), name: 'web', state: 'running', reason: 'booted', persistent: true, memoryBytes: 1, vcpus: 1, disks: [] } as const;
  const first = openSqliteStores(at.path, clock);
  await first.inventory.save('h1', { instances: [instance] });
  await first.inventory.save('h2', { instances: [] });
  await first.inventory.remove('h2');
  await first.close();
  const second = openSqliteStores(at.path, clock);
  assert.deepEqual([...(await second.inventory.load())], [['h1', { instances: [instance] }]]);
  await second.close();
});

test('sqlite: a second opener is told that the store is in use; the first goes on', async () => {
  using at = folder();
  const first = openSqliteStores(at.path, clock);
  assert.throws(() => openSqliteStores(at.path, clock), fails('store-locked', at.path));
  await first.intents.commit([{ op: 'put', key: 'a', value: 1 }]);
  assert.equal((await first.intents.get('a'))?.value, 1);
  await first.close();
});

test('sqlite: data of a newer version is refused and left as it is', () => {
  using at = folder();
  const file = join(at.path, 'intents.sqlite');
  const newer = new DatabaseSync(file);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  const before = readFileSync(file);
  assert.throws(() => openSqliteStores(at.path, clock), fails('store-newer', file));
  assert.deepEqual(readFileSync(file), before);
});

test('sqlite: a file that is no database is refused and left as it is', () => {
  using at = folder();
  const file = join(at.path, 'journal.sqlite');
  writeFileSync(file, 'this is no database, and it is longer than a header of one hundred bytes so that it is looked at as one, which fails');
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
    const stores = openSqliteStores(${JSON.stringify(at.path)}, { now: () => 0 });
    await stores.intents.commit([{ op: 'put', key: 'a', value: 'kept' }]);
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

test('a full disk is told as what it is, and nothing of the transaction stays', () => {
  using database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE kept (text TEXT); PRAGMA max_page_count = 4');
  const insert = database.prepare('INSERT INTO kept VALUES (?)');
  assert.throws(() => transaction(database, () => Array.from({ length: 10 }, () => insert.run('x'.repeat(4_000)))), /full/);
  assert.equal(database.prepare('SELECT count(*) AS n FROM kept').get()?.['n'], 0);
  transaction(database, () => insert.run('short'));
});
