/** Lists of the command line against a small server that speaks the contract: pages, filters, formats, --watch. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { parse } from 'yaml';
import { fakeServer, json, problem, start as startIn } from './fake-server.ts';

const vm = (name: string, more: object = {}) => ({
  uuid: `uuid-of-${name}`,
  name,
  host: 'host1',
  state: 'running',
  memoryBytes: 1_073_741_824,
  vcpus: 2,
  disks: [],
  instances: [{ host: 'host1', role: 'authoritative', state: 'running' }],
  revision: 0,
  ...more,
});
interface Server {
  readonly dataDir: string;
}
const run = ({ dataDir }: Server, ...args: readonly string[]) => startIn(dataDir, ...args).ended;
function start({ dataDir }: Server, ...args: readonly string[]) {
  const { child, ended, out } = startIn(dataDir, ...args);
  return {
    ended,
    out,
    interrupt: () => child.kill('SIGINT'),
    until: async (what: (seen: typeof out) => boolean): Promise<void> => {
      while (!what(out)) {
        assert.equal(child.exitCode, null, out.stderr);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}
const pathOf = ({ url = '' }: IncomingMessage): URL => new URL(url, 'http://localhost');

/** Serves these VMs in pages of two. */
async function vmServer(vms: () => readonly object[], refuses: () => boolean = () => false) {
  const asked: string[] = [];
  const streams = new Set<ServerResponse>();
  const server = await fakeServer((request, response) => {
    const { pathname, searchParams } = pathOf(request);
    if (pathname.endsWith('/events')) {
      asked.push(`events after ${String(request.headers['last-event-id'])}`);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': ferry\n\n');
      streams.add(response);
      return response.once('close', () => streams.delete(response));
    }
    if (refuses()) return json(response, 404, problem('host-unknown', 404));
    const given = [...searchParams].filter(([key]) => !['limit', 'page'].includes(key));
    asked.push(given.map(([key, value]) => `${key}=${value}`).join(' '));
    const uuid = searchParams.get('uuid');
    const all = vms().filter((each) => uuid === null || (each as { uuid: string }).uuid === uuid);
    const from = Number(searchParams.get('page') ?? 0);
    json(response, 200, {
      items: all.slice(from, from + 2),
      ...(from + 2 < all.length ? { next: String(from + 2) } : {}),
      events: 'run-7',
    });
  });
  return {
    ...server,
    asked,
    send: (event: object) => {
      for (const stream of streams) stream.write(`event: x\ndata: ${JSON.stringify(event)}\n\n`);
    },
    endStreams: () => {
      for (const stream of streams) stream.end();
    },
    streaming: () => streams.size > 0,
  };
}

test('a list follows its pages, and its filters go to the server', async () => {
  await using server = await vmServer(() => ['a', 'b', 'c', 'd', 'e'].map((name) => vm(name)));
  const list = await run(server, 'vm', 'list', '-o', 'name');
  assert.deepEqual([list.code, list.stdout], [0, 'a\nb\nc\nd\ne\n']);
  assert.deepEqual(server.asked, ['', '', '']);
  server.asked.length = 0;
  await run(
    server,
    'vm',
    'list',
    '--host',
    'h',
    '--cluster',
    'c',
    '--state',
    'running',
    '--name',
    'a*',
    '-l',
    'x in (y,z)',
  );
  assert.equal(server.asked[0], 'host=h cluster=c state=running name=a* label=x in (y,z)');
});

test('every format says the same', async () => {
  const items = [vm('web', { labels: ['tier=db', 'x="1,2"'] }), vm('ye\u202es', { host: 'h\u009b' })];
  await using server = await vmServer(() => items);
  const printed = async (format: string): Promise<string> => {
    const { code, stdout, stderr } = await run(server, 'vm', 'list', '-o', format);
    assert.equal(code, 0, stderr);
    assert.ok(!/[\u009b\u202e]/.test(stdout), `${format}: nothing that a terminal obeys`);
    return stdout;
  };
  assert.deepEqual(JSON.parse(await printed('json')), items);
  assert.deepEqual(parse(await printed('yaml')), items);
  assert.equal(
    await printed('csv'),
    'name,state,host,memory,vcpus,migration,labels,disks,instances,uuid\n' +
      'web,running,host1,1073741824,2,,"tier=db,x=""1,2""",0,host1,uuid-of-web\n' +
      'ye\\u202es,running,h\\u009b,1073741824,2,,,0,host1,uuid-of-ye\\u202es\n',
  );
  assert.match(await printed('table'), /^NAME +STATE +HOST +MEMORY +VCPUS +MIGRATION +UUID\n/);
  assert.match(await printed('wide'), /^NAME .* LABELS +DISKS +INSTANCES +UUID\nweb .*1\.0 GiB/);
});

test('a format of lists is refused where there is no list, before anything is asked', async () => {
  await using server = await vmServer(() => assert.fail('asked'));
  for (const args of [
    ['vm', 'label', 'web', 'a=b', '-o', 'csv'],
    ['-o', 'name', 'vm', 'label', 'web', 'a=b'],
  ]) {
    const { code, stderr } = await run(server, ...args);
    assert.equal(code, 2);
    assert.match(stderr, /^error: -o (csv|name) is for lists\. Choose table, json, yaml\.$/m);
  }
  assert.deepEqual(server.asked, []);
});

test('what the server refuses of a filter is one sentence', async () => {
  await using server = await fakeServer((_, response) => json(response, 400, problem('selector-invalid', 400)));
  const { code, stdout, stderr } = await run(server, 'vm', 'list', '-l', 'a in (');
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^error: It is so\.\nhint: Do this\.\n$/);
});

test(
  '--watch prints what changes and what is gone, from the event that the list named',
  { timeout: 30_000 },
  async () => {
    let vms = ['a', 'b', 'c'].map((name) => vm(name));
    await using server = await vmServer(() => vms);
    const watching = start(server, 'vm', 'list', '--watch', '--host', 'host1', '-o', 'json');
    await watching.until(() => server.streaming());
    assert.ok(server.asked.includes('events after run-7'));
    server.asked.length = 0;
    vms = [vm('a', { state: 'paused' }), vm('c'), vm('d')];
    const at = '2026-01-01T00:00:00.000Z';
    server.send({
      type: 'migration-progress',
      at,
      migration: 'm',
      vm: { uuid: 'x', name: 'x' },
      phase: 'transferring',
    });
    for (const name of ['a', 'c', 'd']) server.send({ type: 'vm', at, vm: vm(name) });
    server.send({ type: 'vm-removed', at, uuid: 'uuid-of-b', name: 'b' });
    await watching.until(({ stdout }) => stdout.includes('gone'));
    assert.deepEqual(
      server.asked,
      ['a', 'c', 'd', 'b'].map((name) => `host=host1 uuid=uuid-of-${name}`),
      'only what changed is asked for',
    );
    vms = [vm('c')];
    server.send({ type: 'reset', at });
    await watching.until(({ stdout }) => stdout.split('gone').length === 4);
    assert.deepEqual(
      watching.out.stdout
        .trim()
        .split('\n')
        .map((line) => {
          const { change, item } = JSON.parse(line) as { change: string; item: { name: string; state: string } };
          return `${change} ${item.name} ${item.state}`;
        }),
      [
        ...['a', 'b', 'c'].map((name) => `changed ${name} running`),
        'changed a paused',
        'changed d running',
        'gone b running',
        'gone a paused',
        'gone d running',
      ],
    );
    watching.interrupt();
    assert.equal((await watching.ended).code, 130);
  },
);

test('--watch ends with an error when the server stops, and when a list is refused', { timeout: 30_000 }, async () => {
  let refuse = false;
  await using server = await vmServer(
    () => [vm('a')],
    () => refuse,
  );
  const stopped = start(server, 'vm', 'list', '--watch');
  await stopped.until(() => server.streaming());
  server.endStreams();
  const { code, stderr, stdout } = await stopped.ended;
  assert.equal(code, 7);
  assert.match(stderr, /The control plane ended the stream of events/);
  assert.match(stdout, /^NAME .*\na .*\n$/);

  const refused = start(server, 'vm', 'list', '--watch');
  await refused.until(() => server.streaming());
  refuse = true;
  server.send({ type: 'reset', at: '2026-01-01T00:00:00.000Z' });
  const end = await refused.ended;
  assert.equal(end.code, 6);
  assert.match(end.stderr, /^error: It is so\./);
});
