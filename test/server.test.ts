/**
 * The control plane as a process, without hosts: who may talk to it, and a data folder that it must not touch.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { promisify } from 'node:util';
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

test('the commands of docs/api.md: what was read is changed once, and not over the change of another', async () => {
  await using plane = await controlPlane();
  const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'api.md'), 'utf8');
  const [setup = '', guarded = ''] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  const define = setup.split('\n').filter((line) => line.startsWith('api()'));
  const { stdout } = await promisify(execFile)('bash', ['-euc', [...define, guarded].join('\n')], {
    env: { ...process.env, FERRY_SERVER: plane.url(), FERRY_TOKEN: plane.token() },
  });
  const [created, changed, refused] = stdout
    .split(/(?<=\})(?=\{)/)
    .map(
      (each) => JSON.parse(each) as { readonly strength?: string; readonly code?: string; readonly revision?: number },
    );
  assert.deepEqual([created?.strength, changed?.strength, refused?.code], ['hard', 'soft', 'revision-stale'], stdout);
  assert.ok((changed?.revision ?? 0) > (created?.revision ?? 0));
  assert.equal((await plane.json<{ readonly strength: string }>('rule', 'show', 'db-apart')).strength, 'soft');
});

test(
  'guards and page tokens over HTTP: a stale one changes nothing, and a restart is told to readers of events',
  { timeout: 60_000 },
  async () => {
    await using plane = await controlPlane();
    const ask = async (path: string, method = 'GET', headers: Readonly<Record<string, string>> = {}, body?: object) => {
      const answer = await fetch(`${plane.url()}/api/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${plane.token()}`, 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const value = (await answer.json()) as {
        readonly code?: string;
        readonly next?: string;
        readonly events?: string;
        readonly tls?: boolean;
        readonly items?: readonly { readonly name: string }[];
      };
      return { status: answer.status, etag: answer.headers.get('etag') ?? '', value };
    };
    const names = ['blue', 'green', 'red'];
    const [blue] = await Promise.all(names.map((name) => ask(`clusters/${name}`, 'PATCH', {}, { tls: true })));
    const stale = { 'if-match': blue?.etag ?? '' };
    assert.equal((await ask('clusters/blue', 'PATCH', stale, { tls: false })).status, 200);
    const refused = await ask('clusters/blue', 'PATCH', stale, { tls: true });
    assert.deepEqual([refused.status, refused.value.code], [412, 'revision-stale']);

    const first = await ask('clusters?limit=2');
    const second = await ask(`clusters?limit=2&page=${first.value.next}`);
    assert.deepEqual(
      [...(first.value.items ?? []), ...(second.value.items ?? [])].map(({ name }) => name),
      ['blue', 'default', 'green', 'red'],
    );
    assert.equal((await ask(`policies?page=${first.value.next}`)).value.code, 'page-token-invalid');
    // no host is there: nothing is made, so the key stays free for a request that can be carried out
    const key = { 'idempotency-key': 'once' };
    for (const port of [1, 2]) {
      const { value } = await ask('hosts', 'POST', key, { uri: `qemu+tcp://127.0.0.1:${port}/system`, name: 'none' });
      assert.equal(value.code, 'host-unreachable');
    }
    assert.equal((await ask('clusters/blue', 'PATCH', key, { tls: true })).status, 400, 'not where it means nothing');

    await plane.kill();
    await plane.start();
    assert.equal((await ask('clusters?limit=1')).value.items?.[0]?.name, 'blue');
    assert.equal((await ask('clusters/blue', 'PATCH', stale, { tls: true })).value.code, 'revision-stale');
    assert.equal((await ask(`clusters?limit=2&page=${first.value.next}`)).value.code, 'page-token-invalid');
    const stream = await fetch(`${plane.url()}/api/v1/events?after=${first.value.events}`, {
      headers: { authorization: `Bearer ${plane.token()}` },
    });
    let text = '';
    for await (const part of (stream.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes('event: ')) break;
    }
    assert.match(text, /^event: reset$/m);
  },
);
