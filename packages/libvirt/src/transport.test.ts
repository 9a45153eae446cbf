import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { serve } from '../test/fake-daemon.ts';
import type { Server } from '../test/fake-daemon.ts';
import { until } from '../test/scripted-peer.ts';
import { connectTransport } from './transport.ts';
import type { Transport } from './transport.ts';
import { parseUri } from './uri.ts';

const connectTo = (server: Server): Promise<Transport> =>
  connectTransport(parseUri(`qemu+tcp://127.0.0.1:${server.port}/system`), {
    signal: undefined,
    timeoutMs: 5000,
    readOnly: false,
  });

test('a consumer that is behind slows the peer down and still gets every byte in order', async () => {
  const piece = 64 * 1024;
  const pieces = 1024;
  const bytes = Buffer.alloc(piece * pieces);
  for (let offset = 0; offset < bytes.length; offset += 4096) bytes.writeUInt32BE(offset, offset);
  let written = 0;
  await using server = await serve((socket) => {
    for (let index = 0; index < pieces; index++)
      socket.write(bytes.subarray(index * piece, (index + 1) * piece), () => (written += 1));
    socket.end();
  });
  const transport = await connectTo(server);
  // nobody reads yet: what gets through is bounded by the buffers on the way
  let [last, calm] = [0, 0];
  await until('the peer has to wait', () => {
    calm = written === last ? calm + 1 : 0;
    last = written;
    return written > 0 && calm === 200;
  });
  assert.ok(written < pieces, 'all of it was taken though nobody reads');
  let received = 0;
  for await (const chunk of transport) {
    assert.ok(bytes.subarray(received, received + chunk.length).equals(chunk));
    received += chunk.length;
  }
  assert.equal(received, bytes.length);
});

test('closing ends the iteration, also while it waits', async () => {
  await using server = await serve(() => {});
  const transport = await connectTo(server);
  const all = Array.fromAsync(transport);
  transport.close();
  transport.close();
  assert.deepEqual(await all, []);
  transport.send(Buffer.from('late')); // is of no interest to anyone
});

test('what is sent arrives in order', async () => {
  let text = '';
  await using server = await serve((socket) => {
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
  });
  const transport = await connectTo(server);
  for (const word of ['a', 'b', 'c', 'd']) transport.send(Buffer.from(word));
  await until('all is there', () => text === 'abcd');
  transport.close();
});

test('a reset by the peer is an error, not an end', async () => {
  await using server = await serve((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const transport = await connectTo(server);
  transport.send(Buffer.from('x'));
  await assert.rejects(Array.fromAsync(transport), { code: 'ECONNRESET' });
});

test('what the other side does not take is counted, and gone once it does or the connection ends', async () => {
  let reader: Socket | undefined;
  await using server = await serve((socket) => {
    reader = socket.pause();
  });
  const transport = await connectTo(server);
  transport.send(Buffer.from('few'));
  assert.equal(transport.congested, false);
  const much = Buffer.alloc(1024 * 1024);
  for (let index = 0; index < 32; index += 1) transport.send(much);
  assert.ok(transport.congested);
  const taken = transport.drained();
  await until('it came', () => reader !== undefined);
  reader?.resume();
  await taken;
  assert.equal(transport.congested, false);
  reader?.pause();
  for (let index = 0; index < 32; index += 1) transport.send(much);
  const over = transport.drained();
  transport.close();
  await over;
  assert.equal(transport.congested, false);
});
