/**
 * The control plane as a process, without hosts: who may talk to it, and a data folder that it must not touch.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { controlPlane } from './control-plane.ts';

const ferry = join(import.meta.dirname, '..', 'bin', 'ferry');
/** Runs `ferry serve` to its end. */
const serve = (
  dataDir: string,
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly text: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(ferry, ['serve', '--data-dir', dataDir, '--port', '0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
const oneSentence = ({ text }: { readonly text: string }, about: RegExp): void => {
  assert.match(text, about);
  assert.doesNotMatch(text, /\n\s+at /, 'no stack');
};
const get = (
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly body: string }> =>
  new Promise((resolve, reject) => {
    const asking = request(url, { headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asking.on('error', reject);
    asking.end();
  });

test(
  'a token is needed, closed to others; foreign hosts and origins are refused; the reference page needs none',
  { timeout: 60_000 },
  async () => {
    await using plane = await controlPlane();
    const url = `${plane.url()}/api/v1/hosts`;
    assert.equal(statSync(join(plane.dataDir, 'token')).mode & 0o777, 0o600);
    const authorization = `Bearer ${plane.token()}`;
    assert.equal((await get(url, { authorization })).status, 200);
    assert.match((await get(url, {})).body, /token-missing/);
    assert.match((await get(url, { authorization: 'Bearer wrong' })).body, /token-wrong/);
    assert.match((await get(url, { authorization, host: 'evil.example' })).body, /origin-foreign/);
    assert.match((await get(url, { authorization, origin: 'http://evil.example' })).body, /origin-foreign/);
    assert.equal((await get(`${plane.url()}/docs`, {})).status, 200);
    const wrong = await new Promise<{ readonly code: number | null; readonly text: string }>((resolve) => {
      const child = spawn(ferry, ['host', 'list', '--server', plane.url()], {
        env: { ...process.env, FERRY_DATA_DIR: plane.dataDir, FERRY_TOKEN: 'wrong' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let text = '';
      child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
      child.on('close', (code) => resolve({ code, text }));
    });
    assert.equal(wrong.code, 9);
    oneSentence(wrong, /token/);
  },
);

test('a data folder in use, and one written by a newer version, are left alone', { timeout: 60_000 }, async () => {
  await using plane = await controlPlane();
  const second = await serve(plane.dataDir);
  assert.equal(second.code, 10);
  oneSentence(second, /in use|another/i);
  assert.deepEqual(await plane.json('host', 'list'), [], 'the first one goes on');
  await plane.kill();
  const file = join(plane.dataDir, 'intents.sqlite');
  const database = new DatabaseSync(file);
  database.exec('PRAGMA user_version = 999');
  database.close();
  const before = readFileSync(file);
  const newer = await serve(plane.dataDir);
  assert.equal(newer.code, 10);
  oneSentence(newer, /newer/);
  assert.ok(readFileSync(file).equals(before), 'nothing was written');
  await assert.rejects(plane.start());
});

test('it listens on loopback only', { timeout: 60_000 }, async () => {
  await using plane = await controlPlane();
  const open = await serve(join(plane.dataDir, 'other'), '--listen', '0.0.0.0');
  assert.notEqual(open.code, 0);
  oneSentence(open, /loopback/);
});
