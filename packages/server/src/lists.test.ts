/**
 * Lists, guards and events over real HTTP, on the real engine with fake hosts: pages and their tokens, what follows a
 * list, and what is refused without a change.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createClient, everyItem, problemSchema, type FerryEvent } from '@ferry/api';
import { memoryStores, startEngine } from '@ferry/engine';
import { fakeFleet, uriOf } from '@ferry/engine/fake';
import { createClock } from './clock.ts';
import { silentLog } from './fake-engine.ts';
import { createHttpServer } from './http-server.ts';

const token = 'T'.repeat(43);
const deadline = { timeout: 60_000 };
const patience = () => AbortSignal.timeout(20_000);
const vmCount = 12;

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly body: Readonly<Record<string, unknown>>;
}

async function controlPlane(context: TestContext) {
  const clock = createClock();
  const fleet = fakeFleet(clock);
  const stores = memoryStores({ clock });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  context.after(() => engine.close());
  for (const name of ['h1', 'h2', 'h3']) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name, cluster: name === 'h3' ? 'east' : 'west' }, patience());
  }
  for (let n = 0; n < vmCount; n += 1)
    fleet.run(n % 2 === 0 ? 'h1' : 'h2', {
      uuid: `aaaaaaaa-0000-4000-8000-${String(n).padStart(12, '0')}`,
      name: `vm${String(n).padStart(2, '0')}`,
    });
  while (engine.vms().length < vmCount) await clock.sleep(5);
  /** Another server over the same engine is as one that was started again. */
  const serve = async () => {
    const app = createHttpServer({ engine, token, version: '1', log: silentLog });
    context.after(() => app.close());
    return app.listen({ host: '127.0.0.1', port: 0 });
  };
  const ask = async (url: string, path: string, options: { method?: string; headers?: object; body?: object } = {}) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method: options.method ?? 'GET',
      headers: {
        authorization: `Bearer ${token}`,
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    const text = await response.text();
    const body = (text === '' ? {} : JSON.parse(text)) as Answer['body'];
    return { status: response.status, etag: response.headers.get('etag'), body } satisfies Answer;
  };
  const url = await serve();
  const client = createClient({ server: url, token, clientName: 'test' });
  return {
    engine,
    fleet,
    clock,
    client,
    url,
    serve,
    ask: (path: string, options = {}) => ask(url, path, options),
    askAt: ask,
  };
}

const namesOf = ({ body }: Answer): readonly string[] => (body['items'] as { name: string }[]).map(({ name }) => name);
const problemOf = ({ body, status }: Answer) => {
  const { code, detail } = problemSchema.parse(body);
  return { status, code, detail };
};
const next = ({ body }: Answer): string =>
  typeof body['next'] === 'string' ? body['next'] : assert.fail('no next page');

test('pages make up the list, and each tells from which event on it is followed', deadline, async (context) => {
  const { ask, client } = await controlPlane(context);
  const whole = await ask('/vms');
  assert.deepEqual([namesOf(whole).length, whole.body['next']], [vmCount, undefined]);
  const first = await ask('/vms?limit=5');
  const second = await ask(`/vms?limit=5&page=${next(first)}`);
  const third = await ask(`/vms?limit=5&page=${next(second)}`);
  assert.deepEqual([...namesOf(first), ...namesOf(second), ...namesOf(third)], namesOf(whole));
  assert.equal(third.body['next'], undefined);
  assert.deepEqual(
    [second, third].map(({ body }) => body['events']),
    [first.body['events'], first.body['events']],
  );
  const on = await everyItem((page) => client.call('vmList', { query: { host: 'h1', ...page } }));
  assert.deepEqual(
    on.items.map(({ name }) => name),
    ['vm00', 'vm02', 'vm04', 'vm06', 'vm08', 'vm10'],
  );
  assert.deepEqual(namesOf(await ask('/vms?cluster=west&name=vm1*')), ['vm10', 'vm11']);
  assert.deepEqual(namesOf(await ask('/vms?cluster=east')), []);
  assert.deepEqual(namesOf(await ask('/hosts?cluster=west&limit=1')), ['h1']);
  const connected = await everyItem((page) => client.call('hostList', { query: { state: 'connected', ...page } }));
  assert.equal(connected.items.length, 3);
  assert.deepEqual(namesOf(await ask('/hosts?label=zone')), []);
  assert.deepEqual(namesOf(await ask('/hosts?label=!zone&limit=1')), ['h1']);
  for (const [path, count] of [
    ['/policies', 5],
    ['/clusters', 3],
  ] as const) {
    const all = namesOf(await ask(path));
    assert.ok(all.length >= count, path);
    const one = await ask(`${path}?limit=1`);
    assert.deepEqual(namesOf(await ask(`${path}?limit=1&page=${next(one)}`)), [all[1]], path);
  }
});

test('a page token that is damaged, foreign or of an earlier start is refused', deadline, async (context) => {
  const { ask, askAt, serve } = await controlPlane(context);
  const page = next(await ask('/vms?limit=5&host=h1'));
  assert.equal((await ask(`/vms?limit=2&host=h1&page=${page}`)).status, 200, 'the size of a page may change');
  const damaged = {
    status: 400,
    code: 'page-token-invalid',
    detail: 'The page token is damaged, or it is older than the last start of the control plane.',
  };
  const foreign = { ...damaged, detail: 'The page token belongs to another list, or to other filters.' };
  const forged = Buffer.from(`${'0'.repeat(16)}{"of":"vms?[]","after":{"name":"vm05","uuid":"x"},"events":"a-1"}`);
  const other = page[30] === 'A' ? 'B' : 'A';
  for (const wrong of [
    `${page.slice(0, 30)}${other}${page.slice(31)}`,
    page.slice(0, -4),
    'AAAA',
    forged.toString('base64url'),
  ])
    assert.deepEqual(problemOf(await ask(`/vms?host=h1&page=${wrong}`)), damaged, wrong);
  for (const path of ['/vms?', '/vms?host=h2&', '/hosts?', '/migrations?'])
    assert.deepEqual(problemOf(await ask(`${path}page=${page}`)), foreign, path);
  assert.deepEqual(problemOf(await askAt(await serve(), `/vms?host=h1&page=${page}`)), damaged);
  assert.equal(problemOf(await ask('/vms?page=%2e%2e')).code, 'request-invalid');
});

test('a page beyond the end is empty', deadline, async (context) => {
  const { ask, engine, fleet, clock } = await controlPlane(context);
  const page = next(await ask('/vms?limit=11'));
  const last = fleet.hosts.get('h2') ?? assert.fail();
  last.domains.delete('aaaaaaaa-0000-4000-8000-000000000011');
  last.drop();
  while (engine.vms().length === vmCount) await clock.sleep(5);
  const beyond = await ask(`/vms?limit=11&page=${page}`);
  assert.deepEqual([beyond.status, namesOf(beyond), beyond.body['next']], [200, [], undefined]);
});

test(
  'a selector that does not parse, and a name that is not known, are refused in one sentence',
  deadline,
  async (context) => {
    const { ask } = await controlPlane(context);
    const cases: Record<string, string> = {
      '/vms?label=tier%20in%20(db': 'selector-invalid The selector "tier in (db" is not understood at "tier in (db".',
      '/migrations?label=a%3Db%2C': 'selector-invalid The selector "a=b," lacks a requirement before or after a comma.',
      '/vms?host=nosuch': 'host-unknown There is no host "nosuch".',
      '/hosts?label=zone=(': 'selector-invalid The selector "zone=(" is not understood at "zone=(".',
      '/vms?cluster=nosuch': 'cluster-unknown There is no cluster "nosuch".',
      '/migrations?host=nosuch': 'host-unknown There is no host "nosuch".',
    };
    for (const [path, said] of Object.entries(cases)) {
      const { code, detail } = problemOf(await ask(path));
      assert.equal(`${code} ${detail}`, said);
    }
  },
);

test(
  'a list and the events after it leave no gap, whatever changes while its pages are read',
  deadline,
  async (context) => {
    const { ask, client, engine } = await controlPlane(context);
    const first = await ask('/vms?limit=6');
    // on the page that was read, on the one that comes, and one for which no event is on its way yet
    for (const vm of ['vm01', 'vm09', 'vm11']) await engine.labelVm(vm, { add: ['seen=yes'], remove: [] });
    const second = await ask(`/vms?limit=6&page=${next(first)}`);
    const seen = new Map<string, readonly string[] | undefined>();
    for (const { name, labels } of [...(first.body['items'] as VmItem[]), ...(second.body['items'] as VmItem[])])
      seen.set(name, labels);
    const after = String(second.body['events']);
    for await (const { data } of client.stream('eventWatch', { lastEventId: after, signal: patience() })) {
      const event: FerryEvent = data;
      assert.notEqual(event.type, 'reset');
      if (event.type === 'vm') seen.set(event.vm.name, event.vm.labels);
      if ([...seen].filter(([, labels]) => labels?.includes('seen=yes')).length === 3) break;
    }
  },
);

test('a revision that is not current and a key of another request change nothing', deadline, async (context) => {
  const { ask, engine } = await controlPlane(context);
  const { etag } = await ask('/clusters?limit=1');
  assert.equal(etag, null, 'a list has no revision of its own');
  const made = await ask('/clusters/racks', { method: 'PATCH', body: { tls: true } });
  const changed = await ask('/clusters/racks', {
    method: 'PATCH',
    headers: { 'if-match': made.etag },
    body: { tls: false },
  });
  assert.equal(changed.status, 200);
  const stale = problemOf(
    await ask('/clusters/racks', { method: 'PATCH', headers: { 'if-match': made.etag }, body: { tls: true } }),
  );
  assert.deepEqual([stale.status, stale.code], [412, 'revision-stale']);
  assert.match(stale.detail, /^The cluster racks has revision \d+ now; the request is for revision \d+\.$/);
  assert.equal(engine.clusters().find(({ cluster }) => cluster.name === 'racks')?.cluster.tls, false);

  const start = { method: 'POST', headers: { 'idempotency-key': 'k1' }, body: { vm: 'vm00', to: 'h2' } };
  const begun = await ask('/migrations', start);
  assert.equal(begun.status, 201);
  assert.deepEqual((await ask('/migrations', start)).body['id'], begun.body['id'], 'the same request, the same answer');
  const used = problemOf(await ask('/migrations', { ...start, body: { vm: 'vm01', to: 'h1' } }));
  assert.deepEqual(used, {
    status: 422,
    code: 'idempotency-key-used',
    detail: 'The Idempotency-Key "k1" was used for another request.',
  });
  assert.equal((await engine.migrations({})).items.length, 1);
});

interface VmItem {
  readonly name: string;
  readonly labels?: readonly string[];
}
