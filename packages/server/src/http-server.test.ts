import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InjectOptions } from 'fastify';
import {
  errorTable,
  errorsOf,
  eventSchema,
  hasRevision,
  migrationSchema,
  operations,
  problemSchema,
  routes,
  apiBase,
} from '@ferry/api';
import type { ErrorCode, Operation, OperationName } from '@ferry/api';
import { FerryError } from '@ferry/core';
import type { Engine } from '@ferry/engine';
import { fakeEngine, silentLog } from './fake-engine.ts';
import { createHttpServer } from './http-server.ts';

const token = 'T'.repeat(43);
const authorization = `Bearer ${token}`;
const serverOf = (engine: Engine = fakeEngine()) =>
  createHttpServer({ engine, token, version: '1.2.3', log: silentLog });

const ask = async (options: InjectOptions, engine?: Engine) => {
  const app = serverOf(engine);
  try {
    return await app.inject({ ...options, headers: { authorization, ...options.headers } });
  } finally {
    await app.close();
  }
};
const askProblem = async (options: InjectOptions, engine?: Engine) => {
  const response = await ask(options, engine);
  assert.match(String(response.headers['content-type']), /^application\/problem\+json/);
  const problem = problemSchema.parse(response.json());
  assert.equal(response.statusCode, problem.status);
  return { ...problem, headers: response.headers, raw: response.body };
};

const policyBody = {
  description: 'mine',
  downtime: { initialMs: 100, limitMs: 200 },
  steps: [{ when: 'elapsed', ms: 1_000, do: 'raise-downtime', toMs: 200 }],
  postCopy: 'never',
  singleCopy: 'guard',
  twoCopies: 'alarm',
  unknownSharing: 'refuse',
};
const good: Record<OperationName, InjectOptions & { readonly url: string }> = {
  versionShow: { url: '/version' },
  hostList: { url: '/hosts' },
  hostAdd: { method: 'POST', url: '/hosts', payload: { uri: 'qemu+tcp://alpha/system' } },
  hostShow: { url: '/hosts/alpha' },
  hostRemove: { method: 'DELETE', url: '/hosts/alpha' },
  hostChange: { method: 'PATCH', url: '/hosts/alpha', payload: { migrationAddress: '10.0.0.1' } },
  hostCordon: { method: 'POST', url: '/hosts/alpha/cordon' },
  hostUncordon: { method: 'POST', url: '/hosts/alpha/uncordon' },
  hostLabel: { method: 'POST', url: '/hosts/alpha/labels', payload: { add: ['zone=a'] } },
  hostDoctor: { method: 'POST', url: '/doctor', payload: { hosts: ['alpha'] } },
  fleetShow: { url: '/fleet' },
  fleetChange: { method: 'PATCH', url: '/fleet', payload: { maxMigrations: 30 } },
  fleetExport: { url: '/fleet/export' },
  queueList: { url: '/queue' },
  hostRestore: { method: 'POST', url: '/hosts/alpha/restore' },
  drainCreate: { method: 'POST', url: '/drains', payload: { hosts: ['alpha'], force: true } },
  drainPlan: { method: 'POST', url: '/drains/plan', payload: { hosts: ['alpha'] } },
  drainList: { url: '/drains' },
  drainShow: { url: '/drains/d1' },
  rolloutCreate: { method: 'POST', url: '/rollouts', payload: { hosts: ['alpha'], returnMs: 60_000 } },
  rolloutList: { url: '/rollouts' },
  rolloutShow: { url: '/rollouts/r1' },
  rolloutContinue: { method: 'POST', url: '/rollouts/r1/continue' },
  rolloutCancel: { method: 'POST', url: '/rollouts/r1/cancel' },
  drainCancel: { method: 'POST', url: '/drains/d1/cancel', payload: {} },
  drainRetry: { method: 'POST', url: '/drains/d1/retry' },
  clusterList: { url: '/clusters' },
  clusterChange: {
    method: 'PATCH',
    url: '/clusters/east',
    payload: { migrationNetwork: '10.1.0.0/16', migrationPorts: { first: 50_000, last: 50_010 } },
  },
  clusterCpuBaseline: { method: 'POST', url: '/clusters/east/cpu-baseline' },
  clusterRemove: { method: 'DELETE', url: '/clusters/east' },
  migrationTune: { method: 'PATCH', url: '/migrations/m1', payload: { maxBandwidthMiBPerSecond: 10 } },
  policyList: { url: '/policies' },
  policyShow: { url: '/policies/nova' },
  policyPut: {
    method: 'PUT',
    url: '/policies/mine',
    payload: { ...policyBody, checks: { 'network-mtu': 'refuse', 'target-cpu-unknown': 'ignore' } },
  },
  policyRemove: { method: 'DELETE', url: '/policies/mine' },
  policyBindings: { url: '/policy-bindings' },
  policyBind: { method: 'POST', url: '/policy-bindings', payload: { label: 'tier=db', policy: 'nova' } },
  ruleList: { url: '/rules' },
  ruleShow: { url: '/rules/spread' },
  ruleChange: {
    method: 'PATCH',
    url: '/rules/spread',
    payload: { kind: 'together', vms: ['a', 'b'], vmSelector: null },
  },
  ruleRemove: { method: 'DELETE', url: '/rules/spread' },
  configurationShow: { url: '/configuration' },
  configurationApply: {
    method: 'POST',
    url: '/configuration',
    payload: { configuration: { version: 1, rules: { spread: { kind: 'apart', strength: 'hard', vms: ['a', 'b'] } } } },
  },
  vmLabel: { method: 'POST', url: '/vms/web1/labels', payload: { add: ['tier=db'] } },
  vmAnnounce: { method: 'POST', url: '/vms/web1/announce' },
  vmDirtyRate: { method: 'POST', url: '/vms/web1/dirty-rate', payload: { seconds: 8 } },
  statsPrediction: { url: '/stats/prediction' },
  vmCopies: { url: '/vms/web1/copies' },
  vmSettle: { method: 'POST', url: '/vms/web1/settle', payload: { keep: 'beta' } },
  vmRemains: { url: '/vms/web1/remains' },
  vmCleanup: { method: 'POST', url: '/vms/web1/cleanup' },
  migrationPause: { method: 'POST', url: '/migrations/m1/pause' },
  migrationSamples: { url: '/migrations/m1/samples' },
  migrationInspect: { url: '/migrations/m1/inspection' },
  vmList: { url: '/vms' },
  vmShow: { url: '/vms/web1' },
  migrationList: { url: '/migrations?state=active&vm=web1&limit=5' },
  migrationCreate: {
    method: 'POST',
    url: '/migrations',
    payload: { vm: 'web1', to: 'beta' },
    headers: { 'ferry-client': 'cli' },
  },
  migrationPlan: {
    method: 'POST',
    url: '/migrations/plan',
    payload: { vm: 'web1', map: { networks: { lan: 'lan2' }, graphicsListen: '::1' } },
  },
  migrationShow: { url: '/migrations/m1' },
  migrationAbort: { method: 'POST', url: '/migrations/m1/abort' },
  migrationPostCopy: { method: 'POST', url: '/migrations/m1/postcopy' },
  leftoverList: { url: '/volumes/leftovers' },
  leftoverPurge: {
    method: 'POST',
    url: '/volumes/leftovers/purge',
    payload: { host: 'alpha', path: '/pool/web1.qcow2' },
  },
  migrationWatch: { url: '/migrations/m1/watch' },
  eventWatch: { url: '/events' },
};

for (const name of Object.keys(routes) as OperationName[]) {
  test(`${name} answers as the table says`, async () => {
    const operation: Operation = operations[name];
    const options = good[name];
    const response = await ask({ ...options, url: `${apiBase}${options.url}` });
    assert.equal(response.statusCode, operation.status, response.body);
    const etag = hasRevision(operation) ? `"${response.json<{ revision: number }>().revision}"` : undefined;
    assert.equal(response.headers.etag, etag);
    if (operation.stream !== undefined) {
      assert.match(String(response.headers['content-type']), /^text\/event-stream/);
      const data = response.body.split('\n').filter((line) => line.startsWith('data: '));
      assert.ok(data.length >= 2);
      for (const line of data) operation.stream.parse(JSON.parse(line.slice(6)));
    } else if (operation.answer === undefined) {
      assert.equal(response.body, '');
    } else {
      assert.deepEqual(operation.answer.parse(response.json()), response.json());
    }
  });
}

test('what was parsed reaches the engine, the name of the client too', async () => {
  const engine = fakeEngine();
  await ask({ ...good.migrationCreate, url: '/api/v1/migrations' }, engine);
  await ask({ url: '/api/v1/migrations?limit=5&state=active' }, engine);
  await ask({ ...good.hostAdd, url: '/api/v1/hosts' }, engine);
  assert.deepEqual(engine.asked, [
    { name: 'startMigration', with: { request: { vm: 'web1', to: 'beta' }, by: { actor: 'operator', client: 'cli' } } },
    { name: 'migrations', with: { state: 'active', limit: 5 } },
    { name: 'addHost', with: { uri: 'qemu+tcp://alpha/system' } },
  ]);
});

test('a cluster is patched: what is not named stays, null takes away', async () => {
  const patch = async (payload: object): Promise<unknown> =>
    (await ask({ method: 'PATCH', url: '/api/v1/clusters/east', payload })).json();
  assert.deepEqual(await patch({ policy: 'nova', map: { networks: { a: 'b', c: null } } }), {
    name: 'east',
    tls: true,
    policy: 'nova',
    map: { networks: { a: 'b' } },
    hosts: [],
    revision: 8,
  });
  assert.deepEqual(await patch({ tls: null }), { name: 'east', hosts: [], revision: 8 });
});

test('If-Match goes to the engine as a revision; one that is stale, or is no ETag, or is not taken, is refused', async () => {
  const revisions: unknown[] = [];
  const engine = fakeEngine({
    changeHost: async (_ref, _settings, expected) => {
      revisions.push(expected);
      throw new FerryError('revision-stale', 'The host alpha has revision 9 now; the request is for revision 7.');
    },
  });
  const change = (value: string) =>
    askProblem({ ...good.hostChange, url: '/api/v1/hosts/alpha', headers: { 'if-match': value } }, engine);
  const { status, code, detail } = await change('"7"');
  assert.deepEqual([status, code, revisions], [412, 'revision-stale', [7]]);
  assert.match(detail, /^The host alpha has revision 9 now; /);
  for (const value of ['7', 'W/"7"', '*', '"x"', '"7", "8"', '']) {
    const problem = await change(value);
    assert.deepEqual(
      [problem.status, problem.detail],
      [400, 'The header "If-Match" must be one ETag with its quotes, such as "17".'],
      value,
    );
  }
  const notTaken = await askProblem(
    { ...good.migrationCreate, url: '/api/v1/migrations', headers: { 'if-match': '"7"' } },
    engine,
  );
  assert.deepEqual([notTaken.status, notTaken.detail], [400, 'This operation does not take the header "If-Match".']);
  assert.deepEqual([revisions, engine.asked], [[7], []]);
});

test('what makes something takes Idempotency-Key: the same request is the same in whatever order its fields come', async () => {
  const keyed: unknown[] = [];
  const engine = fakeEngine({
    once: async (request, make) => {
      keyed.push(request);
      return make(() => []);
    },
  });
  const create = (payload: object, key = 'k-1') =>
    ask({ method: 'POST', url: '/api/v1/migrations', payload, headers: { 'idempotency-key': key } }, engine);
  await create({ vm: 'web1', to: 'beta' });
  await create({ to: 'beta', vm: 'web1' });
  await create({ to: 'alpha', vm: 'web1' });
  const [first, same, other] = keyed as { readonly key: string; readonly request: string }[];
  assert.deepEqual(same, first);
  assert.deepEqual([other?.key, other?.request === first?.request], ['k-1', false]);
  assert.match(
    (await create({ vm: 'web1' }, 'two words')).json<{ detail: string }>().detail,
    /must have 1 to 255 printable ASCII/,
  );
  const notTaken = await askProblem({ url: '/api/v1/vms', headers: { 'idempotency-key': 'k' } }, engine);
  assert.deepEqual(
    [notTaken.status, notTaken.detail],
    [400, 'This operation does not take the header "Idempotency-Key".'],
  );
  for (const [name, operation] of Object.entries(operations) as [OperationName, Operation][])
    assert.equal(operation.idempotencyKey === true, operation.status === 201, name);
});

test('every change of a document takes If-Match and can be refused as stale', () => {
  for (const [name, operation] of Object.entries(operations) as [OperationName, Operation][]) {
    const changes =
      ['PUT', 'PATCH', 'DELETE'].includes(routes[name].method) ||
      ['hostCordon', 'hostUncordon', 'hostLabel', 'vmLabel'].includes(name);
    if (changes) assert.equal(operation.ifMatch, true, name);
    assert.equal(errorsOf(operation).includes('revision-stale'), operation.ifMatch === true, name);
  }
});

test('a made object is named by its location', async () => {
  assert.equal(
    (await ask({ ...good.migrationCreate, url: '/api/v1/migrations' })).headers.location,
    '/api/v1/migrations/m1',
  );
  assert.equal((await ask({ ...good.hostAdd, url: '/api/v1/hosts' })).headers.location, '/api/v1/hosts/h1');
});

test('names with odd characters travel in the path', async () => {
  assert.match((await askProblem({ url: `/api/v1/vms/${encodeURIComponent('a/b %ü')}` })).detail, /"a\/b %ü"/);
});

test('every code of the error table becomes its problem document', async () => {
  for (const code of Object.keys(errorTable) as ErrorCode[]) {
    const reasons = [{ code: 'vm-gone' as const, host: 'beta', message: 'm', remedy: 'w' }];
    const problem = await askProblem(
      { url: '/api/v1/vms' },
      fakeEngine({
        vmPage: () => {
          throw new FerryError(code, 'It is so.', { reasons });
        },
      }),
    );
    const { status, remedy, retriable } = errorTable[code];
    assert.deepEqual(
      [problem.code, problem.status, problem.remedy, problem.retriable, problem.detail, problem.reasons],
      [code, status, remedy, retriable, 'It is so.', reasons],
    );
    assert.equal(problem.type, `/docs#error-${code}`);
  }
});

test('the reference page has an anchor for every error code and every operation, and loads nothing', async () => {
  const app = serverOf();
  const response = await app.inject({ url: '/docs' });
  await app.close();
  assert.equal(response.statusCode, 200);
  for (const code of Object.keys(errorTable)) assert.ok(response.body.includes(`id="error-${code}"`), code);
  for (const name of Object.keys(routes)) assert.ok(response.body.includes(`id="${name}"`), name);
  assert.doesNotMatch(response.body, /<script|<link|<img|@import|url\(|\ssrc=/i);
  assert.deepEqual([...new Set(response.body.match(/https?:\/\/[^\s<"]+/g))], ['http://127.0.0.1:PORT']);
  assert.match(String(response.headers['content-security-policy']), /^default-src 'none'; style-src 'sha256-/);
});

test('the OpenAPI document needs the token and covers every operation', async () => {
  assert.equal((await askProblem({ url: '/openapi.json', headers: { authorization: '' } })).code, 'token-missing');
  const document: unknown = (await ask({ url: '/openapi.json' })).json();
  const text = JSON.stringify(document);
  for (const name of Object.keys(routes)) assert.ok(text.includes(`"operationId":"${name}"`), name);
});

for (const url of ['/api/v1/vms', '/api/v1/events', '/openapi.json', '/nowhere', '/', '/docs/', '/docs?x', '//docs']) {
  test(`${url} without or with a wrong token`, async () => {
    const app = serverOf();
    const missing = await app.inject({ url });
    const wrong = await app.inject({ url, headers: { authorization: `Bearer ${token}x` } });
    const basic = await app.inject({ url, headers: { authorization: `Basic ${token}` } });
    await app.close();
    if (url === '/docs?x') {
      assert.equal(missing.statusCode, 200);
      return;
    }
    assert.deepEqual([missing.statusCode, missing.json().code], [401, 'token-missing']);
    assert.equal(missing.headers['www-authenticate'], 'Bearer');
    assert.deepEqual([wrong.json().code, basic.json().code], ['token-wrong', 'token-wrong']);
  });
}

test('foreign Host and Origin are refused, also for the reference page', async () => {
  for (const headers of [
    { host: 'ferry.example' },
    { host: '127.0.0.1:9' },
    { host: '10.0.0.1' },
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: 'https://localhost' },
  ]) {
    for (const url of ['/docs', '/api/v1/vms'])
      assert.equal((await askProblem({ url, headers })).code, 'origin-foreign', JSON.stringify(headers));
  }
  for (const headers of [
    { host: '127.0.0.1' },
    { host: 'LOCALHOST:80' },
    { host: '[::1]' },
    { origin: 'http://localhost' },
  ]) {
    assert.equal((await ask({ url: '/api/v1/vms', headers })).statusCode, 200, JSON.stringify(headers));
  }
});

test('unknown paths and wrong methods', async () => {
  assert.equal((await askProblem({ url: '/api/v1/nothing' })).code, 'not-found');
  assert.equal((await askProblem({ url: '/api/v1/vms/a/b' })).code, 'not-found');
  const refused = await askProblem({ method: 'PUT', url: '/api/v1/hosts' });
  assert.deepEqual([refused.code, refused.headers.allow], ['method-not-allowed', 'GET, POST']);
  assert.equal((await askProblem({ method: 'POST', url: '/docs' })).code, 'method-not-allowed');
});

const badInput: readonly (readonly [string, InjectOptions, RegExp])[] = [
  ['no body', { method: 'POST', url: '/api/v1/hosts' }, /no body/],
  ['a missing field', { method: 'POST', url: '/api/v1/hosts', payload: {} }, /"uri" of the body/],
  [
    'a field too many',
    { method: 'POST', url: '/api/v1/hosts', payload: { uri: 'test:///default', colour: 1 } },
    /no field "colour"/,
  ],
  [
    'not JSON',
    { method: 'POST', url: '/api/v1/hosts', payload: '{', headers: { 'content-type': 'application/json' } },
    /not valid JSON/,
  ],
  [
    'another type',
    {
      method: 'POST',
      url: '/api/v1/hosts',
      payload: 'uri=x',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    },
    /must be JSON/,
  ],
  [
    'plain text',
    {
      method: 'POST',
      url: '/api/v1/hosts',
      payload: '{"uri":"test:///default"}',
      headers: { 'content-type': 'text/plain' },
    },
    /must be JSON/,
  ],
  ['too large', { method: 'POST', url: '/api/v1/hosts', payload: { uri: 'x'.repeat(70_000) } }, /larger than 64 KiB/],
  [
    'a prototype',
    {
      method: 'POST',
      url: '/api/v1/hosts',
      payload: '{"uri":"a","__proto__":{}}',
      headers: { 'content-type': 'application/json' },
    },
    /not valid JSON/,
  ],
  ['a wrong query', { url: '/api/v1/migrations?limit=0' }, /"limit" of the query/],
  ['a query given twice', { url: '/api/v1/migrations?vm=a&vm=b' }, /"vm" of the query/],
  [
    'both targets',
    { method: 'POST', url: '/api/v1/migrations', payload: { vm: 'a', to: 'b', preferHost: 'c' } },
    /"to" and "preferHost"/,
  ],
  [
    'a policy that decides on a code that there is not',
    {
      method: 'PUT',
      url: '/api/v1/policies/night',
      payload: { ...policyBody, checks: { 'target-older-kernel': 'refuse' } },
    },
    /"checks" of the body has no field "target-older-kernel"/,
  ],
  [
    'a policy that allows what is refused',
    { method: 'PUT', url: '/api/v1/policies/night', payload: { ...policyBody, checks: { 'target-memory': 'warn' } } },
    /"checks" of the body has no field "target-memory"/,
  ],
  [
    'a policy that does something else',
    {
      method: 'PUT',
      url: '/api/v1/policies/night',
      payload: { ...policyBody, checks: { 'network-mtu': 'panic' } },
    },
    /"checks.network-mtu" of the body must be one of refuse, warn, ignore/,
  ],
  ['a broken path', { url: '/api/v1/vms/%zz' }, /not a valid URL/],
  ['a long name', { url: `/api/v1/vms/${'x'.repeat(300)}` }, /"vm" of the path/],
  ['a wrong event id', { url: '/api/v1/events', headers: { 'last-event-id': '-1' } }, /Last-Event-ID/],
];
for (const [what, options, expected] of badInput) {
  test(`bad input: ${what}`, async () => {
    const engine = fakeEngine();
    const problem = await askProblem(options, engine);
    assert.equal(problem.code, 'request-invalid');
    assert.match(problem.detail, expected);
    assert.deepEqual(engine.asked, []);
  });
}

test('a broken path needs a token too', async () => {
  assert.equal((await askProblem({ url: '/api/v1/vms/%zz', headers: { authorization: '' } })).code, 'token-missing');
});

test('a defect is logged and not shown', async () => {
  const logged: unknown[] = [];
  const app = createHttpServer({
    engine: fakeEngine({
      vmPage: () => {
        throw new TypeError('secret detail');
      },
    }),
    token,
    version: '1',
    log: { ...silentLog, error: (fields) => logged.push(fields) },
  });
  const response = await app.inject({ url: '/api/v1/vms', headers: { authorization } });
  await app.close();
  assert.equal(response.json().code, 'internal');
  assert.doesNotMatch(response.body, /secret|TypeError|\.ts/);
  assert.equal(logged.length, 1);
});

test('kept events carry their ids, and replay starts after the one named', async () => {
  const engine = fakeEngine();
  const ids = async (url: string, headers = {}) =>
    (await ask({ url, headers }, engine)).body.split('\n').filter((line) => /^(id|event): /.test(line));
  assert.deepEqual(await ids('/api/v1/events', { 'last-event-id': 'run7-41' }), [
    'id: run7-42',
    'event: vm',
    'event: migration',
    'id: run7-43',
    'event: host',
    'id: run7-44',
    'event: host-removed',
    'id: run7-45',
    'event: vm-removed',
    'event: reset',
  ]);
  assert.equal((await ids('/api/v1/events?after=7'))[0], 'id: run7-8');
  const light = (await ask({ url: '/api/v1/events?after=7&progress=light' })).body.split('\n\n');
  const [progress = ''] = light.filter((each) => each.includes('event: migration'));
  assert.match(progress, /^event: migration-progress$/m);
  const data = eventSchema.parse(JSON.parse(/^data: (.*)$/m.exec(progress)?.[1] ?? ''));
  assert.ok(data.type === 'migration-progress' && data.migration === 'm1' && data.progress?.percent !== undefined);
  assert.ok(!progress.includes('phases'), 'without the document');
  assert.equal((await ids('/api/v1/events?after=7', { 'last-event-id': '9' }))[0], 'id: run7-10');
  assert.deepEqual(
    engine.asked.map((one) => one.with),
    [{ run: 'run7', seq: 41 }, { seq: 7 }, { seq: 9 }],
  );
});

test('watching an unknown migration is refused before a stream begins', async () => {
  assert.equal((await askProblem({ url: '/api/v1/migrations/m9/watch' })).code, 'migration-unknown');
});

test('the finished state is the last of a watched migration', async () => {
  const response = await ask({ url: '/api/v1/migrations/m1/watch' });
  const last =
    response.body
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .at(-1) ?? '';
  assert.equal(migrationSchema.parse(JSON.parse(last.slice(6))).outcome, 'failed');
  assert.throws(() => eventSchema.parse(JSON.parse(last.slice(6))));
});
