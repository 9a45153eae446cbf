/** Descriptors are for requests: a connection that waits without one, or does not end, is closed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { fakeEngine, silentLog } from './fake-engine.ts';
import { createHttpServer } from './http-server.ts';
import { idleLimitOf } from './idle-connections.ts';

const token = 'T'.repeat(43);
const deadline = { timeout: 20_000 };

const listening = async (idleLimit?: number) => {
  const app = createHttpServer({
    engine: fakeEngine(),
    token,
    version: '1',
    log: silentLog,
    ...(idleLimit === undefined ? {} : { idleLimit }),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  // a client that never closes its side
  const open = async (): Promise<Socket> => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const connections = (): Promise<number> =>
    new Promise((resolve, reject) =>
      app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  const untilConnections = async (count: number): Promise<void> => {
    while ((await connections()) !== count) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return { app, port, open, untilConnections };
};

// sooner than an idle one is looked after anyway
test('a refused connection is destroyed, even if the other side does not close', { timeout: 8_000 }, async () => {
  const { app, open, untilConnections } = await listening();
  const sockets = await Promise.all(Array.from({ length: 20 }, open));
  await untilConnections(20);
  for (const socket of sockets) socket.write('nonsense\r\n\r\n');
  await untilConnections(0);
  for (const socket of sockets) socket.destroy();
  await app.close();
});

test('beyond the limit the one that waits longest goes; requests are answered', deadline, async () => {
  const { app, port, open, untilConnections } = await listening(5);
  const sockets: Socket[] = [];
  for (let index = 0; index < 40; index += 1) sockets.push(await open());
  await untilConnections(5);
  const stream = await fetch(`http://127.0.0.1:${port}/api/v1/events`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(stream.status, 200);
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1/vms`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  await answer.text();
  for (const socket of sockets) socket.destroy();
  await stream.body?.cancel();
  await app.close();
});

test('the limit leaves most of what the process may open', () => {
  const limit = idleLimitOf();
  assert.ok(limit >= 1 && limit <= 256, String(limit));
});
