import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { ApiError, createClient, eventSchema } from '@ferry/api';
import type { EventPlace, NumberedEvent } from '@ferry/engine';
import { encodeEvent } from './event-stream.ts';
import { fakeEngine, sampleVm, silentLog } from './fake-engine.ts';
import { createHttpServer } from './http-server.ts';

const token = 'T'.repeat(43);
const deadline = { timeout: 20_000 };

const listening = async (
  events: (after: EventPlace | undefined, signal: AbortSignal) => AsyncIterable<NumberedEvent>,
  pingMs = 15_000,
) => {
  const app = createHttpServer({ engine: fakeEngine({ events }), token, version: '1', log: silentLog, pingMs });
  const server = await app.listen({ host: '127.0.0.1', port: 0 });
  return { app, server, client: createClient({ server, token, clientName: 'test' }) };
};
const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
const vmEvent = (seq: number): NumberedEvent => ({
  seq,
  at: 1_700_000_000_000,
  event: { type: 'vm', vm: sampleVm, labels: [], revision: 0 },
});

test('a line break never gets into an id', () => {
  for (const id of ['1\n2', '1\r2', '1\0']) assert.throws(() => encodeEvent({ id, event: 'vm', data: {} }), RangeError);
  assert.equal(encodeEvent({ id: '1', event: 'vm', data: 'a\nb' }), 'id: 1\nevent: vm\ndata: "a\\nb"\n\n');
});

test(
  'events arrive on a real socket while the stream goes on; the source ends when the reader leaves',
  deadline,
  async () => {
    let left: Promise<void> | undefined;
    const { app, client } = await listening(async function* (after, signal) {
      left = aborted(signal);
      yield vmEvent((after?.seq ?? 0) + 1);
      yield vmEvent((after?.seq ?? 0) + 2);
      await left;
    });
    const seen: (string | undefined)[] = [];
    for await (const event of client.stream('eventWatch', { lastEventId: '41' })) {
      eventSchema.parse(event.data);
      seen.push(event.id);
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, ['run7-42', 'run7-43']);
    await left;
    await app.close();
  },
);

test('streams end when the server closes', deadline, async () => {
  const { app, client } = await listening(async function* (_after, signal) {
    yield vmEvent(1);
    await aborted(signal);
  });
  let closed: PromiseLike<unknown> | undefined;
  let count = 0;
  for await (const _ of client.stream('eventWatch')) {
    count += 1;
    closed = app.close();
  }
  assert.equal(count, 1);
  await closed;
});

test('a silent stream gets comments', deadline, async () => {
  const { app, server } = await listening(async function* (_after, signal) {
    await aborted(signal);
    yield vmEvent(1);
  }, 10);
  const response = await fetch(`${server}/api/v1/events`, { headers: { authorization: `Bearer ${token}` } });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.includes(': ping\n\n: ping\n\n')) break;
  }
  assert.match(text, /: ping/);
  await app.close();
});

test('a reader that does not read holds the source back', deadline, async () => {
  let made = 0;
  const { app, server } = await listening(async function* () {
    for (;;) {
      made += 1;
      yield vmEvent(made);
      // Lets the socket's callbacks in between two events.
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const call = request(`${server}/api/v1/events`, { headers: { authorization: `Bearer ${token}` } });
  call.end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  response.pause();
  // Held back means: a hundred turns of the loop, and later a whole round trip to the same server, bring nothing new.
  let before = -1;
  while (before !== made) {
    before = made;
    for (let turn = 0; turn < 2000; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(made > 10 && made < 200_000, String(made));
  response.destroy();
  await app.close();
});

test('failures of a call on a real socket are ApiErrors', deadline, async () => {
  const { app, server, client } = await listening(async function* () {});
  await assert.rejects(
    client.call('vmShow', { params: { vm: 'nix' } }),
    (error) => error instanceof ApiError && error.code === 'vm-unknown' && error.exit === 6 && error.status === 404,
  );
  await assert.rejects(
    createClient({ server, token: 'x', clientName: 'test' }).call('vmList'),
    (error) => error instanceof ApiError && error.code === 'token-wrong' && error.exit === 9,
  );
  assert.equal((await client.call('vmList')).items[0]?.name, 'web1');
  assert.equal(await client.call('hostRemove', { params: { host: 'alpha' } }), undefined);
  await app.close();
  await assert.rejects(
    client.call('vmList'),
    (error) => error instanceof ApiError && error.code === 'server-unreachable' && error.exit === 7,
  );
});

test('an event is encoded once, however many read it', deadline, async () => {
  const event = vmEvent(7);
  let encoded = 0;
  const app = createHttpServer({
    engine: fakeEngine({
      async *events(_after, signal) {
        yield event;
        await aborted(signal);
      },
      hostNameOf: () => {
        encoded += 1;
        return 'alpha';
      },
    }),
    token,
    version: '1',
    log: silentLog,
  });
  const server = await app.listen({ host: '127.0.0.1', port: 0 });
  const client = createClient({ server, token, clientName: 'test' });
  const read = async (): Promise<unknown> => {
    for await (const { id, data } of client.stream('eventWatch')) return { id, data };
    return undefined;
  };
  const first = await read();
  const once = encoded;
  assert.ok(once > 0);
  assert.deepEqual(
    await Promise.all(Array.from({ length: 20 }, read)),
    Array.from({ length: 20 }, () => first),
  );
  assert.equal(encoded, once);
  await app.close();
});
