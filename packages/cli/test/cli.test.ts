/**
 * The command line as a process against a small server that speaks the contract: what people and scripts see, exit
 * codes, Ctrl-C, and a connection that breaks.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fakeServer, json, problem, start, startNode } from './fake-server.ts';

const migration = (more: object = {}) => ({
  id: 'm123',
  name: 'web-m123',
  vm: { uuid: 'u', name: 'web' },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'cli',
  from: 'host1',
  to: 'host2',
  phase: 'transferring',
  phases: [{ phase: 'queued', at: '2026-01-01T00:00:00.000Z' }],
  ...more,
});
const done = migration({
  phase: 'succeeded',
  outcome: 'succeeded',
  totalMs: 5_000,
  downtimeMs: 21,
  transferredBytes: 1_048_576,
  vmIsNow: { host: 'host2', state: 'running' },
});
const openStream = (response: ServerResponse, ...states: object[]): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const state of states) response.write(`event: migration\ndata: ${JSON.stringify(state)}\n\n`);
};

const ferry = (dataDir: string, ...args: readonly string[]) => start(dataDir, ...args).ended;

test('lists are tables for people and arrays for scripts; hostile names cannot move the cursor', async () => {
  const vm = {
    uuid: 'u',
    name: 'we\u001b[2Jb',
    host: 'host1',
    state: 'running',
    memoryBytes: 134_217_728,
    vcpus: 1,
    disks: [],
    instances: [],
  };
  await using server = await fakeServer((request, response) => {
    assert.equal(request.headers.authorization, 'Bearer secret');
    assert.equal(request.headers['ferry-client'], 'cli');
    json(response, 200, { items: [vm] });
  });
  const table = await ferry(server.dataDir, 'vm', 'list');
  assert.match(table.stdout, /^NAME +STATE +HOST/);
  assert.match(table.stdout, /we\\u001b\[2Jb +running +host1 +128\.0 MiB/);
  const asJson = await ferry(server.dataDir, 'vm', 'list', '-o', 'json');
  assert.deepEqual(JSON.parse(asJson.stdout), [vm]);
});

test('it starts with what it needs: no schema library, no fetch, nothing of core but its errors', async () => {
  await using server = await fakeServer((_request, response) => json(response, 200, { items: [] }));
  const tell =
    "import { registerHooks } from 'node:module'; const urls = []; registerHooks({ load(url, context, " +
    "next) { urls.push(url); return next(url, context); } }); process.on('exit', () => " +
    'process.stderr.write(JSON.stringify([...urls, ...process.moduleLoadList])));';
  const { stderr, code } = await startNode(
    ['--import', `data:text/javascript,${encodeURIComponent(tell)}`],
    server.dataDir,
    ['vm', 'list'],
  ).ended;
  assert.equal(code, 0, stderr);
  const loaded = JSON.parse(stderr) as readonly string[];
  assert.ok(loaded.some((each) => each.endsWith('commands/vm.ts')));
  assert.deepEqual(
    loaded.filter((each) => /zod|undici|packages\/core\/(?!src\/model\/errors)/.test(each)),
    [],
  );
});

test('vm migrate sends what was asked, waits, and prints the end', async () => {
  const asked: unknown[] = [];
  await using server = await fakeServer((request, response, body) => {
    if (request.method === 'POST') {
      asked.push(JSON.parse(body));
      json(response, 201, migration({ phase: 'queued' }));
      return;
    }
    openStream(response, migration(), done);
    response.end();
  });
  const ran = await ferry(server.dataDir, 'vm', 'migrate', 'web', '--prefer-host', 'host2', '--max-bandwidth-mb', '24');
  assert.deepEqual(asked, [{ vm: 'web', preferHost: 'host2', maxBandwidthMiBPerSecond: 24 }]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /host1 -> host2: transferring/);
  assert.match(ran.stdout, /downtime +21 ms/);
  const asJson = await ferry(server.dataDir, 'vm', 'migrate', 'web', '-o', 'json');
  assert.deepEqual(JSON.parse(asJson.stdout), done);
});

test('the exit code tells how the migration ended', async () => {
  for (const [end, code] of [
    [
      {
        phase: 'failed',
        outcome: 'failed',
        error: { code: 'migration-failed', message: 'no', remedy: 'r', reasons: [] },
      },
      1,
    ],
    [{ phase: 'cancelled', outcome: 'cancelled' }, 11],
  ] as const) {
    await using server = await fakeServer((request, response) => {
      if (request.method === 'POST') return json(response, 201, migration());
      openStream(response, migration(end));
      return response.end();
    });
    assert.equal((await ferry(server.dataDir, 'vm', 'migrate', 'web')).code, code);
  }
});

test('--detach prints the id and returns', async () => {
  await using server = await fakeServer((_, response) => json(response, 201, migration()));
  const ran = await ferry(server.dataDir, 'vm', 'migrate', 'web', '--detach');
  assert.deepEqual([ran.code, ran.stdout], [0, 'm123\n']);
});

test('Ctrl-C detaches and says so; nothing is aborted', async () => {
  const requests: string[] = [];
  await using server = await fakeServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (request.method === 'POST') json(response, 201, migration());
    else openStream(response, migration());
  });
  const { child, ended, out } = start(server.dataDir, 'vm', 'migrate', 'web');
  while (!out.stderr.includes('transferring')) await once(child.stderr, 'data');
  child.kill('SIGINT');
  const ran = await ended;
  assert.equal(ran.code, 130);
  assert.match(ran.stderr, /detached: migration m123 goes on.*ferry migration watch m123/);
  assert.ok(!requests.some((each) => each.includes('abort')));
});

test('a connection that breaks is made again, to the end', async () => {
  let streams = 0;
  await using server = await fakeServer((request, response) => {
    if (request.method === 'POST') return json(response, 201, migration());
    streams += 1;
    if (streams === 1) {
      openStream(response, migration());
      return setImmediate(() => response.destroy());
    }
    openStream(response, done);
    return response.end();
  });
  const ran = await ferry(server.dataDir, 'vm', 'migrate', 'web');
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /the migration goes on. Trying again/);
  assert.equal(streams, 2);
});

test('a refusal shows every reason with its remedy, and no stack', async () => {
  const reasons = [
    { code: 'a', host: 'host2', message: 'Too small.', remedy: 'Free memory.' },
    { code: 'b', message: 'Paused.', remedy: 'Resume it.' },
  ];
  await using server = await fakeServer((_, response) =>
    json(response, 409, problem('migration-refused', 409, reasons)),
  );
  const ran = await ferry(server.dataDir, 'vm', 'migrate', 'web');
  assert.equal(ran.code, 4);
  assert.equal(ran.stderr, 'error: It is so.\n  host2: Too small. (Free memory.)\n  Paused. (Resume it.)\n');
  const asJson = await ferry(server.dataDir, 'vm', 'migrate', 'web', '-o', 'json');
  assert.equal((JSON.parse(asJson.stdout) as { code: string }).code, 'migration-refused');
});

test('wrong use, wrong token and no server have their own exit codes', async () => {
  await using server = await fakeServer((_, response) => json(response, 401, problem('token-wrong', 401)));
  const codes = [];
  for (const args of [
    ['vm', 'list'],
    ['vm', 'migrate'],
    ['vm', 'nonsense'],
    ['vm', 'migrate', 'a', '--to', 'x', '--prefer-host', 'y'],
    ['vm', 'migrate', 'a', '--max-bandwidth-mb', 'x'],
    ['vm', 'list', '--server', 'http://127.0.0.1:1'],
  ]) {
    const ran = await ferry(server.dataDir, ...args);
    codes.push(ran.code);
    assert.doesNotMatch(ran.stderr, /\n\s+at /);
    assert.notEqual(ran.stderr, '');
  }
  assert.deepEqual(codes, [9, 2, 2, 2, 2, 9]);
  assert.equal((await ferry(join(server.dataDir, 'none'), 'vm', 'list')).code, 7);
});

/** What listens at a port, and the headers of what came there. */
async function listener() {
  const headers: unknown[] = [];
  const server = createServer((request, response) => {
    headers.push(request.headers);
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { url: `http://127.0.0.1:${address.port}`, headers, [Symbol.dispose]: () => void server.close() };
}

test("the folder's token goes to the folder's socket and to no port, whoever listens there", async () => {
  using other = await listener();
  await using server = await fakeServer((_, response) => json(response, 200, { items: [] }));
  // the note of a server that was killed names a port that another program has by now
  writeFileSync(join(server.dataDir, 'server.json'), JSON.stringify({ url: other.url, pid: 1 }));
  assert.equal((await ferry(server.dataDir, 'vm', 'list')).code, 0);
  renameSync(join(server.dataDir, 'api.sock'), join(server.dataDir, 'gone.sock'));
  const dead = await ferry(server.dataDir, 'vm', 'list');
  assert.deepEqual(
    [dead.code, dead.stderr.split('\n')[0]],
    [7, `error: No control plane runs with the data folder ${server.dataDir}.`],
  );
  assert.equal((await ferry(server.dataDir, 'vm', 'list', '--server', 'http://127.0.0.1:1')).code, 9);
  assert.deepEqual(other.headers, []);
  const named = await startNode([], server.dataDir, ['vm', 'list', '--server', other.url], { FERRY_TOKEN: 'given' })
    .ended;
  assert.notEqual(named.code, 9);
  assert.match(JSON.stringify(other.headers), /Bearer given/);
  assert.equal(
    (
      await startNode([], server.dataDir, ['vm', 'list', '--server', 'http://127.0.0.1:1'], { FERRY_TOKEN: 'given' })
        .ended
    ).code,
    7,
  );
});

test('a folder that others can write to is not trusted, nor a token behind a link', async () => {
  await using server = await fakeServer((_, response) => json(response, 200, { items: [] }));
  chmodSync(server.dataDir, 0o777);
  const open = await ferry(server.dataDir, 'vm', 'list');
  assert.deepEqual(
    [open.code, open.stderr.split('\n')[0]],
    [
      10,
      `error: The data folder ${server.dataDir} can be written by others, so Ferry does not trust what it says of a server.`,
    ],
  );
  chmodSync(server.dataDir, 0o700);
  renameSync(join(server.dataDir, 'token'), join(server.dataDir, 'elsewhere'));
  symlinkSync('elsewhere', join(server.dataDir, 'token'));
  assert.notEqual((await ferry(server.dataDir, 'vm', 'list')).code, 0);
});

test('what hosts call things reaches no terminal raw, in no command; columns fit what is seen', async () => {
  const hostile = 'a\u009b2J\u001b[31m\nb';
  const vm = (name: string) => ({
    uuid: 'u',
    name,
    host: hostile,
    state: 'running',
    memoryBytes: 1,
    vcpus: 1,
    disks: [],
    instances: [],
    labels: [hostile],
  });
  const host = {
    id: 'h',
    name: hostile,
    uri: hostile,
    cluster: 'default',
    state: 'connected',
    vms: 0,
    addedAt: '2026-01-01T00:00:00.000Z',
  };
  const answers: readonly (readonly [readonly string[], unknown])[] = [
    [['vm', 'list'], { items: [vm(hostile)] }],
    [['vm', 'show', 'x'], vm(hostile)],
    [['vm', 'label', 'x', 'a=b'], vm(hostile)],
    [['vm', 'announce', 'x'], vm(hostile)],
    [
      ['vm', 'settle', 'x'],
      {
        copies: [
          {
            host: hostile,
            state: 'running',
            reason: hostile,
            role: 'conflict',
            persistent: true,
            knowledge: [hostile],
          },
        ],
      },
    ],
    [['host', 'add', 'qemu:///system'], host],
    [['host', 'list'], { items: [host] }],
    [
      ['migration', 'cleanup', 'x'],
      { vm: hostile, items: [{ kind: 'half', host: hostile, what: hostile, remedy: hostile, settles: false }] },
    ],
    [
      ['migration', 'inspect', 'x'],
      {
        host: hostile,
        at: '2026-01-01T00:00:00.000Z',
        notes: [hostile],
        volumes: [hostile],
        log: hostile,
        definition: hostile,
      },
    ],
  ];
  for (const [args, answer] of answers) {
    await using server = await fakeServer((_, response) => json(response, 200, answer));
    for (const more of [[], ['-o', 'json']]) {
      const ran = await ferry(server.dataDir, ...args, ...more);
      assert.equal(ran.code, 0, ran.stderr);
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      assert.doesNotMatch(ran.stdout + ran.stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, args.join(' '));
      if (more.length > 0)
        assert.deepEqual(JSON.parse(ran.stdout), args[1] === 'list' ? (answer as { items: unknown }).items : answer);
    }
  }
  await using server = await fakeServer((_, response) =>
    json(response, 200, { items: [vm('網站'), vm('cafe\u0301'), vm('web1')] }),
  );
  const lines = (await ferry(server.dataDir, 'vm', 'list')).stdout.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.slice(0, line.indexOf(lines[0] === line ? 'STATE' : 'running'))),
    ['NAME  ', '網站  ', 'cafe\u0301  ', 'web1  '],
  );
});

test('a closed pipe ends it without a message; a missing file is named; a stream that the server ends is no success', async () => {
  const gone = startNode([], '/nonexistent', ['--help']).child;
  gone.stdout.destroy();
  const [code] = (await once(gone, 'exit')) as [number | null];
  assert.ok(code === 141 || code === 0, String(code));
  await using server = await fakeServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end();
  });
  const set = await ferry(server.dataDir, 'policy', 'set', 'x', '/nonexistent');
  assert.deepEqual([set.code, /^error: .*\/nonexistent/.test(set.stderr)], [2, true], set.stderr);
  const watched = await ferry(server.dataDir, 'event', 'watch');
  assert.deepEqual(
    [watched.code, watched.stderr.split('\n')[0]],
    [7, 'error: The control plane ended the stream of events.'],
  );
});

test('cluster set sends what is named, and null for what is taken away', async () => {
  const bodies: unknown[] = [];
  await using server = await fakeServer((request, response, body) => {
    bodies.push([request.method, JSON.parse(body)]);
    json(response, 200, { name: 'racks', hosts: [] });
  });
  await ferry(server.dataDir, 'cluster', 'set', 'racks', '--policy', 'night');
  await ferry(
    server.dataDir,
    'cluster',
    'set',
    'racks',
    '--migration-network',
    '',
    '--migration-ports',
    '',
    '--tls',
    '',
    '--map-network',
    'a=b',
    '--map-network',
    'c=',
    '--graphics-listen',
    '',
  );
  assert.deepEqual(bodies, [
    ['PATCH', { policy: 'night' }],
    [
      'PATCH',
      {
        migrationNetwork: null,
        migrationPorts: null,
        tls: null,
        map: { networks: { a: 'b', c: null }, graphicsListen: null },
      },
    ],
  ]);
  assert.equal((await ferry(server.dataDir, 'cluster', 'set', 'racks')).code, 2);
});

test('limits are whole numbers from 1, or "" for the default; anything else is refused before it is sent', async () => {
  const bodies: unknown[] = [];
  await using server = await fakeServer((request, response, body) => {
    bodies.push([request.url, JSON.parse(body)]);
    json(response, 200, { name: 'racks', hosts: [], maxMigrations: 7 });
  });
  const set = (...args: readonly string[]) => ferry(server.dataDir, ...args);
  await set('cluster', 'set', 'racks', '--max-outgoing-per-host', '2', '--max-incoming-per-host', '');
  assert.match((await set('fleet', 'set', '--max-migrations', '7')).stdout, /migrations at once +7/);
  assert.deepEqual(bodies, [
    ['/api/v1/clusters/racks', { maxOutgoingPerHost: 2, maxIncomingPerHost: null }],
    ['/api/v1/fleet', { maxMigrations: 7 }],
  ]);
  await set('cluster', 'set', 'racks', '--blackout', '22:00-02:00', '--blackout', 'Sat 00:00-24:00');
  await set('cluster', 'set', 'racks', '--blackout', '');
  assert.deepEqual(bodies.splice(2), [
    ['/api/v1/clusters/racks', { blackouts: ['22:00-02:00', 'Sat 00:00-24:00'] }],
    ['/api/v1/clusters/racks', { blackouts: null }],
  ]);
  for (const wrong of ['0', '-1', '1.5', 'many']) {
    const { code, stderr } = await set('fleet', 'set', '--max-migrations', wrong);
    assert.deepEqual([code, /It takes a whole number of migrations from 1\./.test(stderr)], [2, true], stderr);
  }
  assert.equal((await set('fleet', 'set')).code, 2);
  assert.equal(bodies.length, 2);
});

test('a planned drain says when each VM and the whole have left, how many leave at once, and what is unknown', async () => {
  const member = (name: string, expected: object) => ({
    vm: { uuid: name, name },
    memoryBytes: 2 ** 30,
    from: 'host1',
    to: 'host2',
    way: 'live',
    state: 'waiting',
    tries: 0,
    expected,
  });
  const drain = {
    id: 'd1',
    name: 'drain-host1-d1',
    kind: 'drain',
    hosts: ['host1'],
    phase: 'scheduled',
    startedAt: '2026-01-01T00:00:00Z',
    beginsAt: '2026-01-01T01:00:00Z',
    pace: [{ host: 'host1', atOnce: 2, why: 'what b writes is not known' }],
    expected: { text: 'not known, because what b writes is not known' },
    members: [
      member('a', { beginsAt: '2026-01-01T01:00:00Z', endsAt: '2026-01-01T01:00:42Z' }),
      member('b', { unknown: 'what b writes is not known' }),
    ],
  };
  const bodies: unknown[] = [];
  await using server = await fakeServer((_request, response, body) => {
    bodies.push(JSON.parse(body));
    json(response, 200, drain);
  });
  const host = (...args: readonly string[]) => ferry(server.dataDir, 'host', 'drain', 'host1', ...args);
  const plan = await host('--plan', '--at', '2026-01-01T01:00Z');
  assert.match(plan.stdout, /^a .*waiting +42\.0 s +\d{4}-01-01/m);
  assert.match(plan.stdout, /^b .*waiting +unknown +unknown/m);
  assert.match(plan.stdout, /at once +host1: 2 \(what b writes is not known\)/);
  assert.match(plan.stdout, /ends +not known, because what b writes is not known/);
  const stored = await host('--at', '2026-01-01T01:00Z');
  assert.match(stored.stdout, /phase +scheduled/);
  assert.deepEqual(bodies, [
    { hosts: ['host1'], at: '2026-01-01T01:00:00.000Z' },
    { hosts: ['host1'], at: '2026-01-01T01:00:00.000Z' },
  ]);
  const wrong = await host('--deadline', 'tomorrow');
  for (const time of ['2026-11-30T22:00', '2026-11-30', '12-31', '-5'])
    assert.equal((await host(`--at=${time}`)).code, 2, time);
  assert.deepEqual([wrong.code, /It takes a time as in 2h/.test(wrong.stderr)], [2, true], wrong.stderr);
});

test('queue says who waits, since when, and for what', async () => {
  const waits = {
    id: 'm1',
    name: 'drain-host1-00001',
    vm: { uuid: 'u', name: 'web' },
    origin: 'drain',
    batch: 'drain-host1',
    from: 'host1',
    place: 1,
    priority: 'operator',
    since: '2026-01-01T00:00:00.000Z',
    waitedMs: 65_000,
    waitsFor: [
      { code: 'target-slots', message: '2 of 2 slots of host3 for incoming migrations are taken by a and b.' },
    ],
  };
  await using server = await fakeServer((_request, response) => json(response, 200, { items: [waits], events: '1' }));
  const queue = (...args: readonly string[]) => ferry(server.dataDir, 'queue', ...args);
  assert.match((await queue()).stdout, /web +host1 +\S* *operator +1 min 5 s +2 of 2 slots of host3 .* a and b\./);
  assert.match((await queue('-o', 'csv')).stdout, /^m1,drain-host1-00001,web,host1,,operator,65000,2 of 2/m);
  assert.match((await queue('-o', 'wide')).stdout, /drain-host1/);
});

test('explain says what each code means, and names similar ones for a wrong one; no server is asked', async () => {
  const said = await ferry('/nonexistent', 'explain', 'disk-not-there', '-o', 'json');
  const [page] = JSON.parse(said.stdout) as readonly { readonly kind: string; readonly about: string }[];
  assert.deepEqual([said.code, page?.kind, page?.about], [0, 'reason', 'storage']);
  const list = await ferry('/nonexistent', 'explain');
  assert.deepEqual([list.code, list.stdout.split('\n').some((line) => /^store-locked .*error/.test(line))], [0, true]);
  const wrong = await ferry('/nonexistent', 'explain', 'Disk-not-here');
  assert.deepEqual([wrong.code, wrong.stdout], [6, '']);
  assert.match(wrong.stderr, /There is no code "Disk-not-here"[^]*Similar codes: disk-not-there/);
});

test('until a move is requested, nothing is loaded that its answer or another command needs', async () => {
  let loaded = '';
  await using server = await fakeServer((_request, response) => {
    loaded = readFileSync(join(server.dataDir, 'loaded'), 'utf8');
    json(response, 200, done);
  });
  // notes what is loaded when the request is sent: that is what the request had to wait for
  const hook = join(server.dataDir, 'hook.cjs');
  writeFileSync(
    hook,
    `const { writeFileSync } = process.getBuiltinModule('node:fs');
    const { OutgoingMessage } = process.getBuiltinModule('node:http');
    const { end } = OutgoingMessage.prototype;
    const loaded = [];
    process.getBuiltinModule('node:module').registerHooks({
      load: (url, context, next) => (loaded.push(url), next(url, context)),
    });
    OutgoingMessage.prototype.end = function (...given) {
      writeFileSync(${JSON.stringify(join(server.dataDir, 'loaded'))}, [...loaded, ...process.moduleLoadList].join(' '));
      return end.apply(this, given);
    };`,
  );
  const moved = ['vm', 'migrate', 'web', '--to', 'host2', '--detach'];
  const ran = await startNode(['--require', hook], server.dataDir, moved).ended;
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(loaded, /cli\/src\/commands\/vm-move\.ts/);
  assert.doesNotMatch(
    loaded,
    /follow\.ts|vm-plan\.ts|vm-list\.ts|watch-list\.ts|get-east-asian-width|yaml|zod|internal\/fs\/promises|internal\/readline|undici/,
  );
});

test('--version prints the version and nothing else', async () => {
  const ran = await ferry('/nonexistent', '--version');
  assert.deepEqual([ran.code, /^\d+\.\d+\.\d+\n$/.test(ran.stdout), ran.stderr], [0, true, '']);
});

test('--help lists every exit code', async () => {
  const ran = await ferry('/nonexistent', '--help');
  assert.equal(ran.code, 0);
  for (const code of [0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 130])
    assert.match(ran.stdout, new RegExp(`^ +${code} +\\w`, 'm'));
});
