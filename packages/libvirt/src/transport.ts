// A byte stream to a daemon: what a connection needs of it, and the two that exist (unix socket, TCP).
// It carries bytes and knows nothing of frames. TLS or a command's stdin and stdout would be further makers of a Transport.
import { createConnection } from 'node:net';
import type { NetConnectOpts, Socket } from 'node:net';
import { ConnectError } from './errors.ts';
import type { ConnectErrorKind } from './errors.ts';
import type { LibvirtUri } from './uri.ts';

/**
 * Iterating yields what the peer sends, once, by one consumer: it ends when the peer closes and throws when the operating
 * system reports an error. `send` takes over the bytes, keeps their order and never waits. `close` may be called at any time,
 * more than once; iteration then ends.
 */
export interface Transport extends AsyncIterable<Uint8Array> {
  send(bytes: Uint8Array): void;
  /** Resolves when few of the bytes sent still wait to leave, or none ever will. */
  drained(): Promise<void>;
  close(): void;
}

// The daemon that serves one driver only comes first, as in libvirt's own client.
const UNIX_SOCKETS: Readonly<Record<string, readonly string[]>> = {
  qemu: ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'],
  test: ['/var/run/libvirt/libvirt-sock'],
};

/** Throws ConnectError. `timeoutMs` bounds one attempt to connect. */
export async function connectTransport(
  uri: LibvirtUri,
  options: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number; readonly readOnly: boolean },
): Promise<Transport> {
  if (uri.transport === 'tcp') {
    const place = `${uri.host.includes(':') ? `[${uri.host}]` : uri.host}:${uri.port}`;
    // autoSelectFamily tries all addresses of a name
    const socket = await connectSocket({ host: uri.host, port: uri.port, noDelay: true, autoSelectFamily: true }, place, options);
    return socketTransport(socket);
  }
  const usual = (UNIX_SOCKETS[uri.driver] ?? []).map((path) => (options.readOnly ? `${path}-ro` : path));
  const paths = uri.socket === undefined ? usual : [uri.socket];
  let failure: ConnectError | undefined;
  for (const path of paths) {
    try {
      return socketTransport(await connectSocket({ path }, path, options));
    } catch (error) {
      if (!(error instanceof ConnectError) || (error.kind !== 'not-found' && error.kind !== 'refused')) throw error;
      failure = error;
    }
  }
  throw failure ?? new ConnectError('not-found', `No unix socket is known for the driver ${uri.driver}.`);
}

async function connectSocket(
  target: NetConnectOpts,
  place: string,
  options: { readonly signal: AbortSignal | undefined; readonly timeoutMs: number },
): Promise<Socket> {
  if (options.signal?.aborted === true) throw cancelled(place, options.signal);
  const socket = createConnection(target);
  return await new Promise<Socket>((resolve, reject) => {
    const timer = setTimeout(() => {
      fail(new ConnectError('timeout', `${place} did not answer within ${options.timeoutMs} ms: the host may be down or a firewall drops the packets.`));
    }, options.timeoutMs);
    const onAbort = (): void => fail(options.signal === undefined ? undefined : cancelled(place, options.signal));
    const onError = (error: NodeJS.ErrnoException): void => fail(explain(error, place));
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.on('error', () => {}); // a late one has no one to interest
      socket.destroy();
      reject(error instanceof Error ? error : new ConnectError('other', `The connection to ${place} failed.`));
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once('connect', () => {
      settle();
      resolve(socket);
    });
  });
}

function cancelled(place: string, signal: AbortSignal): ConnectError {
  return new ConnectError('cancelled', `Connecting to ${place} was cancelled.`, { cause: signal.reason });
}

const KINDS: Readonly<Record<string, { readonly kind: ConnectErrorKind; readonly why: string }>> = {
  ECONNREFUSED: { kind: 'refused', why: 'nothing listens there (is libvirtd running and listening on this port or socket?)' },
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
  // with several addresses, the errors of all of them come together
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  const code = error.code ?? (first instanceof Error && 'code' in first ? String(first.code) : '');
  const known = KINDS[code] ?? { kind: 'other', why: error.message };
  return new ConnectError(known.kind, `${place} cannot be reached: ${known.why}.`, { cause: error });
}

const MAX_UNREAD_CHUNKS = 32;

/** Wraps a connected socket. Reading pauses while the consumer is behind. */
export function socketTransport(socket: Socket): Transport {
  const chunks: Uint8Array[] = [];
  let failure: Error | undefined;
  let ended = false;
  let wake: (() => void) | undefined;
  const stir = (): void => {
    const waiting = wake;
    wake = undefined;
    waiting?.();
  };
  const end = (): void => {
    ended = true;
    stir();
  };
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (chunks.length >= MAX_UNREAD_CHUNKS) socket.pause();
    stir();
  });
  socket.on('error', (error) => {
    failure = error;
    end();
  });
  socket.on('end', end);
  socket.on('close', end);

  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const chunk = chunks.shift();
        if (chunk !== undefined) {
          if (socket.isPaused() && chunks.length === 0) socket.resume();
          yield chunk;
        } else if (failure !== undefined) {
          throw failure;
        } else if (ended) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      socket.destroy();
    }
  }

  return {
    [Symbol.asyncIterator]: read,
    send: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
    drained: () =>
      socket.destroyed || !socket.writableNeedDrain
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            const done = (): void => {
              socket.off('drain', done);
              socket.off('close', done);
              resolve();
            };
            socket.on('drain', done);
            socket.on('close', done);
          }),
    close: () => {
      socket.destroy();
      end();
    },
  };
}
