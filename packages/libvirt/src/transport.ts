// A byte stream to a daemon: what a connection needs of it, and how to open each of the four (unix socket, TCP, TLS,
// SSH). It carries bytes and knows nothing of frames.
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { ConnectError } from './errors.ts';
import type { ConnectErrorKind } from './errors.ts';
import { queueReader } from './queue-reader.ts';
import { READY, startSsh } from './ssh.ts';
import type { SshSettings } from './ssh.ts';
import { beginTls, explainRefusal, explainTls, frameWriter } from './tls.ts';
import type { StreamWrite } from './tls.ts';
import type { LibvirtUri } from './uri.ts';
import { placeOf } from './uri.ts';

/** What this side proves itself with, where the URI does not say: it is the machine's business and not the fleet's. */
export interface AccessSettings {
  /** Folder of cacert.pem, clientcert.pem and clientkey.pem; absent: libvirt's usual places. */
  readonly pkiPath?: string | undefined;
  readonly ssh?: SshSettings | undefined;
  /** Names and passwords, as in libvirt's auth.conf; absent: /etc/libvirt/auth.conf. */
  readonly authFile?: string | undefined;
}

/**
 * Iterating yields what the peer sends, once, by one consumer: it ends when the peer closes and throws when the
 * operating system reports an error. `send` takes over the bytes, keeps their order and never waits. `close` may be
 * called at any time, more than once; iteration then ends.
 */
export interface Transport extends AsyncIterable<Uint8Array> {
  send(bytes: Uint8Array): void;
  /** More than a few of the bytes sent still wait to leave. */
  readonly congested: boolean;
  /** When the certificate of the other side ends, ms; absent without TLS. */
  readonly certificateUntil?: number | undefined;
  /** Resolves when few of the bytes sent still wait to leave, or none ever will. */
  drained(): Promise<void>;
  close(): void;
}

// The daemon that serves one driver only comes first, as in libvirt's own client.
const UNIX_SOCKETS: Readonly<Record<string, readonly string[]>> = {
  qemu: ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'],
  test: ['/var/run/libvirt/libvirt-sock'],
};

export interface TransportOptions {
  readonly signal: AbortSignal | undefined;
  /** Bounds one attempt to connect. */
  readonly timeoutMs: number;
  readonly readOnly: boolean;
  readonly access?: AccessSettings | undefined;
}

/** Throws ConnectError. */
export async function connectTransport(uri: LibvirtUri, options: TransportOptions): Promise<Transport> {
  const place = placeOf(uri);
  const { access } = options;
  switch (uri.transport) {
    case 'tcp':
      // autoSelectFamily tries all addresses of a name
      return streamTransport(
        await opened(
          () => createConnection({ host: uri.host, port: uri.port, noDelay: true, autoSelectFamily: true }),
          'connect',
          place,
          options,
        ),
      );
    case 'tls': {
      const socket = await opened(
        () => beginTls(uri.host, uri.port, place, access?.pkiPath),
        'secureConnect',
        place,
        options,
      );
      await confirmed(socket, place, options, () => explainRefusal(place, access?.pkiPath));
      const until = Date.parse(socket.getPeerCertificate().valid_to);
      const transport = streamTransport(socket, frameWriter(socket));
      return Number.isNaN(until) ? transport : Object.assign(transport, { certificateUntil: until });
    }
    case 'ssh': {
      const stream = startSsh(uri, access?.ssh ?? {}, options, place);
      return streamTransport(
        await confirmed(stream, place, options, () => new ConnectError('other', `${place}: ssh ended without a word.`)),
      );
    }
    case 'unix': {
      const usual = (UNIX_SOCKETS[uri.driver] ?? []).map((path) => (options.readOnly ? `${path}-ro` : path));
      let failure: ConnectError | undefined;
      for (const path of uri.socket === undefined ? usual : [uri.socket]) {
        try {
          return streamTransport(await opened(() => createConnection({ path }), 'connect', path, options));
        } catch (error) {
          if (!(error instanceof ConnectError) || (error.kind !== 'not-found' && error.kind !== 'refused')) throw error;
          failure = error;
        }
      }
      throw failure ?? new ConnectError('not-found', `No unix socket is known for the driver ${uri.driver}.`);
    }
  }
}

const opened = <S extends Duplex>(
  open: () => S,
  event: 'connect' | 'secureConnect',
  place: string,
  options: TransportOptions,
): Promise<S> => {
  if (options.signal?.aborted === true) return Promise.reject(cancelled(place, options.signal));
  return settled(open(), place, options, (socket, succeed) => void socket.once(event, succeed));
};

/** Waits for the byte by which the other side says that the way is open; what came with it stays in the stream. */
const confirmed = <S extends Duplex>(
  stream: S,
  place: string,
  options: TransportOptions,
  refusal: () => ConnectError,
): Promise<S> =>
  settled(stream, place, options, (from, succeed, fail) => {
    const onEnd = (): void => fail(refusal());
    from.once('end', onEnd);
    from.once('close', onEnd);
    from.once('data', (chunk: Buffer) => {
      from.pause();
      from.off('end', onEnd);
      from.off('close', onEnd);
      if (chunk[0] !== READY)
        return fail(
          new ConnectError(
            'not-libvirt',
            `${place}: something else than libvirt answers, beginning with ` +
              `${JSON.stringify(chunk.subarray(0, 40).toString('latin1'))} (over ssh: does the login shell ` +
              'print something?).',
          ),
        );
      if (chunk.length > 1) from.unshift(chunk.subarray(1));
      succeed();
    });
  });

/** The stream once `wait` has resolved; destroyed if that takes too long. */
async function settled<S extends Duplex>(
  stream: S,
  place: string,
  options: TransportOptions,
  wait: (stream: S, succeed: () => void, fail: (error: ConnectError) => void) => void,
): Promise<S> {
  return await new Promise<S>((resolve, reject) => {
    const timer = setTimeout(() => {
      fail(
        new ConnectError(
          'timeout',
          `${place} did not answer within ${options.timeoutMs} ms: the host may be down or a firewall drops the packets.`,
        ),
      );
    }, options.timeoutMs);
    const onAbort = (): void => fail(options.signal === undefined ? undefined : cancelled(place, options.signal));
    const onError = (error: NodeJS.ErrnoException): void => fail(explain(error, place));
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      stream.off('error', onError);
    };
    const fail = (error: unknown): void => {
      settle();
      stream.on('error', () => {}); // a late one has no one to interest
      stream.destroy();
      reject(error instanceof Error ? error : new ConnectError('other', `The connection to ${place} failed.`));
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    stream.once('error', onError);
    wait(
      stream,
      () => {
        settle();
        resolve(stream);
      },
      fail,
    );
  });
}

function cancelled(place: string, signal: AbortSignal): ConnectError {
  return new ConnectError('cancelled', `Connecting to ${place} was cancelled.`, { cause: signal.reason });
}

const KINDS: Readonly<Record<string, { readonly kind: ConnectErrorKind; readonly why: string }>> = {
  ECONNREFUSED: {
    kind: 'refused',
    why: 'nothing listens there (is libvirtd running and listening on this port or socket?)',
  },
  ECONNRESET: { kind: 'refused', why: 'the connection was reset' },
  EHOSTUNREACH: { kind: 'unreachable', why: 'there is no route to the host' },
  ENETUNREACH: { kind: 'unreachable', why: 'there is no route to its network' },
  EHOSTDOWN: { kind: 'unreachable', why: 'the host is down' },
  ETIMEDOUT: { kind: 'timeout', why: 'there was no answer' },
  ENOTFOUND: { kind: 'not-found', why: 'the host name is unknown' },
  EAI_AGAIN: { kind: 'not-found', why: 'the host name cannot be looked up at the moment' },
  ENOENT: { kind: 'not-found', why: 'there is no such socket (is libvirtd installed and running?)' },
  ENOTSOCK: { kind: 'not-found', why: 'it is not a socket' },
  EACCES: { kind: 'denied', why: 'this user may not open it' },
  EPERM: { kind: 'denied', why: 'this user may not open it' },
};

function explain(error: NodeJS.ErrnoException, place: string): ConnectError {
  if (error instanceof ConnectError) return error;
  const tls = explainTls(error, place);
  if (tls !== undefined) return tls;
  // with several addresses, the errors of all of them come together
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  const code = error.code ?? (first instanceof Error && 'code' in first ? String(first.code) : '');
  const known = KINDS[code] ?? { kind: 'other', why: error.message };
  return new ConnectError(known.kind, `${place} cannot be reached: ${known.why}.`, { cause: error });
}

const MAX_UNREAD_CHUNKS = 32;
/** What may wait to leave before the sender should wait too. */
const FEW_BYTES = 64 * 1024;

/** Wraps an open stream. Reading pauses while the consumer is behind. */
function streamTransport(
  socket: Duplex,
  write: StreamWrite = (bytes, left) => void socket.write(bytes, () => left()),
): Transport {
  const chunks: Uint8Array[] = [];
  let unsentBytes = 0;
  const waiting: (() => void)[] = [];
  const congested = (): boolean => !socket.destroyed && unsentBytes > FEW_BYTES;
  const relieve = (): void => {
    if (congested()) return;
    for (const each of waiting.splice(0)) each();
  };
  let failure: Error | undefined;
  let ended = false;
  const reader = queueReader<Uint8Array>({
    take: () => {
      const chunk = chunks.shift();
      if (chunk !== undefined && socket.isPaused() && chunks.length === 0) socket.resume();
      return chunk;
    },
    over: () => failure ?? ended,
    onLeave: () => void socket.destroy(),
  });
  const end = (): void => {
    ended = true;
    reader.wake();
  };
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (chunks.length >= MAX_UNREAD_CHUNKS) socket.pause();
    reader.wake();
  });
  socket.on('error', (error) => {
    failure = error;
    end();
  });
  socket.on('end', end);
  socket.on('close', () => {
    end();
    relieve();
  });
  // it was stopped while the first byte was read
  socket.resume();

  return {
    [Symbol.asyncIterator]: () => reader.read(),
    send: (bytes) => {
      if (socket.destroyed) return;
      unsentBytes += bytes.length;
      write(bytes, () => {
        unsentBytes -= bytes.length;
        relieve();
      });
    },
    get congested() {
      return congested();
    },
    drained: () =>
      congested()
        ? new Promise<void>((resolve) => {
            waiting.push(resolve);
          })
        : Promise.resolve(),
    close: () => {
      socket.destroy();
      end();
      relieve();
    },
  };
}
