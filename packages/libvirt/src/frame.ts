// Frames of libvirt's RPC: a length word that counts itself, a header of six words, a payload. Bytes in, frames out, in
// chunks of any size. Pure, and knows nothing of what a payload means. After one bad frame the parser always throws the
// same error, because nothing after a wrong length can be trusted. Memory grows with the bytes received, never with an
// announced length.
import { ProtocolError } from './errors.ts';
import type { XdrWriter } from './xdr-bytes.ts';

/** libvirt's own limit for what follows the length word. */
export const MAX_MESSAGE_BYTES = 33_554_432;
export const HEADER_BYTES = 28;

export const Program = { REMOTE: 0x2000_8086, QEMU: 0x2000_8087, KEEPALIVE: 0x6b65_6570 } as const;
export const FrameType = {
  CALL: 0,
  REPLY: 1,
  MESSAGE: 2,
  STREAM: 3,
  CALL_WITH_FDS: 4,
  REPLY_WITH_FDS: 5,
  STREAM_HOLE: 6,
} as const;
export const FrameStatus = { OK: 0, ERROR: 1, CONTINUE: 2 } as const;
export const KeepaliveProcedure = { PING: 1, PONG: 2 } as const;

export interface FrameHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

export interface Frame extends FrameHeader {
  /** A view into the received bytes; nothing writes to them again. */
  readonly payload: Buffer;
}

/** Writes a header with room for the length; `endFrame` with the returned offset fills it in after the payload. */
export function beginFrame(writer: XdrWriter, header: FrameHeader): number {
  const start = writer.length;
  writer.u32(0);
  writer.u32(header.program);
  writer.u32(header.version);
  writer.i32(header.procedure);
  writer.u32(header.type);
  writer.u32(header.serial);
  writer.u32(header.status);
  return start;
}

export function endFrame(writer: XdrWriter, start: number): void {
  const length = writer.length - start;
  if (length > MAX_MESSAGE_BYTES + 4)
    throw new ProtocolError(`a message of ${length} bytes is longer than libvirt's limit of ${MAX_MESSAGE_BYTES}`);
  writer.patchU32(start, length);
}

export interface FrameParser {
  /** Hands every frame that `chunk` completes to `onFrame`, in order. Throws ProtocolError, and from then on always. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void;
  /** Bytes of a frame whose rest is missing. Not 0 at the end of the stream: it was cut off. */
  readonly pendingBytes: number;
}

export function createFrameParser(maxMessageBytes: number = MAX_MESSAGE_BYTES): FrameParser {
  const maxFrameBytes = maxMessageBytes + 4;
  let partial: Buffer = Buffer.alloc(0); // its first `filled` bytes are the beginning of a frame
  let filled = 0;
  let failure: ProtocolError | undefined;

  const checkedLength = (buffer: Buffer, offset: number): number => {
    const length = buffer.readUInt32BE(offset);
    if (length >= HEADER_BYTES && length <= maxFrameBytes) return length;
    failure = new ProtocolError(
      length < HEADER_BYTES
        ? `a frame of ${length} bytes is shorter than its header (${HEADER_BYTES})`
        : `a frame of ${length} bytes is longer than libvirt's limit of ${maxFrameBytes}`,
    );
    throw failure;
  };

  // Moves up to `wanted - filled` bytes of the chunk to the partial frame, and answers how many.
  const gather = (chunk: Buffer, offset: number, wanted: number): number => {
    const size = Math.min(wanted - filled, chunk.length - offset);
    if (partial.length < filled + size) {
      const grown = Buffer.allocUnsafe(Math.min(wanted, Math.max(filled + size, partial.length * 2, 1024)));
      partial.copy(grown, 0, 0, filled);
      partial = grown;
    }
    chunk.copy(partial, filled, offset, offset + size);
    filled += size;
    return size;
  };

  return {
    get pendingBytes() {
      return filled;
    },
    push(bytes, onFrame) {
      if (failure !== undefined) throw failure;
      const chunk = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let offset = 0;
      while (offset < chunk.length) {
        if (filled > 0) {
          if (filled < 4) offset += gather(chunk, offset, 4);
          if (filled < 4) return;
          const length = checkedLength(partial, 0);
          offset += gather(chunk, offset, length);
          if (filled < length) return;
          const whole = partial;
          partial = Buffer.alloc(0);
          filled = 0;
          onFrame(frameAt(whole, 0, length));
        } else {
          const available = chunk.length - offset;
          const length = available < 4 ? 4 : checkedLength(chunk, offset);
          if (available < length || available < 4) {
            offset += gather(chunk, offset, length);
          } else {
            onFrame(frameAt(chunk, offset, offset + length));
            offset += length;
          }
        }
      }
    },
  };
}

function frameAt(buffer: Buffer, start: number, end: number): Frame {
  return {
    program: buffer.readUInt32BE(start + 4),
    version: buffer.readUInt32BE(start + 8),
    procedure: buffer.readInt32BE(start + 12),
    type: buffer.readUInt32BE(start + 16),
    serial: buffer.readUInt32BE(start + 20),
    status: buffer.readUInt32BE(start + 24),
    payload: buffer.subarray(start + HEADER_BYTES, end),
  };
}
