import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ApiError, createClient } from './client.ts';
import { maxEventLength, parseEvents } from './event-stream.ts';

const clientOf = (answer: (url: string, init: RequestInit) => Response | Promise<Response>) =>
  createClient({
    server: 'http://127.0.0.1:1/',
    token: 'tok',
    clientName: 'cli',
    fetch: async (url, init) => answer(url, init),
  });

test('url, method, headers and body follow the table', async () => {
  const seen: unknown[] = [];
  const client = clientOf((url, init) => {
    seen.push([
      init.method,
      url,
      new Headers(init.headers).get('authorization'),
      new Headers(init.headers).get('ferry-client'),
      init.body,
    ]);
    return Response.json({ items: [] });
  });
  await client.call('migrationCreate', { body: { vm: 'a' } });
  await client.call('migrationList', { query: { limit: 3, state: 'active' } });
  await client.call('vmShow', { params: { vm: 'a/b ü' } });
  assert.deepEqual(seen, [
    ['POST', 'http://127.0.0.1:1/api/v1/migrations', 'Bearer tok', 'cli', '{"vm":"a"}'],
    ['GET', 'http://127.0.0.1:1/api/v1/migrations?limit=3&state=active', 'Bearer tok', 'cli', undefined],
    ['GET', 'http://127.0.0.1:1/api/v1/vms/a%2Fb%20%C3%BC', 'Bearer tok', 'cli', undefined],
  ]);
});

test('a name that a URL would swallow never leaves', async () => {
  const client = clientOf(() => assert.fail('sent'));
  for (const host of ['', '.', '..'])
    await assert.rejects(
      client.call('hostRemove', { params: { host } }),
      (error) => error instanceof ApiError && error.code === 'request-invalid' && error.exit === 2,
    );
});

test('a problem document becomes an ApiError, also one with a code from the future', async () => {
  const reasons = [{ code: 'x', message: 'm', remedy: 'r' }];
  const problem = (code: string) => () =>
    new Response(JSON.stringify({ code, detail: 'It is so.', remedy: 'Do.', reasons, status: 409 }), {
      status: 409,
      headers: { 'content-type': 'application/problem+json' },
    });
  for (const [code, exit] of [
    ['migration-refused', 4],
    ['from-the-future', 1],
    ['constructor', 1],
  ] as const) {
    await assert.rejects(clientOf(problem(code)).call('vmList'), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual(
        [error.code, error.status, error.exit, error.message, error.remedy, error.reasons],
        [code, 409, exit, 'It is so.', 'Do.', reasons],
      );
      return true;
    });
  }
});

test('what is no Ferry server, or none at all, is unreachable', async () => {
  const unreachable = (error: unknown): boolean =>
    error instanceof ApiError && error.code === 'server-unreachable' && error.exit === 7;
  await assert.rejects(clientOf(() => new Response('<html>', { status: 404 })).call('vmList'), unreachable);
  await assert.rejects(clientOf(() => new Response('<html>')).call('vmList'), unreachable);
  await assert.rejects(
    clientOf(() => {
      throw new TypeError('fetch failed', { cause: new Error('boom') });
    }).call('vmList'),
    unreachable,
  );
});

test("an abort is the caller's own reason", async () => {
  const reason = new Error('enough');
  await assert.rejects(
    clientOf(() => {
      throw new Error('aborted');
    }).call('vmList', { signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  );
});

test('no schema library is loaded', () => {
  const code =
    "import { registerHooks } from 'node:module'; registerHooks({ resolve(s, c, n) { if (s === 'zod') " +
    "throw new Error('zod'); return n(s, c); } }); await import('@ferry/api/client'); await " +
    "import('@ferry/api/routes'); await import('@ferry/api/errors'); console.log('ok');";
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  assert.equal(stdout, 'ok\n', stderr);
});

const parse = async (chunks: readonly Uint8Array[]) =>
  Array.fromAsync(
    parseEvents(
      (async function* () {
        yield* chunks;
      })(),
    ),
  );

test('a stream is parsed the same however it is cut', async () => {
  const bytes = new TextEncoder().encode(
    ': ping\n\nid: 1\nevent: vm\ndata: {"a":"ü"}\n\nevent: reset\r\ndata: x\r\ndata:y\r\n\r\nid: 9\n\ndata\n\n',
  );
  const expected = [
    { id: '1', event: 'vm', data: '{"a":"ü"}' },
    { event: 'reset', data: 'x\ny' },
    { event: 'message', data: '' },
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      assert.deepEqual(await parse(at.slice(1).map((end, index) => bytes.subarray(at[index], end))), expected);
    }),
  );
});

test('an endless event ends the stream', async () => {
  await assert.rejects(parse([new TextEncoder().encode(`data: ${'x'.repeat(maxEventLength)}`)]), /larger than 4 MiB/);
});
