import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScriptedPeer, frameBytes, until } from '../test/scripted-peer.ts';
import type { ScriptedPeer } from '../test/scripted-peer.ts';
import { createConnection } from './connection.ts';
import { ConnectionLostError, InvalidArgumentError, LibvirtError, ProtocolError } from './errors.ts';
import { FrameStatus, FrameType } from './frame.ts';
import type { StreamPiece } from './stream.ts';
import { streamProcedures, volumeStreams } from './volume-streams.ts';
import type { VolumeStreams } from './volume-streams.ts';
import { errorPayload } from './wire-types.ts';
import { encode } from './xdr.ts';

const volume = { pool: 'default', name: 'a', key: '/a' };
const { storageVolDownload: download, storageVolUpload: upload } = streamProcedures;
const HOLE_OF_7 = Buffer.from('000000000000000700000000', 'hex');
const refusal = encode(errorPayload, {
  code: 38,
  domain: 18,
  message: 'No space left on device',
  level: 2,
  str1: undefined,
  str2: undefined,
  str3: undefined,
  int1: 28,
  int2: -1,
});

interface Wired {
  readonly peer: ScriptedPeer;
  readonly streams: VolumeStreams;
  /** Delivers a frame of the stream. */
  readonly say: (status: number, payload?: Uint8Array, type?: number) => void;
}
function wired(procedure: typeof download): Wired {
  const peer = createScriptedPeer();
  return {
    peer,
    streams: volumeStreams(() => Promise.resolve(createConnection(peer.transport, { label: 'the peer' }))),
    say: (status, payload, type = FrameType.STREAM) =>
      peer.deliver(frameBytes({ procedure: procedure.number, serial: 1, type, status }, payload)),
  };
}
const opened = async ({ peer, say }: Wired): Promise<void> => {
  await until('the call is sent', () => peer.sent.length === 1);
  say(FrameStatus.OK, undefined, FrameType.REPLY);
};
/** A source that hangs from the beginning. */
const hanging = (onNext: () => void = () => {}): AsyncIterable<StreamPiece> => ({
  [Symbol.asyncIterator]: () => ({
    next: () => {
      onNext();
      return new Promise(() => {});
    },
  }),
});
const brokeProtocol = (says: RegExp) => (error: unknown) =>
  error instanceof ConnectionLostError && error.cause instanceof ProtocolError && says.test(error.message);

const { OK, CONTINUE } = FrameStatus;
const bad: readonly {
  readonly name: string;
  readonly says: RegExp;
  readonly frames: readonly (readonly [number, (Uint8Array | undefined)?, number?])[];
}[] = [
  { name: 'an end that was not asked for', says: /not asked for/, frames: [[OK]] },
  { name: 'a second reply', says: /second reply/, frames: [[OK, undefined, FrameType.REPLY]] },
  { name: 'data after the end', says: /after its end/, frames: [[CONTINUE], [CONTINUE, Buffer.from('x')]] },
  {
    name: 'a hole after the end',
    says: /after its end/,
    frames: [[CONTINUE], [CONTINUE, HOLE_OF_7, FrameType.STREAM_HOLE]],
  },
  { name: 'an unknown status', says: /status 7/, frames: [[7, Buffer.from('x')]] },
  {
    name: 'a negative hole',
    says: /a hole of -1 /,
    frames: [[CONTINUE, Buffer.from('ffffffffffffffff00000000', 'hex'), FrameType.STREAM_HOLE]],
  },
  {
    name: 'a hole beyond exact numbers',
    says: /a hole of 9223372036854775807 /,
    frames: [[CONTINUE, Buffer.from('7fffffffffffffff00000000', 'hex'), FrameType.STREAM_HOLE]],
  },
  { name: 'a hole that is too short', says: /too early/, frames: [[CONTINUE, Buffer.alloc(8), FrameType.STREAM_HOLE]] },
  { name: 'an error that is none', says: /too early/, frames: [[FrameStatus.ERROR]] },
];
for (const { name, says, frames } of bad) {
  test(`${name} breaks a download, and is never its success`, async () => {
    const side = wired(download);
    const reading = assert.rejects(Array.fromAsync(side.streams.volumeDownload(volume)), brokeProtocol(says));
    await opened(side);
    for (const frame of frames) side.say(...frame);
    await reading;
    assert.ok(side.peer.closed);
  });
}

test('an upload is not done because the server says so before it was asked', async () => {
  for (const type of [FrameType.STREAM, FrameType.REPLY]) {
    const side = wired(upload);
    const sending = assert.rejects(
      side.streams.volumeUpload(volume, hanging()),
      brokeProtocol(/not asked for|second reply/),
    );
    await opened(side);
    side.say(OK, undefined, type);
    await sending;
  }
});

test('a frame of another serial or procedure is no part of the stream', async () => {
  for (const header of [
    { serial: 2, procedure: download.number },
    { serial: 1, procedure: upload.number },
  ]) {
    const side = wired(download);
    const reading = assert.rejects(
      Array.fromAsync(side.streams.volumeDownload(volume)),
      brokeProtocol(/nobody opened/),
    );
    await opened(side);
    side.peer.deliver(frameBytes({ ...header, type: FrameType.STREAM, status: CONTINUE }, Buffer.from('x')));
    await reading;
  }
});

test('a source that hangs does not keep an upload that the server refused, whose connection is cut, or that is cancelled', async () => {
  const ends: readonly ((side: Wired, stop: AbortController) => void)[] = [
    (side) => side.say(FrameStatus.ERROR, refusal),
    (side) => side.peer.end(),
    (_side, stop) => stop.abort(new Error('enough')),
  ];
  const seen: unknown[] = [];
  for (const end of ends) {
    const side = wired(upload);
    const stop = new AbortController();
    let asked = false;
    const sending = side.streams
      .volumeUpload(
        volume,
        hanging(() => (asked = true)),
        { signal: stop.signal },
      )
      .catch((error: unknown) => error);
    await opened(side);
    await until('the source is asked', () => asked);
    end(side, stop);
    if (stop.signal.aborted) {
      await until('it is given up', () => side.peer.sent[1]?.status === FrameStatus.ERROR);
      side.say(OK);
    }
    const error = await sending;
    seen.push(error instanceof LibvirtError ? error.int1 : error instanceof ConnectionLostError ? error.reason : error);
  }
  assert.deepEqual(seen, [28, 'peer-closed', 'cancelled']);
});

test('an abort drops what is in flight and waits until the server has released the stream', async () => {
  const side = wired(download);
  let left = false;
  const reading = (async () => {
    for await (const _ of side.streams.volumeDownload(volume)) break;
    left = true;
  })();
  await opened(side);
  side.say(CONTINUE, Buffer.from('x'));
  await until('it is given up', () => side.peer.sent[1]?.status === FrameStatus.ERROR);
  side.say(CONTINUE, Buffer.from('late'));
  side.say(CONTINUE, HOLE_OF_7, FrameType.STREAM_HOLE);
  await until('the late ones are taken', () => side.peer.unread === 0);
  assert.equal(left, false);
  side.say(OK);
  await reading;
});

test('very many very small pieces are held back too', async () => {
  const side = wired(download);
  const pieces = side.streams.volumeDownload(volume)[Symbol.asyncIterator]();
  const first = pieces.next();
  await opened(side);
  const thousand = Buffer.concat(
    Array.from({ length: 1000 }, () =>
      frameBytes({ procedure: download.number, serial: 1, type: FrameType.STREAM, status: CONTINUE }, Buffer.from('x')),
    ),
  );
  for (let index = 0; index < 40; index += 1) side.peer.deliver(thousand);
  await first;
  let [last, calm] = [0, 0];
  await until('no more is taken', () => {
    calm = side.peer.unread === last ? calm + 1 : 0;
    last = side.peer.unread;
    return calm === 50;
  });
  assert.ok(side.peer.unread > 10, `only ${side.peer.unread} of 40 wait outside`);
  side.peer.end();
  await pieces.return?.();
});

test('what cannot be sent is refused on this side; nothing is sent for nothing', async () => {
  const side = wired(upload);
  async function* source(): AsyncGenerator<StreamPiece> {
    yield { kind: 'data', bytes: new Uint8Array(0) };
    yield { kind: 'hole', lengthBytes: 0 };
    yield { kind: 'hole', lengthBytes: -1 };
  }
  const sending = assert.rejects(side.streams.volumeUpload(volume, source()), InvalidArgumentError);
  await opened(side);
  await until('it is given up', () => side.peer.sent.length > 1);
  assert.equal(side.peer.sent[1]?.status, FrameStatus.ERROR);
  side.peer.end();
  await sending;
});
