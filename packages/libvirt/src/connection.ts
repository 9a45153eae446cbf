// One RPC connection: calls multiplexed by serial with a bound on those in flight, pings answered, replies routed by
// the frame's type. It knows the protocol, not what a host is: opening it, events and sessions are built on top. One
// bad frame, reply or payload ends it. A call without an answer ends in ConnectionLostError, never in a retry. At most
// four calls are in flight, since the daemon stops reading a connection (pings too) while five are in work; a cancelled
// call keeps its place until its answer comes, because the daemon still works on it. Whatever the peer does, every
// queue and every wait has a bound. A peer that does not read is not read from, and is lost after a while. A call
// without an answer in time fails. Work for one connection is split into short turns, so that other connections do not
// wait.
import { createCallQueue } from './call-queue.ts';
import { ConnectionLostError, LibvirtError, ProtocolError } from './errors.ts';
import type { LossReason } from './errors.ts';
import {
  beginFrame,
  createFrameParser,
  endFrame,
  FrameStatus,
  FrameType,
  KeepaliveProcedure,
  Program,
} from './frame.ts';
import type { Frame } from './frame.ts';
import { startKeepalive } from './keepalive.ts';
import type { Keepalive, KeepaliveOptions } from './keepalive.ts';
import type { Patience, Procedure } from './procedure.ts';
import { procedures } from './procedures.ts';
import { createSharedAborts } from './shared-aborts.ts';
import { createStream } from './stream.ts';
import type { Stream, StreamState } from './stream.ts';
import type { Transport } from './transport.ts';
import { errorPayload } from './wire-types.ts';
import { XdrReader, XdrWriter } from './xdr-bytes.ts';

export const MAX_CALLS_IN_FLIGHT = 4;
const CLOSE_TIMEOUT_MS = 1000;
/** What a stream may send before the reply to its call; a daemon is some milliseconds late at most. */
const MAX_BEFORE_REPLY_BYTES = 64 * 1024 * 1024;
/** As many as a host may have domains. */
const MAX_CALLS_WAITING = 16_384;
/**
 * What a 'quick' call may take when nothing else is said: libvirt itself waits up to 30 s for another job of the same
 * domain.
 */
const CALL_TIMEOUT_MS = 60_000;
/** How much longer a 'slow' one may take. */
const SLOW_FACTOR = 10;
/** How long a peer may take nothing of what is sent to it, while it sends itself. */
const NOT_READING_TIMEOUT_MS = 30_000;
/** Work on what one peer sends, before others have their turn. */
const LONGEST_TURN_MS = 8;
/** Below the shortest interval that a daemon can be configured to ping in, times two. */
const STILL_HERE_INTERVAL_MS = 1000;

export interface CallOptions {
  /**
   * Ends the wait, not the work: a call already sent is carried out all the same and rejects with
   * ConnectionLostError{outcome: 'unknown', reason: 'cancelled'}; one still waiting is never sent ('not-started').
   */
  readonly signal?: AbortSignal | undefined;
}

export interface ConnectionOptions {
  /** What error sentences call the other side. */
  readonly label: string;
  /**
   * Events. Called in the order of the wire, before any later frame is handled. A ProtocolError ends the connection.
   */
  readonly onMessage?: (frame: Frame) => void;
  /** What a 'quick' call may take, 60 s unless given; a 'slow' one ten times that. */
  readonly callTimeoutMs?: number | undefined;
  /** 30 s unless given. */
  readonly notReadingTimeoutMs?: number | undefined;
}

export interface Connection extends AsyncDisposable {
  call<A, R>(procedure: Procedure<A, R>, args: A, options?: CallOptions): Promise<R>;
  /**
   * Makes a call that opens a stream. One at a time, on a connection that does nothing else: a slow consumer stalls
   * all of it.
   */
  openStream<A, R>(procedure: Procedure<A, R>, args: A, options?: CallOptions): Promise<Stream>;
  startKeepalive(options: KeepaliveOptions): void;
  readonly freeSlots: number;
  /** See Transport. */
  readonly certificateUntil: number | undefined;
  /**
   * Resolves, never rejects, with the reason when the connection is lost, with undefined when it was closed on this
   * side.
   */
  readonly closed: Promise<Error | undefined>;
  /** Frames that were dropped because they belong to nothing known. */
  readonly droppedFrames: number;
  close(): Promise<void>;
}

interface Call {
  readonly procedure: { readonly program: number; readonly number: number; readonly name: string };
  readonly encode: (writer: XdrWriter) => void;
  /** It is about to leave: a stream that it opens may speak before its reply does. */
  readonly leaving: ((serial: number) => void) | undefined;
  readonly succeed: (reader: XdrReader) => void;
  /** The caller learns of it once; later ones are ignored. */
  readonly fail: (error: Error) => void;
  given: 'waiting' | 'sent' | 'up';
}

export function createConnection(transport: Transport, options: ConnectionOptions): Connection {
  const { label } = options;
  const parser = createFrameParser();
  const writer = new XdrWriter();
  const queue = createCallQueue<Call>();
  const aborts = createSharedAborts();
  const quickMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
  const timeoutsMs: Readonly<Record<Patience, number | undefined>> = {
    quick: quickMs,
    slow: quickMs * SLOW_FACTOR,
    'open-ended': undefined,
  };
  const inFlight = new Map<number, Call>();
  const closed = Promise.withResolvers<Error | undefined>();
  let state: 'open' | 'closing' | 'closed' = 'open';
  let nextSerial = 1;
  let droppedFrames = 0;
  let flushPlanned = false;
  let receiving = false;
  let pingAnswered = false;
  let keepalive: Keepalive | undefined;
  let stream: StreamState | undefined;
  /** The reply to the call that opens the stream is still to come. */
  let opening = false;
  let lossReason: LossReason = 'closed';

  // Everything written in one turn leaves in one piece.
  const flush = (): void => {
    flushPlanned = false;
    if (writer.length > 0) transport.send(writer.take());
  };
  const planFlush = (): void => {
    if (flushPlanned || receiving) return;
    flushPlanned = true;
    queueMicrotask(flush);
  };

  const sendKeepalive = (procedure: number): void => {
    const frame = new XdrWriter();
    const header = {
      program: Program.KEEPALIVE,
      version: 1,
      procedure,
      type: FrameType.MESSAGE,
      serial: 0,
      status: FrameStatus.OK,
    };
    endFrame(frame, beginFrame(frame, header));
    transport.send(frame.take());
  };

  const lose = (why: LossReason, cause?: Error): void => {
    if (state === 'closed') return;
    const reason = state === 'closing' ? 'closed' : why;
    state = 'closed';
    lossReason = reason;
    keepalive?.stop();
    const sentence = explainLoss(reason, cause);
    const lost = (outcome: 'unknown' | 'not-started', call: Call): ConnectionLostError => {
      const end = outcome === 'unknown' ? 'was under way; its outcome is unknown' : 'was waiting; it was not sent';
      return new ConnectionLostError(
        outcome,
        reason,
        `${label}: ${sentence} while ${call.procedure.name} ${end}.`,
        call.procedure.name,
        cause === undefined ? undefined : { cause },
      );
    };
    for (const call of inFlight.values()) call.fail(lost('unknown', call));
    inFlight.clear();
    stream?.fail(
      new ConnectionLostError(
        'unknown',
        reason,
        `${label}: ${sentence} in the middle of a stream.`,
        undefined,
        cause === undefined ? undefined : { cause },
      ),
    );
    for (let call = queue.take(); call !== undefined; call = queue.take()) call.fail(lost('not-started', call));
    transport.close();
    closed.resolve(
      reason === 'closed'
        ? undefined
        : new ConnectionLostError(
            'unknown',
            reason,
            `${label}: ${sentence}.`,
            undefined,
            cause === undefined ? undefined : { cause },
          ),
    );
  };

  const dispatch = (): void => {
    if (state === 'closed') return;
    while (inFlight.size < MAX_CALLS_IN_FLIGHT) {
      const call = queue.take();
      if (call === undefined) break;
      if (call.given === 'up') continue;
      const serial = nextSerial;
      const start = writer.length;
      try {
        beginFrame(writer, {
          program: call.procedure.program,
          version: 1,
          procedure: call.procedure.number,
          type: FrameType.CALL,
          serial,
          status: FrameStatus.OK,
        });
        call.encode(writer);
        endFrame(writer, start);
      } catch (error) {
        writer.truncate(start);
        call.fail(error instanceof Error ? error : new TypeError(String(error)));
        continue;
      }
      nextSerial = serial === 0xffff_ffff ? 1 : serial + 1;
      call.given = 'sent';
      call.leaving?.(serial);
      inFlight.set(serial, call);
    }
    if (writer.length > 0) planFlush();
  };

  const ofStream = (frame: Frame): boolean =>
    frame.program === Program.REMOTE && frame.serial === stream?.serial && frame.procedure === stream.procedureNumber;

  const onReply = (frame: Frame): void => {
    const call = inFlight.get(frame.serial);
    // a failed write is reported as a reply to the call that opened the stream
    if (call === undefined && ofStream(frame)) return stream?.onFrame(frame);
    if (call === undefined || frame.program !== call.procedure.program || frame.procedure !== call.procedure.number) {
      throw new ProtocolError(
        `a reply to procedure ${frame.procedure} with serial ${frame.serial}, which nobody called`,
      );
    }
    const reader = new XdrReader(frame.payload);
    if (frame.type === FrameType.REPLY_WITH_FDS) reader.u32();
    switch (frame.status) {
      case FrameStatus.OK:
        if (call.given === 'sent') call.succeed(reader);
        break;
      case FrameStatus.ERROR: {
        const fields = errorPayload.read(reader);
        reader.end();
        call.fail(new LibvirtError(call.procedure.name, fields));
        break;
      }
      default:
        throw new ProtocolError(`a reply with the status ${frame.status}`);
    }
    inFlight.delete(frame.serial);
    dispatch();
  };

  const onFrame = (frame: Frame): void => {
    if (frame.program === Program.KEEPALIVE) {
      // at once, before all other writes: a late pong costs the connection, and one is as good as many
      if (frame.type === FrameType.MESSAGE && frame.procedure === KeepaliveProcedure.PING && !pingAnswered) {
        pingAnswered = true;
        sendKeepalive(KeepaliveProcedure.PONG);
      }
      return;
    }
    switch (frame.type) {
      case FrameType.REPLY:
      case FrameType.REPLY_WITH_FDS:
        return onReply(frame);
      case FrameType.MESSAGE:
        // events bear a serial too (1), which is not that of any call
        if (frame.program === Program.REMOTE && options.onMessage !== undefined) options.onMessage(frame);
        else droppedFrames += 1;
        return;
      case FrameType.STREAM:
      case FrameType.STREAM_HOLE:
        if (ofStream(frame)) {
          if (opening && (stream?.unreadBytes ?? 0) > MAX_BEFORE_REPLY_BYTES)
            throw new ProtocolError('a stream goes on and on without a reply to the call that opened it');
          return stream?.onFrame(frame);
        }
        throw new ProtocolError(`a stream with serial ${frame.serial}, which nobody opened`);
      default:
        throw new ProtocolError(`a frame of type ${frame.type}, which a server does not send here`);
    }
  };

  // The peer's pings wait unread behind the stream's data, and it would drop the connection: a pong now and then
  // prevents that.
  const withoutReading = async (room: Promise<void>): Promise<void> => {
    keepalive?.pause();
    const stillHere = setInterval(() => sendKeepalive(KeepaliveProcedure.PONG), STILL_HERE_INTERVAL_MS).unref();
    try {
      await room;
    } finally {
      clearInterval(stillHere);
      keepalive?.resume();
    }
  };

  // Who does not take answers is asked for nothing and answered nothing more: else they would pile up here.
  const untilItReads = async (): Promise<void> => {
    keepalive?.pause();
    const patience = setTimeout(
      () => lose('not-reading'),
      options.notReadingTimeoutMs ?? NOT_READING_TIMEOUT_MS,
    ).unref();
    try {
      await transport.drained();
    } finally {
      clearTimeout(patience);
      keepalive?.resume();
    }
  };

  const receive = async (): Promise<void> => {
    let workedMs = 0;
    try {
      for await (const chunk of transport) {
        const began = performance.now();
        keepalive?.heard();
        pingAnswered = false;
        receiving = true;
        parser.push(chunk, onFrame);
        receiving = false;
        flush();
        // the reply that a reader waits for is behind the data, so there is no holding back before it
        const room = opening ? undefined : stream?.room();
        if (room !== undefined) await withoutReading(room);
        if (transport.congested) await untilItReads();
        workedMs += performance.now() - began;
        if (workedMs < LONGEST_TURN_MS) continue;
        workedMs = 0;
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
      lose(
        'peer-closed',
        parser.pendingBytes > 0 ? new ProtocolError('the stream ended in the middle of a frame') : undefined,
      );
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      lose(cause instanceof ProtocolError ? 'protocol-error' : 'transport-error', cause);
    }
  };

  const call = <A, R>(
    procedure: Procedure<A, R>,
    args: A,
    callOptions?: CallOptions,
    leaving?: (serial: number) => void,
  ): Promise<R> => {
    const signal = callOptions?.signal;
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    let forget: (() => void) | undefined;
    let patience: NodeJS.Timeout | undefined;
    const settled = (): void => {
      entry.given = 'up';
      clearTimeout(patience);
      forget?.();
    };
    const giveUp = (reason: 'cancelled' | 'timeout', why: string, cause?: unknown): void => {
      const outcome = entry.given === 'sent' ? 'unknown' : 'not-started';
      const end = outcome === 'unknown' ? 'after it was sent; its outcome is unknown' : 'before it was sent';
      entry.fail(
        new ConnectionLostError(
          outcome,
          reason,
          `${label}: the wait for ${procedure.name} ${why} ${end}.`,
          procedure.name,
          { cause },
        ),
      );
    };
    const onAbort = (): void => giveUp('cancelled', 'was cancelled', signal?.reason);
    const entry: Call = {
      procedure,
      given: 'waiting',
      encode: (target) => procedure.args.write(target, args),
      leaving,
      succeed: (reader) => {
        const result = procedure.ret.read(reader);
        reader.end();
        settled();
        resolve(result);
      },
      fail: (error) => {
        if (entry.given === 'up') return;
        settled();
        reject(error);
      },
    };
    if (signal?.aborted === true) {
      onAbort();
    } else if (state !== 'open' && procedure.number !== procedures.connectClose.number) {
      entry.fail(
        new ConnectionLostError(
          'not-started',
          lossReason,
          `${label}: ${procedure.name} was not sent, the connection is ${state} (${explainLoss(lossReason, undefined)}).`,
          procedure.name,
        ),
      );
    } else if (queue.size >= MAX_CALLS_WAITING) {
      entry.fail(
        new ConnectionLostError(
          'not-started',
          'overloaded',
          `${label}: ${procedure.name} was not sent, ${queue.size} calls wait already.`,
          procedure.name,
        ),
      );
    } else {
      if (signal !== undefined) forget = aborts.add(signal, onAbort);
      const withinMs = timeoutsMs[procedure.patience];
      if (withinMs !== undefined)
        patience = setTimeout(
          () => giveUp('timeout', `ended without an answer after ${withinMs} ms,`),
          withinMs,
        ).unref();
      queue.add(procedure.priority, entry);
      dispatch();
    }
    return promise;
  };

  const openStream = async <A, R>(procedure: Procedure<A, R>, args: A, callOptions?: CallOptions): Promise<Stream> => {
    if (stream?.agreed === false) throw new TypeError('a stream is open on this connection already');
    let opened: StreamState | undefined;
    opening = true;
    try {
      // known before the call leaves: the daemon's stream and its reply come from two threads, and the first piece
      // may overtake the reply
      await call(procedure, args, callOptions, (serial) => {
        opened = createStream(serial, procedure, {
          write: (type, status, payload) => {
            const frame = new XdrWriter();
            const start = beginFrame(frame, {
              program: Program.REMOTE,
              version: 1,
              procedure: procedure.number,
              type,
              serial,
              status,
            });
            frame.raw(payload);
            endFrame(frame, start);
            if (state !== 'closed') transport.send(frame.take());
          },
          drained: () => transport.drained(),
        });
        stream = opened;
      });
    } catch (error) {
      // a call that was refused opened nothing; after any other failure the connection is not used for another stream
      if (error instanceof LibvirtError) stream = undefined;
      throw error;
    } finally {
      opening = false;
    }
    if (opened === undefined) throw new TypeError('a call was answered that never left');
    return opened.stream;
  };

  const close = async (): Promise<void> => {
    if (state === 'open' && inFlight.size === 0 && queue.size === 0 && stream === undefined) {
      // an orderly close spares the daemon an error in its log; it is not worth a long wait
      state = 'closing';
      await call(procedures.connectClose, undefined, { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }).catch(() => {});
    }
    lose('closed');
    await closed.promise;
  };

  void receive();
  return {
    call: (procedure, args, callOptions) => call(procedure, args, callOptions),
    openStream,
    close,
    [Symbol.asyncDispose]: close,
    closed: closed.promise,
    startKeepalive: (keepaliveOptions) => {
      keepalive?.stop();
      if (state !== 'open') return;
      keepalive = startKeepalive({
        ...keepaliveOptions,
        ping: () => sendKeepalive(KeepaliveProcedure.PING),
        lost: () => lose('keepalive-timeout'),
      });
    },
    certificateUntil: transport.certificateUntil,
    get freeSlots() {
      return state === 'open' ? Math.max(0, MAX_CALLS_IN_FLIGHT - inFlight.size - queue.size) : 0;
    },
    get droppedFrames() {
      return droppedFrames;
    },
  };
}

function explainLoss(reason: LossReason, cause: Error | undefined): string {
  switch (reason) {
    case 'cancelled':
      return 'the wait was cancelled';
    case 'timeout':
      return 'there was no answer in time';
    case 'overloaded':
      return 'too many calls were waiting';
    case 'not-reading':
      return 'the other side reads nothing of what is sent to it';
    case 'closed':
      return 'the connection was closed on this side';
    case 'peer-closed':
      return cause === undefined
        ? 'the other side closed the connection'
        : `the connection was cut off (${cause.message})`;
    case 'keepalive-timeout':
      return 'the other side fell silent and did not answer keepalive pings';
    case 'protocol-error':
      return `the other side broke the protocol (${cause?.message ?? 'unknown'})`;
    case 'transport-error':
      return `the connection failed (${cause?.message ?? 'unknown'})`;
  }
}
