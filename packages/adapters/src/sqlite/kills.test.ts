/**
 * Acknowledged means kept: a process that writes is killed at random moments, and after each restart every write that
 * it answered is there. A hundred times with FERRY_TEST_FULL.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { openSqliteStores } from './index.ts';

const kills = process.env['FERRY_TEST_FULL'] === undefined ? 10 : 100;
const time = { now: () => 0, sleep: () => new Promise<void>(() => {}) };

/** Changes one document and makes others, in transactions of two, and says each time what was acknowledged. */
const writer = (path: string): string => `
  const { openSqliteStores } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
  const { intents } = openSqliteStores(${JSON.stringify(path)}, { now: () => 0, sleep: () => new Promise(() => {}) });
  for (;;) {
    const before = await intents.get('count');
    const count = (before?.value ?? 0) + 1;
    const answer = await intents.commit([
      { op: 'put', key: 'count', value: count, ifRevision: before?.revision ?? 0 },
      { op: 'put', key: 'made/' + count, value: 'x'.repeat(count % 5000), ifRevision: 0 },
    ]);
    if (!('revision' in answer)) throw new Error(JSON.stringify(answer));
    process.stdout.write(count + '\\n');
  }`;

test(`sqlite: after ${kills} kills every write that was answered is there`, { timeout: 300_000 }, async () => {
  const path = mkdtempSync(join(tmpdir(), 'ferry-kills-'));
  try {
    let answered = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', writer(path)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      const killAfter = answered + 1 + Math.floor(Math.random() * 30);
      for await (const line of createInterface({ input: child.stdout })) {
        answered = Number(line);
        // what it answers until it is dead counts too
        if (answered >= killAfter) child.kill('SIGKILL');
      }
      await ended;
      assert.equal(child.signalCode, 'SIGKILL');
      const stores = openSqliteStores(path, time);
      const count = Number((await stores.intents.get('count'))?.value);
      // one more may have been written than was answered
      assert.ok(count === answered || count === answered + 1, `answered ${answered}, stored ${count}`);
      for (let each = answered; each > Math.max(0, answered - 40); each -= 1)
        assert.equal((await stores.intents.get(`made/${each}`))?.value, 'x'.repeat(each % 5_000));
      await stores.close();
      answered = count;
    }
    const stores = openSqliteStores(path, time);
    for (let each = 1; each <= answered; each += 1) assert.ok(await stores.intents.get(`made/${each}`), `made/${each}`);
    await stores.close();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});
