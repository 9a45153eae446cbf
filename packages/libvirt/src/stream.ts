// One data stream on a connection of its own: opened by a call, then frames of data and holes with that call's serial, ended by
// an exchange of OKs. This is its state; frames come in from the connection and go out through it. What is streamed is not known here.
// Back-pressure: `room` holds the connection's reading back while the consumer is behind, so memory stays bounded in both directions.
import { LibvirtError, ProtocolError } from './errors.ts';
import { FrameStatus, FrameType } from './frame.ts';
import type { Frame } from './frame.ts';
import { errorPayload } from './wire-types.ts';
import { XdrReader } from './xdr.ts';

/** A piece of a stream. A hole is a run of zeros that takes no place. */
export type StreamPiece = { readonly kind: 'data'; readonly bytes: Uint8Array } | { readonly kind: 'hole'; readonly lengthBytes: number };

const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

/** What the connection gives a stream to write with. */
export interface StreamWriter {
  write(type: number, status: number, payload: Uint8Array): void;
  /** Resolves when what was written has left. */
  drained(): Promise<void>;
}

export interface Stream {
  /** What the server sends, to its end. For one consumer. */
  readonly pieces: AsyncIterable<StreamPiece>;
  /** Sends one piece; resolves when there is room for another. Rejects when the server has refused the stream. */
  send(piece: StreamPiece): Promise<void>;
  /** Says that all is sent (or read), and waits until the server says so too. */
  finish(): Promise<void>;
  /** Gives the stream up; the server discards what it has not used yet. */
  abort(): void;
}

export interface StreamState {
  readonly stream: Stream;
  readonly serial: number;
  onFrame(frame: Frame): void;
  fail(error: Error): void;
  /** Resolves when the consumer has taken enough. */
  room(): Promise<void>;
}

export function createStream(serial: number, procedureName: string, writer: StreamWriter): StreamState {
  const unread: StreamPiece[] = [];
  let unreadBytes = 0;
  let ended = false;
  let failure: Error | undefined;
  const confirmed = Promise.withResolvers<void>();
  confirmed.promise.catch(() => {}); // whoever waits for the end hears of it
  let wakeReader: (() => void) | undefined;
  let wakeConnection: (() => void) | undefined;

  const stir = (): void => {
    wakeReader?.();
    wakeReader = undefined;
    if (unreadBytes < MAX_UNREAD_BYTES || failure !== undefined) {
      wakeConnection?.();
      wakeConnection = undefined;
    }
  };
  const fail = (error: Error): void => {
    failure ??= error;
    confirmed.reject(failure);
    stir();
  };
  const add = (piece: StreamPiece, size: number): void => {
    unread.push(piece);
    unreadBytes += size;
    stir();
  };

  const onFrame = (frame: Frame): void => {
    const { type, status, payload } = frame;
    if (status === FrameStatus.ERROR) {
      const reader = new XdrReader(payload);
      const fields = errorPayload.read(reader);
      reader.end();
      fail(new LibvirtError(procedureName, fields));
    } else if (type === FrameType.STREAM_HOLE) {
      const reader = new XdrReader(payload);
      const lengthBytes = Number(reader.i64());
      reader.u32();
      reader.end();
      if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0) throw new ProtocolError(`a hole of ${lengthBytes} bytes in a stream`);
      add({ kind: 'hole', lengthBytes }, 64);
    } else if (status === FrameStatus.OK) {
      confirmed.resolve();
    } else if (payload.length === 0) {
      ended = true;
      stir();
    } else {
      add({ kind: 'data', bytes: payload }, payload.length);
    }
  };

  async function* pieces(): AsyncGenerator<StreamPiece, void, undefined> {
    for (;;) {
      const piece = unread.shift();
      if (piece !== undefined) {
        unreadBytes -= piece.kind === 'data' ? piece.bytes.length : 64;
        stir();
        yield piece;
      } else if (failure !== undefined) {
        throw failure;
      } else if (ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      }
    }
  }

  return {
    serial,
    onFrame,
    fail,
    room: () =>
      unreadBytes < MAX_UNREAD_BYTES || failure !== undefined
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            wakeConnection = resolve;
          }),
    stream: {
      pieces: { [Symbol.asyncIterator]: pieces },
      async send(piece) {
        if (failure !== undefined) throw failure;
        if (piece.kind === 'data') writer.write(FrameType.STREAM, FrameStatus.CONTINUE, piece.bytes);
        else writer.write(FrameType.STREAM_HOLE, FrameStatus.CONTINUE, holePayload(piece.lengthBytes));
        await writer.drained();
      },
      async finish() {
        if (failure !== undefined) throw failure;
        writer.write(FrameType.STREAM, FrameStatus.OK, new Uint8Array(0));
        await confirmed.promise;
      },
      abort: () => writer.write(FrameType.STREAM, FrameStatus.ERROR, new Uint8Array(0)),
    },
  };
}

function holePayload(lengthBytes: number): Uint8Array {
  const payload = Buffer.alloc(12);
  payload.writeBigInt64BE(BigInt(lengthBytes));
  return payload;
}
