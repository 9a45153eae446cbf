import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createScriptedPeer, frameBytes, until, type ScriptedPeer } from '../test/scripted-peer.ts';
import { createConnection } from './connection.ts';
import { ConnectionLostError, LibvirtError } from './errors.ts';
import { FrameStatus, FrameType } from './frame.ts';
import type { StreamPiece } from './stream.ts';
import { streamProcedures, volumeStreams } from './volume-streams.ts';
import { errorPayload } from './wire-types.ts';
import { encode } from './xdr.ts';

const volume = { pool: 'default', name: 'a', key: '/a' };
const { storageVolDownload: download, storageVolUpload: upload } = streamProcedures;
const start = () => {
  const peer = createScriptedPeer();
  const streams = volumeStreams(async () => createConnection(peer.transport, { label: 'x' }));
  return { peer, streams };
};
const piece = (peer: ScriptedPeer, procedure: number, type: number, status: number, payload: Uint8Array): Buffer =>
  frameBytes({ procedure, serial: peer.sent[0]?.serial ?? 0, type, status }, Buffer.from(payload));
const hole = (lengthBytes: number): Buffer => {
  const payload = Buffer.alloc(12);
  payload.writeBigInt64BE(BigInt(lengthBytes));
  return payload;
};
const empty = new Uint8Array(0);
const failed = {
  code: 38,
  domain: 18,
  message: 'No space left on device',
  level: 2,
  str1: undefined,
  str2: undefined,
  str3: undefined,
  int1: 28,
  int2: -1,
};
const joined = (pieces: readonly StreamPiece[]): string => {
  const text: string[] = [];
  for (const each of pieces)
    text.push(each.kind === 'hole' ? `<${each.lengthBytes}>` : Buffer.from(each.bytes).toString('latin1'));
  return text.join('');
};

test('a download gives data and holes in order, also when they come with the reply or overtake it, however they are cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: 9 }),
      fc.array(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 1_000_000 })), {
        maxLength: 8,
      }),
      fc.integer({ min: 1, max: 64 }),
      async (early, content, chunk) => {
        const { peer, streams } = start();
        const read = Array.fromAsync(streams.volumeDownload(volume));
        await until('the call', () => peer.sent.length === 1);
        const pieces = [
          ...content.map((each) =>
            typeof each === 'number'
              ? piece(peer, download.number, FrameType.STREAM_HOLE, FrameStatus.CONTINUE, hole(each))
              : piece(peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, each),
          ),
          piece(peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, empty),
        ];
        const bytes = Buffer.concat(
          pieces.toSpliced(early, 0, piece(peer, download.number, FrameType.REPLY, FrameStatus.OK, empty)),
        );
        for (let at = 0; at < bytes.length; at += chunk) peer.deliver(bytes.subarray(at, at + chunk));
        await until('the closing call', () => peer.sent.length === 2);
        assert.deepEqual(
          [peer.sent[1]?.type, peer.sent[1]?.status, peer.sent[1]?.payload.length],
          [FrameType.STREAM, FrameStatus.OK, 0],
        );
        peer.deliver(piece(peer, download.number, FrameType.STREAM, FrameStatus.OK, empty));
        assert.equal(
          joined(await read),
          content
            .map((each) => (typeof each === 'number' ? `<${each}>` : Buffer.from(each).toString('latin1')))
            .join(''),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test('megabytes that overtake the reply do not hold it back, and a stream without a reply has an end', async () => {
  const { peer, streams } = start();
  const megabyte = new Uint8Array(1_048_576).fill(7);
  const read = Array.fromAsync(streams.volumeDownload(volume));
  await until('the call', () => peer.sent.length === 1);
  for (let n = 0; n < 8; n += 1)
    peer.deliver(piece(peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, megabyte));
  peer.deliver(piece(peer, download.number, FrameType.REPLY, FrameStatus.OK, empty));
  peer.deliver(piece(peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, empty));
  await until('the closing call', () => peer.sent.length === 2);
  peer.deliver(piece(peer, download.number, FrameType.STREAM, FrameStatus.OK, empty));
  assert.equal((await read).length, 8);

  const endless = start();
  const reading = Array.fromAsync(endless.streams.volumeDownload(volume));
  await until('the call', () => endless.peer.sent.length === 1);
  for (let n = 0; n < 80; n += 1)
    endless.peer.deliver(piece(endless.peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, megabyte));
  await assert.rejects(reading, /without a reply/);
});

test('a call that is refused opens no stream: the connection goes on', async () => {
  const peer = createScriptedPeer();
  const connection = createConnection(peer.transport, { label: 'x' });
  const args = { volume, offset: 0n, length: 0n, flags: 1 };
  const refused = connection.openStream(download, args);
  await until('the call', () => peer.sent.length === 1);
  peer.refuse(peer.sent[0], failed);
  await assert.rejects(refused, LibvirtError);
  const second = connection.openStream(download, args);
  await until('the second call', () => peer.sent.length === 2);
  peer.reply(peer.sent[1], download, undefined);
  await second;
});

test('an upload sends pieces of at most 256 KiB and waits for the end to be confirmed', async () => {
  const { peer, streams } = start();
  const data = new Uint8Array(600_000).fill(7);
  let done = false;
  const sending = streams
    .volumeUpload(
      volume,
      (async function* (): AsyncGenerator<StreamPiece> {
        yield { kind: 'data', bytes: data };
        yield { kind: 'hole', lengthBytes: 5 };
      })(),
    )
    .then(() => (done = true));
  await until('the call', () => peer.sent.length === 1);
  peer.deliver(piece(peer, upload.number, FrameType.REPLY, FrameStatus.OK, empty));
  await until('the finish', () => peer.sent.at(-1)?.status === FrameStatus.OK && peer.sent.length > 1);
  const frames = peer.sent.slice(1, -1);
  assert.deepEqual(
    frames.map(({ type, status, payload }) => [type, status, payload.length]),
    [
      [FrameType.STREAM, FrameStatus.CONTINUE, 262_120],
      [FrameType.STREAM, FrameStatus.CONTINUE, 262_120],
      [FrameType.STREAM, FrameStatus.CONTINUE, 75_760],
      [FrameType.STREAM_HOLE, FrameStatus.CONTINUE, 12],
    ],
  );
  assert.equal(done, false);
  peer.deliver(piece(peer, upload.number, FrameType.STREAM, FrameStatus.OK, empty));
  await sending;
});

for (const type of [FrameType.STREAM, FrameType.REPLY]) {
  test(`an upload that the server refuses in the middle (frame type ${type}) rejects with its reason`, async () => {
    const { peer, streams } = start();
    let asked = 0;
    const sending = streams.volumeUpload(
      volume,
      (async function* (): AsyncGenerator<StreamPiece> {
        for (;;) {
          asked += 1;
          yield { kind: 'data', bytes: new Uint8Array(10) };
          await new Promise((resolve) => setImmediate(resolve));
        }
      })(),
    );
    await until('the call', () => peer.sent.length === 1);
    peer.deliver(piece(peer, upload.number, FrameType.REPLY, FrameStatus.OK, empty));
    await until('some data', () => asked > 2);
    peer.deliver(piece(peer, upload.number, type, FrameStatus.ERROR, encode(errorPayload, failed)));
    await assert.rejects(
      sending,
      (error: unknown) => error instanceof LibvirtError && error.code === 38 && /No space left/.test(error.message),
    );
    assert.equal(peer.sent.at(-1)?.status, FrameStatus.ERROR, 'the stream is given up');
  });
}

test('a source that fails aborts the upload, and the caller gets its reason', async () => {
  const { peer, streams } = start();
  const sending = streams.volumeUpload(
    volume,
    (async function* (): AsyncGenerator<StreamPiece> {
      yield { kind: 'data', bytes: new Uint8Array(10) };
      throw new Error('the other host went away');
    })(),
  );
  await until('the call', () => peer.sent.length === 1);
  peer.deliver(piece(peer, upload.number, FrameType.REPLY, FrameStatus.OK, empty));
  await assert.rejects(sending, /the other host went away/);
  assert.equal(peer.sent.at(-1)?.status, FrameStatus.ERROR);
});

test('a stream that is cut, or aborted by its signal, ends with a lost connection', async () => {
  const cut = start();
  const reading = Array.fromAsync(cut.streams.volumeDownload(volume));
  await until('the call', () => cut.peer.sent.length === 1);
  cut.peer.deliver(piece(cut.peer, download.number, FrameType.REPLY, FrameStatus.OK, empty));
  cut.peer.end();
  await assert.rejects(reading, ConnectionLostError);

  const given = start();
  const stop = new AbortController();
  const other = Array.fromAsync(given.streams.volumeDownload(volume, { signal: stop.signal }));
  await until('the call', () => given.peer.sent.length === 1);
  given.peer.deliver(piece(given.peer, download.number, FrameType.REPLY, FrameStatus.OK, empty));
  stop.abort(new Error('enough'));
  await assert.rejects(other, ConnectionLostError);
});

test('a consumer that does not read holds the connection back', async () => {
  const { peer, streams } = start();
  const pieces = streams.volumeDownload(volume)[Symbol.asyncIterator]();
  const first = pieces.next();
  await until('the call', () => peer.sent.length === 1);
  peer.deliver(piece(peer, download.number, FrameType.REPLY, FrameStatus.OK, empty));
  const megabyte = new Uint8Array(1_048_576);
  for (let n = 0; n < 12; n += 1)
    peer.deliver(piece(peer, download.number, FrameType.STREAM, FrameStatus.CONTINUE, megabyte));
  await first;
  const before = peer.unread;
  assert.ok(before >= 5, `${before} pieces wait outside`);
  for (let n = 0; n < 6; n += 1) await pieces.next();
  await until('more to be taken', () => peer.unread < before);
  await pieces.return?.();
});
