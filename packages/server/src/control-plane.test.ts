import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { FerryError } from '@ferry/core';
import { failureOf, parseServeArguments } from './command-line.ts';
import { runControlPlane } from './control-plane.ts';
import { apiSocket, defaultDataDir, readOrMakeToken } from './data-folder.ts';
import { fakeEngine, silentLog } from './fake-engine.ts';

const folder = async (context: TestContext): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'ferry-server-'));
  context.after(() => rm(path, { recursive: true }));
  return path;
};
const fakeParts = (steps: string[]) => ({
  openStores: async () => {
    steps.push('stores');
    return {
      close: async () => void steps.push('stores closed'),
      startEngine: async () => {
        steps.push('engine');
        return fakeEngine({ close: async () => void steps.push('engine closed') });
      },
    };
  },
});
const is =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof FerryError && error.code === code;

test('starts, leaves a note and a token for its owner only, and closes in order', async (context) => {
  const dataDir = join(await folder(context), 'deep', 'data');
  const steps: string[] = [];
  const server = await runControlPlane(fakeParts(steps), { dataDir, port: 0, log: silentLog });
  assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual(JSON.parse(await readFile(join(dataDir, 'server.json'), 'utf8')), {
    url: server.url,
    pid: process.pid,
  });
  for (const [path, mode] of [
    [dataDir, 0o700],
    [join(dataDir, 'token'), 0o600],
    [join(dataDir, 'server.json'), 0o600],
  ] as const)
    assert.equal((await stat(path)).mode & 0o777, mode, path);
  const token = (await readFile(join(dataDir, 'token'), 'utf8')).trim();
  assert.equal(Buffer.from(token, 'base64url').length, 32);
  assert.equal(
    (await fetch(`${server.url}/api/v1/version`, { headers: { authorization: `Bearer ${token}` } })).status,
    200,
  );
  await Promise.all([server.close(), server.close()]);
  assert.deepEqual(steps, ['stores', 'engine', 'engine closed', 'stores closed']);
  await assert.rejects(stat(join(dataDir, 'server.json')));
});

test('listens on loopback only, and touches nothing otherwise', async (context) => {
  const dataDir = join(await folder(context), 'data');
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.0.0.1.example.org', '']) {
    const steps: string[] = [];
    await assert.rejects(
      runControlPlane(fakeParts(steps), { dataDir, host, port: 0, log: silentLog }),
      is('listen-refused'),
    );
    assert.deepEqual(steps, []);
  }
  await assert.rejects(stat(dataDir));
});

test('a taken port is reported before the engine starts', async (context) => {
  const other = createServer();
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  context.after(() => other.close());
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  const steps: string[] = [];
  await assert.rejects(
    runControlPlane(fakeParts(steps), { dataDir: await folder(context), port: address.port, log: silentLog }),
    is('listen-taken'),
  );
  assert.deepEqual(steps, ['stores', 'stores closed']);
});

test('the local command line comes in by a socket in the folder, also in one with a long name and after a crash', async (context) => {
  const dataDir = join(await folder(context), 'x'.repeat(120));
  const ask = async (): Promise<number> => {
    const token = await readOrMakeToken(dataDir);
    const socket = await apiSocket(dataDir);
    try {
      const asked = request({
        socketPath: socket.path,
        path: '/api/v1/version',
        headers: { host: 'localhost', authorization: `Bearer ${token}` },
      }).end();
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      answer.resume();
      return answer.statusCode ?? 0;
    } finally {
      await socket.close();
    }
  };
  const first = await runControlPlane(fakeParts([]), { dataDir, port: 0, log: silentLog });
  assert.equal(await ask(), 200);
  await first.close();
  await assert.rejects(ask(), /ENOENT/);
  // as a killed server leaves it
  const socket = await apiSocket(dataDir);
  await writeFile(socket.path, '');
  await socket.close();
  const second = await runControlPlane(fakeParts([]), { dataDir, port: 0, log: silentLog });
  assert.equal(await ask(), 200);
  await second.close();
});

test('a data folder that others own, can write to or can replace is refused, and nothing in it is touched', async (context) => {
  const parent = await folder(context);
  const dataDir = join(parent, 'data');
  await mkdir(dataDir, { mode: 0o700 });
  const refused = async (why: RegExp): Promise<void> => {
    const steps: string[] = [];
    await assert.rejects(
      runControlPlane(fakeParts(steps), { dataDir, port: 0, log: silentLog }),
      (error) => is('store-unsafe')(error) && why.test(String(error)),
    );
    assert.deepEqual(steps, []);
  };
  await chmod(dataDir, 0o770);
  await refused(/can be written by others \(mode 770\)/);
  await chmod(dataDir, 0o700);
  await chmod(parent, 0o777);
  await refused(/can be replaced by others/);
  await chmod(parent, 0o700);
  if (process.getuid?.() !== 0) return context.diagnostic('files of another user need root');
  await chown(dataDir, 65_534, 65_534);
  return refused(/belongs to the user 65534/);
});

test("a token that is a link, a pipe or somebody else's is refused at once, and what it leads to stays as it is", async (context) => {
  const dataDir = await folder(context);
  const token = join(dataDir, 'token');
  const foreign = join(dataDir, 'foreign');
  await writeFile(foreign, 'x'.repeat(43), { mode: 0o644 });
  await symlink(foreign, token);
  await assert.rejects(
    readOrMakeToken(dataDir),
    (error) => is('store-unsafe')(error) && /symbolic link/.test(String(error)),
  );
  assert.equal((await stat(foreign)).mode & 0o777, 0o644);
  await rm(token);
  execFileSync('mkfifo', [token]);
  await assert.rejects(readOrMakeToken(dataDir), is('store-unsafe'));
  if (process.getuid?.() !== 0) return context.diagnostic('files of another user need root');
  await rm(token);
  await writeFile(token, 'x'.repeat(43), { mode: 0o600 });
  await chown(token, 65_534, 65_534);
  return assert.rejects(readOrMakeToken(dataDir), is('store-unsafe'));
});

test('the token stays the same, is closed to others, and a broken one is refused', async (context) => {
  const dataDir = await folder(context);
  const [first, second] = await Promise.all([readOrMakeToken(dataDir), readOrMakeToken(dataDir)]);
  assert.equal(first, second);
  await chmod(join(dataDir, 'token'), 0o644);
  assert.equal(await readOrMakeToken(dataDir), first);
  assert.equal((await stat(join(dataDir, 'token'))).mode & 0o777, 0o600);
  await writeFile(join(dataDir, 'token'), '');
  await assert.rejects(readOrMakeToken(dataDir), is('store-broken'));
});

test('a data folder that is a file is refused in one sentence', async (context) => {
  const path = join(await folder(context), 'file');
  await writeFile(path, '');
  await assert.rejects(runControlPlane(fakeParts([]), { dataDir: path, port: 0, log: silentLog }), is('store-broken'));
});

test('the default data folder', () => {
  assert.equal(defaultDataDir({ FERRY_DATA_DIR: '/x' }, 0), '/x');
  assert.equal(defaultDataDir({}, 0), '/var/lib/ferry');
  assert.equal(defaultDataDir({ XDG_STATE_HOME: '/s' }, 1000), '/s/ferry');
  assert.match(defaultDataDir({ XDG_STATE_HOME: 'relative' }, 1000), /\/\.local\/state\/ferry$/);
});

test('the command line', () => {
  assert.equal(parseServeArguments(['--help']), 'help');
  assert.deepEqual(parseServeArguments(['--data-dir', '/d', '--listen', '::1', '--port=0']), {
    dataDir: '/d',
    host: '::1',
    port: 0,
  });
  for (const args of [['--port', 'x'], ['--port', '65536'], ['--nix'], ['extra'], ['--data-dir', '']]) {
    assert.throws(
      () => parseServeArguments(args),
      (error) => failureOf(error).exit === 2 && failureOf(error).text.split('\n').length === 3,
      args.join(' '),
    );
  }
  const locked = failureOf(new FerryError('store-locked', 'The store is locked.'));
  assert.equal(locked.exit, 10);
  assert.doesNotMatch(locked.text + failureOf(new Error('odd')).text, / at .*:\d+/);
});
