/** Hooks as they are called: programs and a server of the test's own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hookCaller, signatureOf } from './hooks.ts';

const root = mkdtempSync(join(tmpdir(), 'ferry-hooks-'));
const folder = mkdtempSync(join(root, 'hooks-'));
after(() => rmSync(root, { recursive: true, force: true }));
const hooks = hookCaller(folder);
const patience = () => AbortSignal.timeout(20_000);
function script(name: string, text: string, mode = 0o755, where = folder): string {
  const path = join(where, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, mode);
  return path;
}
const call = (program: string, document = '{}', signal = patience()) => hooks.call({ program }, document, signal);

test('a program gets the document on its standard input, no arguments and a fixed environment', async () => {
  process.env['FERRY_SECRET_OF_TEST'] = 'x';
  const program = script('ok', 'echo "$#-$(cat)-${FERRY_SECRET_OF_TEST:-unset}"');
  assert.deepEqual(await call(program, '{"vm":"$(touch /tmp/no)"}'), {
    result: 'ok',
    message: '0-{"vm":"$(touch /tmp/no)"}-unset',
  });
});

test('exit code 1 refuses with its first line, any other is a failure that names it', async () => {
  const veto = script('veto', 'echo "no backup yet" >&2; echo second >&2; exit 1');
  assert.deepEqual(await call(veto), { result: 'refused', message: 'no backup yet' });
  const broken = script('broken', 'printf "a\\033[2Jb" >&2; exit 3');
  assert.deepEqual(await call(broken), {
    result: 'failed',
    message: `${broken} ended with exit code 3: a?[2Jb`,
  });
  const killed = script('killed', 'kill -9 $$');
  assert.match((await call(killed)).message ?? '', /was ended by SIGKILL/);
});

test('what cannot be called is named with the way out, and not started', async () => {
  const marker = join(root, 'started');
  const touch = `touch ${marker}`;
  const outside = script('outside', touch, 0o755, root);
  symlinkSync(outside, join(folder, 'link'));
  const cases: readonly [string, RegExp][] = [
    [script('plain', touch, 0o644), /plain is not executable: run "chmod \+x/],
    [script('open', touch, 0o777), /can be written by others: run "chmod go-w/],
    [outside, /is not in the hook folder .*--hook-dir/],
    [join(folder, 'link'), /is not in the hook folder/],
    [join(folder, 'absent'), /cannot be used: ENOENT/],
  ];
  for (const [program, says] of cases) {
    const answer = await call(program);
    assert.equal(answer.result, 'failed', program);
    assert.match(answer.message ?? '', says);
    assert.match((await hooks.problem({ program })) ?? '', says);
  }
  assert.equal(await hooks.problem({ program: script('fine', touch) }), undefined);
  const nowhere = hookCaller(join(root, 'no-folder'));
  assert.match((await nowhere.problem({ program: join(folder, 'fine') })) ?? '', /no hook folder .*--hook-dir/);
  assert.equal(existsSync(marker), false);
});

test('a program that hangs is ended with what it has started', { timeout: 60_000 }, async () => {
  const pids = join(root, 'pids');
  const program = script('hangs', `sleep 1000 & echo $! $$ > ${pids}.new; mv ${pids}.new ${pids}; wait`);
  const leaving = new AbortController();
  const called = call(program, '{}', leaving.signal);
  while (!existsSync(pids)) await new Promise((resolve) => setImmediate(resolve));
  leaving.abort(new Error('late'));
  await assert.rejects(called, /late/);
  const gone = (pid: number): boolean => {
    try {
      // a zombie whose parent has not looked yet has ended
      return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return true;
    }
  };
  for (const pid of readFileSync(pids, 'utf8').trim().split(' ').map(Number))
    while (!gone(pid)) await new Promise((resolve) => setImmediate(resolve));
});

async function serving(answer: RequestListener): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('what a program leaves in the background goes on, and is not waited for', async () => {
  const pid = join(root, 'pid');
  const program = script('leaves', `sleep 1000 & echo $! > ${pid}; echo done`);
  assert.deepEqual(await call(program), { result: 'ok', message: 'done' });
  process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
});

test('a request is signed over its body; 409 refuses, other answers fail, and no redirect is followed', async () => {
  const secretFile = script('key', '', 0o600);
  writeFileSync(secretFile, 'very secret\n');
  const seen: { signature: unknown; body: string }[] = [];
  const statuses = [200, 409, 503, 302];
  await using server = await serving((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      seen.push({ signature: request.headers['ferry-signature'], body });
      response.writeHead(statuses[seen.length - 1] ?? 500, { location: '/elsewhere' }).end('backup runs\nmore');
    });
  });
  const { url } = server;
  const ask = () => hooks.call({ url, secretFile }, '{"a":1}', patience());
  assert.deepEqual(await ask(), { result: 'ok' }, 'what an address serves is not shown');
  assert.deepEqual(await ask(), { result: 'refused', message: 'backup runs' });
  assert.match((await ask()).message ?? '', /answered 503$/);
  assert.match((await ask()).message ?? '', /answered 302$/);
  assert.equal(seen.length, 4);
  assert.deepEqual(seen[0], { signature: signatureOf('{"a":1}', 'very secret'), body: '{"a":1}' });
});

test('an address that does not answer, or whose key is not there, is a failure in a sentence', async () => {
  const secretFile = script('key2', '', 0o600);
  let url = '';
  {
    await using server = await serving((_request, response) => void response.end());
    ({ url } = server);
  }
  assert.match(
    (await hooks.call({ url, secretFile }, '{}', patience())).message ?? '',
    /does not answer: .*ECONNREFUSED/,
  );
  writeFileSync(secretFile, '\n');
  assert.match(
    (await hooks.call({ url, secretFile }, '{}', patience())).message ?? '',
    /is empty: it must hold the key/,
  );
  const absent = join(folder, 'no-key');
  assert.match(
    (await hooks.call({ url, secretFile: absent }, '{}', patience())).message ?? '',
    /no-key cannot be used/,
  );
});

test('where the folder lists addresses, no other is called', async () => {
  const own = mkdtempSync(join(root, 'listed-'));
  const secretFile = script('key', 'x', 0o600, own);
  let asked = 0;
  await using server = await serving((_request, response) => {
    asked += 1;
    response.end();
  });
  const ask = () => hookCaller(own).call({ url: `${server.url}/moved`, secretFile }, '{}', patience());
  writeFileSync(join(own, 'urls'), 'https://cmdb.example\n', { mode: 0o644 });
  assert.match((await ask()).message ?? '', /^http:.* is not in .*\/urls: add it there/);
  assert.equal(asked, 0);
  writeFileSync(join(own, 'urls'), `https://cmdb.example\n${server.url}\n`);
  assert.deepEqual([await ask(), asked], [{ result: 'ok' }, 1]);
});

test('a program that cannot be started for want of file descriptors is a failure, and Ferry goes on', () => {
  const program = script('no-room', 'exit 0');
  const source = `
    import { openSync } from 'node:fs';
    const { hookCaller } = await import(${JSON.stringify(new URL('hooks.ts', import.meta.url).href)});
    const hooks = hookCaller(${JSON.stringify(folder)});
    const call = () => hooks.call({ program: ${JSON.stringify(program)} }, '{}', AbortSignal.timeout(20_000));
    await call();
    try { for (;;) openSync('/dev/null'); } catch {}
    const answer = await call();
    process.stdout.write(JSON.stringify(answer));`;
  const limited = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const said = execFileSync('/bin/sh', ['-c', limited, process.execPath, source], { encoding: 'utf8' });
  const answer = JSON.parse(said) as { result: string; message: string };
  assert.equal(answer.result, 'failed');
  assert.match(answer.message, /cannot be started: spawn .*EMFILE/);
});
