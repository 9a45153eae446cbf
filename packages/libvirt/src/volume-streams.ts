// What storage volumes contain, streamed: a connection of its own per stream, sparse places as holes, memory bounded.
import type { CallOptions, Connection } from './connection.ts';
import { ConnectionLostError } from './errors.ts';
import { row } from './procedure.ts';
import type { Stream, StreamPiece } from './stream.ts';
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
   * All of the volume's file, or `lengthBytes` of its beginning, holes as such. Leaving the loop early gives the stream
   * up. Rejects with LibvirtError or ConnectionLostError; the signal ends it with ConnectionLostError too.
   */
  volumeDownload(
    volume: VolumeRef,
    options?: CallOptions & { readonly lengthBytes?: number },
  ): AsyncIterable<StreamPiece>;
  /** Replaces the volume's content from its beginning. Rejects when `pieces` does, and gives the stream up then. */
  volumeUpload(volume: VolumeRef, pieces: AsyncIterable<StreamPiece>, options?: CallOptions): Promise<void>;
}

export function volumeStreams(open: (options: CallOptions | undefined) => Promise<Connection>): VolumeStreams {
  const argsOf = (ref: VolumeRef, lengthBytes = 0) => ({
    volume: ref,
    offset: 0n,
    length: BigInt(lengthBytes),
    flags: SPARSE,
  });
  return {
    async *volumeDownload(ref, options) {
      await using connection = await open(options);
      const stream = await connection.openStream(
        streamProcedures.storageVolDownload,
        argsOf(ref, options?.lengthBytes),
        options,
      );
      using _ = cancelledBy(stream, streamProcedures.storageVolDownload.name, options?.signal);
      try {
        yield* stream.pieces;
        await stream.finish();
      } finally {
        await stream.abort(); // where it was left early
      }
    },
    async volumeUpload(ref, pieces, options) {
      await using connection = await open(options);
      const stream = await connection.openStream(streamProcedures.storageVolUpload, argsOf(ref), options);
      using _ = cancelledBy(stream, streamProcedures.storageVolUpload.name, options?.signal);
      const source = pieces[Symbol.asyncIterator]();
      let exhausted = false;
      try {
        for (;;) {
          // the source may hang after the server has failed or the caller has cancelled
          const next = await stream.unlessFailed(source.next());
          if (next.done === true) break;
          for (const piece of chunksOf(next.value)) await stream.send(piece);
        }
        exhausted = true;
        await stream.finish();
      } finally {
        // not awaited: a source that hangs would hold the return back too
        if (!exhausted) source.return?.().catch(() => {});
        await stream.abort();
      }
    },
  };
}

function* chunksOf(piece: StreamPiece): Generator<StreamPiece, void, undefined> {
  if (piece.kind === 'hole') return yield piece;
  for (let at = 0; at < piece.bytes.length; at += CHUNK_BYTES)
    yield { kind: 'data', bytes: piece.bytes.subarray(at, at + CHUNK_BYTES) };
}

function cancelledBy(stream: Stream, procedure: string, signal: AbortSignal | undefined): Disposable {
  const cancel = (): void =>
    stream.cancel(
      new ConnectionLostError(
        'unknown',
        'cancelled',
        `${procedure} was cancelled in the middle of its stream.`,
        procedure,
        { cause: signal?.reason },
      ),
    );
  if (signal?.aborted === true) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener('abort', cancel) };
}
