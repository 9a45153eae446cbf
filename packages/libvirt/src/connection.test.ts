import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScriptedPeer, frameBytes, replyBytes, until } from '../test/scripted-peer.ts';
import { createConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { ConnectionLostError, InvalidArgumentError, LibvirtError, ProtocolError } from './errors.ts';
import type { Frame } from './frame.ts';
import { FrameStatus, FrameType, KeepaliveProcedure, Program } from './frame.ts';
import { procedures as p } from './procedures.ts';
import type { DomainRef } from './wire-types.ts';

const dom: DomainRef = { name: 'guest', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 };
const label = 'the peer';

function pair(onMessage?: (frame: Frame) => void): {
  readonly peer: ReturnType<typeof createScriptedPeer>;
  readonly connection: Connection;
} {
  const peer = createScriptedPeer();
  return {
    peer,
    connection: createConnection(peer.transport, { label, ...(onMessage === undefined ? {} : { onMessage }) }),
  };
}

async function lossOf(promise: Promise<unknown>): Promise<ConnectionLostError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConnectionLostError, `expected a ConnectionLostError, got ${String(error)}`);
  return error;
}

const hostname = (connection: Connection): Promise<{ readonly hostname: string }> =>
  connection.call(p.connectGetHostname, undefined);

test('replies find their calls by serial, in any order, also one byte at a time', async () => {
  const { peer, connection } = pair();
  const first = connection.call(p.domainGetXmlDesc, { dom, flags: 0 });
  const second = hostname(connection);
  await until('both are sent', () => peer.sent.length === 2);
  assert.equal(peer.sends, 1, 'calls of one turn leave in one piece');
  const bytes = Buffer.concat([
    replyBytes(2, p.connectGetHostname, { hostname: 'x1' }),
    replyBytes(1, p.domainGetXmlDesc, { xml: '<domain/>' }),
  ]);
  for (const byte of bytes) peer.deliver(Uint8Array.of(byte));
  assert.deepEqual(await second, { hostname: 'x1' });
  assert.deepEqual(await first, { xml: '<domain/>' });
});

test('programs count their procedures on their own: a call goes to its own, and its reply comes from there', async () => {
  const { peer, connection } = pair();
  const call = connection.call(p.qemuDomainMonitorCommand, { dom, command: '{}', flags: 0 });
  await until('it is sent', () => peer.sent.length === 1);
  assert.deepEqual([peer.sent[0]?.program, peer.sent[0]?.procedure], [Program.QEMU, 1]);
  peer.reply(peer.sent[0], p.qemuDomainMonitorCommand, { result: '{}' });
  assert.deepEqual(await call, { result: '{}' });
  const wrong = connection.call(p.qemuDomainMonitorCommand, { dom, command: '{}', flags: 0 });
  peer.deliver(frameBytes({ serial: 2, procedure: 1 }));
  assert.ok((await lossOf(wrong)).cause instanceof ProtocolError);
});

test("an event with the serial of a waiting call goes to the event's receiver", async () => {
  const seen: Frame[] = [];
  const { peer, connection } = pair((frame) => seen.push(frame));
  const call = hostname(connection);
  await until('it is sent', () => peer.sent.length === 1);
  assert.equal(peer.sent[0]?.serial, 1);
  peer.deliver(
    frameBytes(
      { type: FrameType.MESSAGE, serial: 1, procedure: p.connectGetHostname.number },
      Buffer.from('0000000000000000', 'hex'),
    ),
  );
  await until('the event is seen', () => seen.length === 1);
  peer.reply(peer.sent[0], p.connectGetHostname, { hostname: 'x1' });
  assert.deepEqual(await call, { hostname: 'x1' });
});

test('a refusal by the server becomes a LibvirtError with all its fields', async () => {
  const { peer, connection } = pair();
  const call = connection.call(p.domainLookupByName, { name: 'nosuch' });
  await until('it is sent', () => peer.sent.length === 1);
  const fields = {
    code: 42,
    domain: 10,
    level: 2,
    message: 'Domain not found',
    str1: 'a %s',
    str2: 'b',
    str3: undefined,
    int1: 28,
    int2: -1,
  };
  peer.refuse(peer.sent[0], fields);
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof LibvirtError);
    const { code, domain, level, message, str1, str2, str3, int1, int2, procedure } = error;
    assert.deepEqual({ code, domain, level, message, str1, str2, str3, int1, int2 }, fields);
    assert.equal(procedure, 'DOMAIN_LOOKUP_BY_NAME');
    return true;
  });
  const next = hostname(connection);
  await until('the connection is still good', () => peer.sent.length === 2);
  peer.reply(peer.sent[1], p.connectGetHostname, { hostname: 'x1' });
  assert.deepEqual(await next, { hostname: 'x1' });
});

const REPLY_TO_1 = { serial: 1, procedure: p.connectGetHostname.number };
const badStreams: readonly { readonly name: string; readonly bytes: Buffer; readonly says: RegExp }[] = [
  { name: 'an oversized length', bytes: Buffer.from('7fffffff20008086', 'hex'), says: /longer than libvirt's limit/ },
  {
    name: 'a length below that of a header',
    bytes: Buffer.from('0000001b20008086', 'hex'),
    says: /shorter than its header/,
  },
  { name: 'a length of 0', bytes: Buffer.alloc(4), says: /shorter than its header/ },
  {
    name: 'a payload that ends too early',
    bytes: frameBytes(REPLY_TO_1, Buffer.from('00000010', 'hex')),
    says: /too early/,
  },
  { name: 'a payload with bytes left over', bytes: frameBytes(REPLY_TO_1, Buffer.alloc(8)), says: /too many/ },
  { name: 'a text beyond the limit', bytes: frameBytes(REPLY_TO_1, Buffer.from('7fffffff', 'hex')), says: /limit/ },
  {
    name: 'a reply to an unknown serial',
    bytes: frameBytes({ serial: 99, procedure: p.connectGetHostname.number }),
    says: /nobody called/,
  },
  { name: 'a reply of another procedure', bytes: frameBytes({ serial: 1, procedure: 14 }), says: /nobody called/ },
  {
    name: 'a reply of another program',
    bytes: frameBytes({ ...REPLY_TO_1, program: 0x2000_8087 }),
    says: /nobody called/,
  },
  { name: 'a reply with an unknown status', bytes: frameBytes({ ...REPLY_TO_1, status: 7 }), says: /status 7/ },
  { name: 'a call from the server', bytes: frameBytes({ ...REPLY_TO_1, type: FrameType.CALL }), says: /type 0/ },
  { name: 'a frame of an unknown type', bytes: frameBytes({ ...REPLY_TO_1, type: 77 }), says: /type 77/ },
  {
    name: 'an error that is none',
    bytes: frameBytes({ ...REPLY_TO_1, status: FrameStatus.ERROR }, Buffer.alloc(4)),
    says: /too early/,
  },
];

for (const { name, bytes, says } of badStreams) {
  test(`${name} ends the connection, and the call's outcome is unknown`, async () => {
    const { peer, connection } = pair();
    const call = hostname(connection);
    const lost = lossOf(call);
    await until('it is sent', () => peer.sent.length === 1);
    peer.deliver(bytes);
    const { outcome, reason, cause, message, procedure } = await lost;
    assert.deepEqual(
      { outcome, reason, procedure },
      { outcome: 'unknown', reason: 'protocol-error', procedure: 'CONNECT_GET_HOSTNAME' },
    );
    assert.ok(cause instanceof ProtocolError);
    assert.match(message, says);
    assert.match(message, /^the peer: /);
    assert.ok(peer.closed);
    assert.ok((await connection.closed) instanceof ConnectionLostError);
    const after = await lossOf(hostname(connection));
    assert.deepEqual([after.outcome, after.reason], ['not-started', 'protocol-error']);
  });
}

test('a stream cut in the middle of a frame', async () => {
  const { peer, connection } = pair();
  const lost = lossOf(hostname(connection));
  await until('it is sent', () => peer.sent.length === 1);
  peer.deliver(replyBytes(1, p.connectGetHostname, { hostname: 'x1' }).subarray(0, 31));
  peer.end();
  const { outcome, reason, message } = await lost;
  assert.deepEqual({ outcome, reason }, { outcome: 'unknown', reason: 'peer-closed' });
  assert.match(message, /middle of a frame/);
});

test('a server that closes during calls: those sent are unknown, those waiting not started', async () => {
  const { peer, connection } = pair();
  const calls = Array.from({ length: 6 }, () => lossOf(hostname(connection)));
  await until('four are sent', () => peer.sent.length === 4);
  peer.end();
  const losses = await Promise.all(calls);
  assert.deepEqual(
    losses.map(({ outcome }) => outcome),
    ['unknown', 'unknown', 'unknown', 'unknown', 'not-started', 'not-started'],
  );
});

test('an error of the operating system is the reason', async () => {
  const { peer, connection } = pair();
  const lost = lossOf(hostname(connection));
  await until('it is sent', () => peer.sent.length === 1);
  peer.break(new Error('read ECONNRESET'));
  const { outcome, reason, message } = await lost;
  assert.deepEqual({ outcome, reason }, { outcome: 'unknown', reason: 'transport-error' });
  assert.match(message, /ECONNRESET/);
});

test('of five slow calls the fifth waits, and an urgent one goes before it', async () => {
  const { peer, connection } = pair();
  const slow = Array.from({ length: 5 }, () => connection.call(p.domainGetXmlDesc, { dom, flags: 0 }));
  const urgent = connection.call(p.domainAbortJob, { dom });
  await until('four are sent', () => peer.sent.length >= 4);
  assert.equal(peer.sent.length, 4);
  assert.equal(connection.freeSlots, 0);
  peer.reply(peer.sent[2], p.domainGetXmlDesc, { xml: '2' });
  assert.deepEqual(await slow[2], { xml: '2' });
  assert.deepEqual(
    peer.sent.slice(4).map(({ procedure }) => procedure),
    [p.domainAbortJob.number],
  );
  peer.reply(peer.sent[4], p.domainAbortJob, undefined);
  await urgent;
  assert.equal(peer.sent[5]?.procedure, p.domainGetXmlDesc.number);
  for (const index of [0, 1, 3, 5]) peer.reply(peer.sent[index], p.domainGetXmlDesc, { xml: String(index) });
  assert.deepEqual(
    (await Promise.all(slow)).map(({ xml }) => xml),
    ['0', '1', '2', '3', '5'],
  );
});

test('a cancelled call is unknown once sent, and keeps its place until the answer comes', async () => {
  const { peer, connection } = pair();
  const aborts = Array.from({ length: 6 }, () => new AbortController());
  const calls = aborts.map(({ signal }) => connection.call(p.connectGetHostname, undefined, { signal }));
  const [sentOne, waitingOne] = [
    lossOf(calls[0] ?? Promise.reject(new Error())),
    lossOf(calls[4] ?? Promise.reject(new Error())),
  ];
  await until('four are sent', () => peer.sent.length === 4);
  aborts[0]?.abort(new Error('enough'));
  aborts[4]?.abort();
  const { outcome, reason, cause } = await sentOne;
  assert.deepEqual({ outcome, reason }, { outcome: 'unknown', reason: 'cancelled' });
  assert.ok(cause instanceof Error && cause.message === 'enough');
  assert.equal((await waitingOne).outcome, 'not-started');
  assert.equal(peer.sent.length, 4, 'the daemon is still at work on the cancelled call');
  peer.reply(peer.sent[0], p.connectGetHostname, { hostname: 'late' });
  await until('the sixth takes its place', () => peer.sent.length === 5);
  for (const index of [1, 2, 3, 4]) peer.reply(peer.sent[index], p.connectGetHostname, { hostname: String(index) });
  const answers = await Promise.all([1, 2, 3, 5].flatMap((index) => calls[index] ?? []));
  assert.deepEqual(
    answers.map((answer) => answer.hostname),
    ['1', '2', '3', '4'],
  );
  assert.equal(peer.sent.length, 5, 'nothing of the call that was cancelled while it waited');
});

test('a signal that was aborted before is honoured without sending anything', async () => {
  const { peer, connection } = pair();
  const lost = await lossOf(connection.call(p.connectGetHostname, undefined, { signal: AbortSignal.abort() }));
  assert.deepEqual([lost.outcome, lost.reason], ['not-started', 'cancelled']);
  assert.equal(peer.sent.length, 0);
});

test('arguments that do not fit the wire fail their own call only', async () => {
  const { peer, connection } = pair();
  const bad = connection.call(p.domainGetXmlDesc, { dom, flags: -1 });
  const good = hostname(connection);
  await assert.rejects(bad, InvalidArgumentError);
  await until('the good one is sent', () => peer.sent.length === 1);
  peer.reply(peer.sent[0], p.connectGetHostname, { hostname: 'x1' });
  assert.deepEqual(await good, { hostname: 'x1' });
});

test('a ping is answered before what else waits to be written', async () => {
  const { peer, connection } = pair();
  const calls = Array.from({ length: 5 }, () => hostname(connection).catch(() => undefined));
  await until('four are sent', () => peer.sent.length === 4);
  // the reply makes room for the fifth call, which is thus written before the ping is seen
  peer.deliver(
    Buffer.concat([
      replyBytes(1, p.connectGetHostname, { hostname: 'x1' }),
      frameBytes({ program: Program.KEEPALIVE, type: FrameType.MESSAGE, procedure: KeepaliveProcedure.PING }),
    ]),
  );
  await until('both are sent', () => peer.sent.length === 6);
  assert.equal(peer.sent[5]?.procedure, p.connectGetHostname.number);
  const { program, procedure, type, serial, status, payload } = peer.sent[4] ?? assert.fail();
  assert.deepEqual(
    { program, procedure, type, serial, status, bytes: payload.length },
    {
      program: Program.KEEPALIVE,
      procedure: KeepaliveProcedure.PONG,
      type: FrameType.MESSAGE,
      serial: 0,
      status: 0,
      bytes: 0,
    },
  );
  peer.end();
  await Promise.all(calls);
});

test('a silent peer is lost after count + 1 intervals, with count pings', async () => {
  const { peer, connection } = pair();
  const started = performance.now();
  connection.startKeepalive({ intervalMs: 20, count: 3 });
  const { outcome, reason } = await lossOf(hostname(connection));
  assert.deepEqual({ outcome, reason }, { outcome: 'unknown', reason: 'keepalive-timeout' });
  assert.ok(performance.now() - started >= 76, 'not before four intervals');
  const pings = peer.sent.filter(
    ({ program, procedure }) => program === Program.KEEPALIVE && procedure === KeepaliveProcedure.PING,
  );
  assert.equal(pings.length, 3);
  assert.ok(peer.closed);
});

test('anything received restarts the keepalive', async () => {
  const { peer, connection } = pair();
  connection.startKeepalive({ intervalMs: 20, count: 1 });
  let answered = 0;
  await until('ten pings', () => {
    const pings = peer.sent.filter(({ procedure }) => procedure === KeepaliveProcedure.PING).length;
    for (; answered < pings; answered++) peer.deliver(frameBytes({ type: FrameType.MESSAGE, procedure: 9999 }));
    return pings >= 10;
  });
  await until('all are seen', () => connection.droppedFrames === 10);
  assert.equal(peer.closed, false);
  peer.end();
  await connection.closed;
});

test('closing is orderly when no call is in flight', async () => {
  const { peer, connection } = pair();
  const closing = connection.close();
  await until('the closing call', () => peer.sent.length === 1);
  assert.equal(peer.sent[0]?.procedure, p.connectClose.number);
  const late = await lossOf(hostname(connection));
  assert.deepEqual([late.outcome, late.reason], ['not-started', 'closed']);
  peer.reply(peer.sent[0], p.connectClose, undefined);
  peer.end();
  await closing;
  assert.equal(await connection.closed, undefined);
  assert.ok(peer.closed);
});

test('closing while a call is in flight does not wait for it', async () => {
  const { peer, connection } = pair();
  const lost = lossOf(hostname(connection));
  await until('it is sent', () => peer.sent.length === 1);
  await connection.close();
  const { outcome, reason } = await lost;
  assert.deepEqual({ outcome, reason }, { outcome: 'unknown', reason: 'closed' });
  assert.equal(await connection.closed, undefined);
});

test('serials start at 1 and are not used twice', async () => {
  const { peer, connection } = pair();
  for (let index = 0; index < 10; index++) {
    const call = hostname(connection);
    await until('it is sent', () => peer.sent.length === index + 1);
    peer.reply(peer.sent[index], p.connectGetHostname, { hostname: 'x' });
    await call;
  }
  assert.deepEqual(
    peer.sent.map(({ serial }) => serial),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
});
