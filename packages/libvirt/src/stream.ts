// One data stream on a connection of its own: opened by a call, then frames of data and holes with that call's serial,
// ended by an exchange of OKs. This is its state; frames come in from the connection and go out through it. What is
// streamed is not known here. Back-pressure: `room` holds the connection's reading back while the consumer is behind,
// so memory stays bounded in both directions. The end has to be agreed on: an OK that was not asked for, or data after
// the end, is a broken protocol and never a success.
import { InvalidArgumentError, LibvirtError, ProtocolError } from './errors.ts';
import { FrameStatus, FrameType } from './frame.ts';
import type { Frame } from './frame.ts';
import { queueReader } from './queue-reader.ts';
import { errorPayload } from './wire-types.ts';
import { XdrReader } from './xdr-bytes.ts';

/** A piece of a stream. A hole is a run of zeros that takes no place. */
export type StreamPiece =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'hole'; readonly lengthBytes: number };

const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** The cost of a waiting piece in addition to its bytes, so that many very small ones are bounded too. */
const PIECE_OVERHEAD_BYTES = 256;
const ABORT_TIMEOUT_MS = 1000;

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
  /**
   * Aborts the stream and waits for a short time until the server has released it. Never rejects; has no effect on a
   * stream that has ended.
   */
  abort(): Promise<void>;
  /** The promise's result, or the stream's failure if that comes first. One such wait at a time. */
  unlessFailed<T>(promise: Promise<T>): Promise<T>;
  /** Ends it on this side: those who wait for it get the error. */
  cancel(error: Error): void;
}

export interface StreamState {
  readonly stream: Stream;
  readonly serial: number;
  readonly procedureNumber: number;
  /** Both sides agree that it is over. False for one that failed: its connection is not used again. */
  readonly agreed: boolean;
  /** What the consumer has not taken yet, with the cost of its pieces. */
  readonly unreadBytes: number;
  onFrame(frame: Frame): void;
  /** The connection is lost. */
  fail(error: Error): void;
  /** Absent while there is room; else resolves when the consumer has taken enough. */
  room(): Promise<void> | undefined;
}

export function createStream(
  serial: number,
  procedure: { readonly name: string; readonly number: number },
  writer: StreamWriter,
): StreamState {
  let unread: StreamPiece[] = [];
  let unreadBytes = 0;
  let state: 'open' | 'finishing' | 'aborting' | 'over' = 'open';
  let ended = false; // the server has sent all
  let failure: Error | undefined;
  let wakeConnection: (() => void) | undefined;
  let interrupt: (() => void) | undefined;
  const over = Promise.withResolvers<void>();

  const hasRoom = (): boolean =>
    unreadBytes < MAX_UNREAD_BYTES || failure !== undefined || state === 'aborting' || state === 'over';
  const stir = (): void => {
    reader.wake();
    if (!hasRoom()) return;
    wakeConnection?.();
    wakeConnection = undefined;
  };
  const reader = queueReader<StreamPiece>({
    take: () => {
      const piece = unread.shift();
      if (piece !== undefined) {
        unreadBytes -= costOf(piece);
        stir();
      }
      return piece;
    },
    over: () => failure ?? ended,
  });
  const stop = (error: Error): void => {
    failure ??= error;
    interrupt?.();
    stir();
  };
  const end = (): void => {
    state = 'over';
    over.resolve();
    stir();
  };
  const add = (piece: StreamPiece): void => {
    if (ended || state === 'finishing') throw new ProtocolError('a stream goes on after its end');
    if (state !== 'open' || failure !== undefined) return; // was in flight when the stream was aborted
    unread.push(piece);
    unreadBytes += costOf(piece);
    stir();
  };

  const onFrame = ({ type, status, payload }: Frame): void => {
    // the server may say twice that it failed, by a reply and in the stream
    if (state === 'over' && failure !== undefined) return;
    if (state === 'over') throw new ProtocolError('a stream goes on after its end');
    if (status === FrameStatus.ERROR) {
      const reader = new XdrReader(payload);
      const fields = errorPayload.read(reader);
      reader.end();
      stop(new LibvirtError(procedure.name, fields));
      end();
    } else if (type !== FrameType.STREAM && type !== FrameType.STREAM_HOLE) {
      throw new ProtocolError(`a second reply to ${procedure.name}`);
    } else if (type === FrameType.STREAM && status === FrameStatus.OK) {
      if (payload.length > 0) throw new ProtocolError('data in the end of a stream');
      if (state === 'open') throw new ProtocolError('the end of a stream that was not asked for');
      end();
    } else if (status !== FrameStatus.CONTINUE) {
      throw new ProtocolError(`a stream's frame with the status ${status}`);
    } else if (type === FrameType.STREAM_HOLE) {
      add(readHole(payload));
    } else if (payload.length > 0) {
      add({ kind: 'data', bytes: payload });
    } else {
      ended = true;
      stir();
    }
  };

  const unlessFailed = <T>(promise: Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      interrupt = () => reject(failure);
      if (failure !== undefined) interrupt();
      promise.then(resolve, reject);
    });
  const check = (): void => {
    if (failure !== undefined) throw failure;
    if (state !== 'open') throw new TypeError('the stream was ended');
  };

  return {
    serial,
    procedureNumber: procedure.number,
    get agreed() {
      return state === 'over' && failure === undefined;
    },
    get unreadBytes() {
      return unreadBytes;
    },
    onFrame,
    fail: (error) => {
      stop(error);
      end();
    },
    room: () =>
      hasRoom()
        ? undefined
        : new Promise<void>((resolve) => {
            wakeConnection = resolve;
          }),
    stream: {
      pieces: { [Symbol.asyncIterator]: () => reader.read() },
      unlessFailed,
      async send(piece) {
        check();
        if (piece.kind === 'data') {
          if (piece.bytes.length === 0) return; // would say that this is the end
          writer.write(FrameType.STREAM, FrameStatus.CONTINUE, piece.bytes);
        } else {
          if (piece.lengthBytes === 0) return;
          writer.write(FrameType.STREAM_HOLE, FrameStatus.CONTINUE, holePayload(piece.lengthBytes));
        }
        await unlessFailed(writer.drained());
      },
      async finish() {
        check();
        state = 'finishing';
        writer.write(FrameType.STREAM, FrameStatus.OK, new Uint8Array(0));
        await unlessFailed(over.promise);
      },
      async abort() {
        unread = [];
        unreadBytes = 0;
        if (state === 'over' && failure === undefined) return;
        // also after the server's refusal, as libvirt's own client does; nothing comes back then
        if (state !== 'finishing') writer.write(FrameType.STREAM, FrameStatus.ERROR, new Uint8Array(0));
        if (state !== 'open') return;
        state = 'aborting';
        stir();
        const patience = setTimeout(over.resolve, ABORT_TIMEOUT_MS);
        await over.promise;
        clearTimeout(patience);
      },
      cancel: (error) => {
        unread = [];
        unreadBytes = 0;
        stop(error);
      },
    },
  };
}

function costOf(piece: StreamPiece): number {
  return PIECE_OVERHEAD_BYTES + (piece.kind === 'data' ? piece.bytes.length : 0);
}

function readHole(payload: Uint8Array): StreamPiece {
  const reader = new XdrReader(payload);
  const length = reader.i64();
  const flags = reader.u32();
  reader.end();
  const lengthBytes = Number(length);
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0)
    throw new ProtocolError(`a hole of ${length} bytes in a stream`);
  if (flags !== 0) throw new ProtocolError(`a hole with the unknown flags ${flags}`);
  return { kind: 'hole', lengthBytes };
}

function holePayload(lengthBytes: number): Uint8Array {
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0)
    throw new InvalidArgumentError(`a hole must have a whole number of bytes, not ${lengthBytes}`);
  const payload = Buffer.alloc(12);
  payload.writeBigInt64BE(BigInt(lengthBytes));
  return payload;
}
