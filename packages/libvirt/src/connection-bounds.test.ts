// What a peer can cost this side is bounded: memory, waits, listeners, and the length of a turn of the event loop.
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { createScriptedPeer, frameBytes, until } from '../test/scripted-peer.ts';
import { createConnection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { ConnectionLostError, LibvirtError, ProtocolError } from './errors.ts';
import { FrameType, KeepaliveProcedure, Program } from './frame.ts';
import { procedures as p } from './procedures.ts';
import { errorPayload, statsRecords } from './wire-types.ts';
import type { DomainRef } from './wire-types.ts';
import { encode } from './xdr.ts';
import { XdrReader } from './xdr-bytes.ts';

const dom: DomainRef = { name: 'guest', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 };
const ping = frameBytes({ program: Program.KEEPALIVE, procedure: KeepaliveProcedure.PING, type: FrameType.MESSAGE });

function pair(options: Partial<ConnectionOptions> = {}) {
  const peer = createScriptedPeer();
  return { peer, connection: createConnection(peer.transport, { label: 'the peer', ...options }) };
}

const lost = (reason: ConnectionLostError['reason'], outcome: ConnectionLostError['outcome']) => (error: unknown) => {
  assert.ok(error instanceof ConnectionLostError, String(error));
  assert.deepEqual([error.reason, error.outcome], [reason, outcome], error.message);
  return true;
};

test('a thousand calls under one signal have one listener, and none once they have ended', async () => {
  const { peer, connection } = pair();
  const { signal } = new AbortController();
  const calls = Array.from({ length: 1000 }, () => connection.call(p.connectGetHostname, undefined, { signal }));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  for (let answered = 0; answered < 1000; answered += 1) {
    await until('the next is sent', () => peer.sent.length > answered);
    peer.reply(peer.sent[answered], p.connectGetHostname, { hostname: 'x' });
  }
  await Promise.all(calls);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('the signal ends every call under it', async () => {
  const { connection } = pair();
  const ending = new AbortController();
  const calls = Array.from({ length: 6 }, () =>
    connection.call(p.connectGetHostname, undefined, { signal: ending.signal }),
  );
  const refused = calls.map((call, index) =>
    assert.rejects(call, lost('cancelled', index < 4 ? 'unknown' : 'not-started')),
  );
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  ending.abort();
  await Promise.all(refused);
  assert.equal(getEventListeners(ending.signal, 'abort').length, 0);
});

test('a peer that answers pings and no call: each call ends in time, the waiting ones unsent', async () => {
  const { peer, connection } = pair({ callTimeoutMs: 20 });
  await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      assert.rejects(
        connection.call(p.connectGetHostname, undefined),
        lost('timeout', index < 4 ? 'unknown' : 'not-started'),
      ),
    ),
  );
  assert.equal(peer.sent.length, 4, 'what was given up is not sent later');
});

test("the steps of a migration are their caller's to bound", async () => {
  const { connection } = pair({ callTimeoutMs: 1 });
  let ended = false;
  const perform = connection
    .call(p.domainMigratePerform3Params, {
      dom,
      destinationUri: 'qemu+tcp://x/system',
      params: [],
      cookieIn: new Uint8Array(0),
      flags: 0,
    })
    .catch(() => (ended = true));
  await assert.rejects(connection.call(p.domainDestroyFlags, { dom, flags: 0 }), lost('timeout', 'unknown'));
  assert.equal(ended, false);
  await connection.close();
  await perform;
});

test('no more calls wait than a host may have domains', async () => {
  const { connection } = pair();
  const calls = Array.from({ length: 16_384 + 4 }, () =>
    connection.call(p.connectGetHostname, undefined).catch(() => undefined),
  );
  await assert.rejects(connection.call(p.connectGetHostname, undefined), lost('overloaded', 'not-started'));
  await connection.close();
  await Promise.all(calls);
});

test('a peer that pings and takes no answers is not read any more, and lost when it goes on so', async () => {
  const { peer, connection } = pair({ notReadingTimeoutMs: 50 });
  peer.jam(true);
  for (let index = 0; index < 100; index += 1) peer.deliver(ping);
  const reason = await connection.closed;
  assert.ok(reason instanceof ConnectionLostError && reason.reason === 'not-reading', String(reason));
  assert.match(reason.message, /^the peer: the other side reads nothing of what is sent to it\.$/);
  assert.equal(peer.sent.length, 1, 'answers pile up');
  assert.ok(peer.closed);
});

test('a peer that was busy for a while is read on, with its calls', async () => {
  const { peer, connection } = pair({ notReadingTimeoutMs: 5000 });
  const call = connection.call(p.connectGetHostname, undefined);
  await until('it is sent', () => peer.sent.length === 1);
  peer.jam(true);
  for (let index = 0; index < 3; index += 1) peer.deliver(ping);
  await until('reading stops', () => peer.unread === 2);
  peer.reply(peer.sent[0], p.connectGetHostname, { hostname: 'x' });
  peer.jam(false);
  assert.deepEqual(await call, { hostname: 'x' });
  assert.equal(peer.sent.length, 4);
});

test('pings that come together get one answer', async () => {
  const { peer } = pair();
  peer.deliver(Buffer.concat(Array.from({ length: 500 }, () => ping)));
  peer.deliver(ping);
  await until('both are answered', () => peer.sent.length === 2 && peer.unread === 0);
});

test('a flood is handled in turns: others are not kept waiting until its end', async () => {
  const { peer, connection } = pair();
  const flood = Buffer.concat(Array.from({ length: 2000 }, () => ping));
  for (let index = 0; index < 400; index += 1) peer.deliver(flood);
  let turns = 0;
  while (peer.unread > 0) {
    turns += 1;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  assert.ok(turns > 5, `${turns} turns`);
  await connection.close();
});

test('statistics are bounded over all domains together', () => {
  const params = Array.from({ length: 140_000 }, () => ({ field: 'a', kind: 'int', value: 1 }) as const);
  assert.equal(
    statsRecords.read(
      new XdrReader(
        encode(statsRecords, [
          { dom, params },
          { dom, params: [] },
        ]),
      ),
    ).length,
    2,
  );
  const bytes = encode(statsRecords, [
    { dom, params },
    { dom, params },
  ]);
  assert.throws(() => statsRecords.read(new XdrReader(bytes)), ProtocolError);
});

test("the text of a host's error is bounded", () => {
  const text = 'x'.repeat(100_000);
  const read = errorPayload.read(
    new XdrReader(
      encode(errorPayload, {
        code: 1,
        domain: 0,
        level: 2,
        message: text,
        str1: text,
        str2: undefined,
        str3: undefined,
        int1: 0,
        int2: 0,
      }),
    ),
  );
  const error = new LibvirtError('X', read);
  assert.ok(error.message.length < 3000 && (error.str1?.length ?? 0) < 3000);
});
