// What storage volumes contain, streamed: a connection of its own per stream, sparse places as holes, memory bounded.
import type { CallOptions, Connection } from './connection.ts';
import { row } from './procedure.ts';
import type { StreamPiece } from './stream.ts';
import { volume } from './wire-types.ts';
import type { VolumeRef } from './wire-types.ts';
import { nothing, struct, u32, u64 } from './xdr.ts';

const streamArgs = struct({ volume, offset: u64, length: u64, flags: u32 });
const SPARSE = 1;
/** libvirt's own size of a chunk. */
const CHUNK_BYTES = 262_120;

export const streamProcedures = {
  storageVolUpload: row(208, 'STORAGE_VOL_UPLOAD', streamArgs, nothing),
  storageVolDownload: row(209, 'STORAGE_VOL_DOWNLOAD', streamArgs, nothing),
} as const;

export interface VolumeStreams {
  /**
   * All of the volume's file, holes as such. Leaving the loop early gives the stream up. Rejects with LibvirtError or
   * ConnectionLostError; the signal ends it with ConnectionLostError too.
   */
  volumeDownload(volume: VolumeRef, options?: CallOptions): AsyncIterable<StreamPiece>;
  /** Replaces the volume's content from its beginning. Rejects when `pieces` does, and gives the stream up then. */
  volumeUpload(volume: VolumeRef, pieces: AsyncIterable<StreamPiece>, options?: CallOptions): Promise<void>;
}

export function volumeStreams(open: (options: CallOptions | undefined) => Promise<Connection>): VolumeStreams {
  const argsOf = (ref: VolumeRef) => ({ volume: ref, offset: 0n, length: 0n, flags: SPARSE });
  return {
    async *volumeDownload(ref, options) {
      await using connection = await open(options);
      using _ = closingOnAbort(connection, options?.signal);
      const stream = await connection.openStream(streamProcedures.storageVolDownload, argsOf(ref), options);
      // an early leave closes the connection, and the stream with it
      yield* stream.pieces;
      await stream.finish();
    },
    async volumeUpload(ref, pieces, options) {
      await using connection = await open(options);
      using _ = closingOnAbort(connection, options?.signal);
      const stream = await connection.openStream(streamProcedures.storageVolUpload, argsOf(ref), options);
      try {
        for await (const piece of pieces) {
          if (piece.kind === 'hole') await stream.send(piece);
          else for (let at = 0; at < piece.bytes.length; at += CHUNK_BYTES) await stream.send({ kind: 'data', bytes: piece.bytes.subarray(at, at + CHUNK_BYTES) });
        }
      } catch (error) {
        stream.abort();
        throw error;
      }
      await stream.finish();
    },
  };
}

/** A stream hangs where a call would be given up: closing its connection wakes whoever waits. */
function closingOnAbort(connection: Connection, signal: AbortSignal | undefined): Disposable {
  const close = (): void => void connection.close();
  signal?.addEventListener('abort', close, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener('abort', close) };
}
