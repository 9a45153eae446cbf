import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answering, ok, opening, serve } from '../test/fake-daemon.ts';
import type { Server } from '../test/fake-daemon.ts';
import { until } from '../test/scripted-peer.ts';
import { VIR_MIGRATE } from './constants.ts';
import { ConnectError, ConnectionLostError, InvalidArgumentError } from './errors.ts';
import type { Frame } from './frame.ts';
import { procedures as p } from './procedures.ts';
import { openHostSession } from './session.ts';
import { encode, i32, struct } from './xdr.ts';

const dom = { name: 'guest', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 };
const migration = { destinationUri: 'qemu+tcp://x2/system', flags: VIR_MIGRATE.LIVE, params: {} };

interface Call {
  /** Which connection it came on, from 0. */
  readonly connection: number;
  readonly procedure: number;
}

/** A daemon that opens, registers events, carries out urgent calls and never answers others. */
async function slowDaemon(): Promise<Server & { readonly calls: readonly Call[]; readonly open: number }> {
  const calls: Call[] = [];
  let connections = 0;
  let open = 0;
  const server = await serve((socket) => {
    const connection = connections++;
    open += 1;
    socket.on('close', () => (open -= 1));
    const answer = (call: Frame): Buffer | undefined => {
      calls.push({ connection, procedure: call.procedure });
      if (call.procedure === p.domainAbortJob.number) return ok(call);
      if (call.procedure !== p.connectDomainEventCallbackRegisterAny.number) return undefined;
      return ok(call, encode(struct({ callbackId: i32 }), { callbackId: calls.length }));
    };
    answering(opening(answer))(socket);
  });
  return {
    port: server.port,
    calls,
    get open() {
      return open;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const open = async (daemon: Server): ReturnType<typeof openHostSession> =>
  await openHostSession(`qemu+tcp://127.0.0.1:${daemon.port}/system`);
const isLost = (outcome: 'unknown' | 'not-started') => (error: unknown) =>
  error instanceof ConnectionLostError && error.outcome === outcome;

test('an urgent call goes by the event connection when slow ones fill the other', async () => {
  await using daemon = await slowDaemon();
  await using session = await open(daemon);
  await session.subscribe();
  const slow = Array.from({ length: 5 }, () => session.domainXml(dom).catch((error: unknown) => error));
  await until(
    'four are under way',
    () => daemon.calls.filter(({ procedure }) => procedure === p.domainGetXmlDesc.number).length === 4,
  );
  await session.domainAbortJob(dom);
  assert.deepEqual(daemon.calls.at(-1), { connection: 1, procedure: p.domainAbortJob.number });
  await session.close();
  const outcomes = (await Promise.all(slow)).map((error) =>
    error instanceof ConnectionLostError ? error.outcome : error,
  );
  assert.deepEqual(outcomes, ['unknown', 'unknown', 'unknown', 'unknown', 'not-started']);
});

test('a migration has a connection of its own; cancelling the wait closes only that', async () => {
  await using daemon = await slowDaemon();
  await using session = await open(daemon);
  const stop = new AbortController();
  const lost = assert.rejects(
    session.domainMigratePeerToPeer(dom, migration, { signal: stop.signal }),
    isLost('unknown'),
  );
  await until('it is under way', () => daemon.calls.length === 1);
  assert.deepEqual(daemon.calls[0], { connection: 1, procedure: p.domainMigratePerform3Params.number });
  stop.abort();
  await lost;
  await until('its connection is closed', () => daemon.open === 1);
  await session.domainAbortJob(dom);
  assert.equal(daemon.calls.length, 2, 'giving up sends no abort by itself');
});

test('closing the session ends the wait for a migration, outcome unknown', async () => {
  await using daemon = await slowDaemon();
  const session = await open(daemon);
  const lost = assert.rejects(
    session.domainMigratePeerToPeer(dom, migration),
    (error) => error instanceof ConnectionLostError && error.outcome === 'unknown' && error.reason === 'closed',
  );
  await until('it is under way', () => daemon.calls.length === 1);
  await session.close();
  await lost;
  await until('all connections are closed', () => daemon.open === 0);
  await assert.rejects(session.domainMigratePeerToPeer(dom, migration), isLost('not-started'));
});

test('a migration that cannot start says so, and sends nothing', async () => {
  await using daemon = await slowDaemon();
  await using session = await open(daemon);
  await assert.rejects(
    session.domainMigratePeerToPeer(dom, { ...migration, destinationUri: 'qemu:///system' }),
    InvalidArgumentError,
  );
  await assert.rejects(
    session.domainMigratePeerToPeer(dom, migration, { signal: AbortSignal.abort() }),
    (error) => error instanceof ConnectError && error.kind === 'cancelled',
  );
  assert.deepEqual(daemon.calls, []);
});

test('a subscriber that cancels while registrations hang is released', async () => {
  let connections = 0;
  await using daemon = await serve((socket) => {
    connections += 1;
    socket.on('close', () => (connections -= 1));
    answering(opening(() => undefined))(socket);
  });
  const session = await open(daemon);
  await assert.rejects(session.subscribe({ signal: AbortSignal.timeout(30) }), { name: 'TimeoutError' });
  const second = assert.rejects(session.subscribe(), ConnectionLostError);
  await until('the event connection is there', () => connections === 2);
  await session.close();
  await until('both are closed', () => connections === 0);
  await second;
});

test('numbers that make no sense are refused on this side', async () => {
  await using daemon = await slowDaemon();
  await using session = await open(daemon);
  await assert.rejects(session.domainSetMaxDowntime(dom, -1), InvalidArgumentError);
  await assert.rejects(session.domainSetMaxSpeed(dom, 0.5), InvalidArgumentError);
  await assert.rejects(session.domainXml({ ...dom, uuid: 'no' }), InvalidArgumentError);
  assert.deepEqual(daemon.calls, []);
});
