// From a URI to a connection on which the hypervisor is open: connect, authenticate, negotiate keepalive, open.
// Every failure becomes one ConnectError whose kind and sentence tell the cases apart. The whole is bounded in time.
import { createConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { ConnectError, ConnectionLostError, LibvirtError } from './errors.ts';
import type { Frame } from './frame.ts';
import type { KeepaliveOptions } from './keepalive.ts';
import { AuthType, Feature, procedures } from './procedures.ts';
import { chooseMechanism, credentialsFor } from './sasl.ts';
import { connectTransport } from './transport.ts';
import type { AccessSettings } from './transport.ts';
import type { LibvirtUri } from './uri.ts';
import { placeOf } from './uri.ts';

export interface OpenOptions {
  readonly signal: AbortSignal | undefined;
  readonly keepalive: KeepaliveOptions;
  readonly readOnly: boolean;
  readonly handshakeTimeoutMs: number;
  /** See ConnectionOptions. */
  readonly callTimeoutMs?: number | undefined;
  readonly access?: AccessSettings | undefined;
  readonly onMessage?: (frame: Frame) => void;
}

const OPEN_READ_ONLY = 1;

export async function openConnection(uri: LibvirtUri, options: OpenOptions): Promise<Connection> {
  const { signal, readOnly, handshakeTimeoutMs, onMessage } = options;
  const transport = await connectTransport(uri, {
    signal,
    timeoutMs: handshakeTimeoutMs,
    readOnly,
    access: options.access,
  });
  const connection = createConnection(transport, {
    label: uri.text,
    callTimeoutMs: options.callTimeoutMs,
    ...(onMessage === undefined ? {} : { onMessage }),
  });
  const timeout = AbortSignal.timeout(handshakeTimeoutMs);
  const handshake = { signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]) };
  let answered = false;
  try {
    const { types } = await connection.call(procedures.authList, undefined, handshake);
    answered = true;
    await authenticate(uri, connection, types, options.access?.authFile, handshake);
    // both go out together: one round trip less, and nothing depends on their order
    await Promise.all([
      connection.call(procedures.connectSupportsFeature, { feature: Feature.KEEPALIVE }, handshake),
      connection.call(procedures.connectOpen, { name: uri.serverUri, flags: readOnly ? OPEN_READ_ONLY : 0 }, handshake),
    ]);
    connection.startKeepalive(options.keepalive);
    return connection;
  } catch (error) {
    await connection.close();
    throw explain(error, { uri, answered, signal, handshakeTimeoutMs });
  }
}

/** A connection as far as the daemon's first answer, then its end. Throws ConnectError. */
export async function tryConnection(
  uri: LibvirtUri,
  { signal, readOnly, handshakeTimeoutMs, access }: OpenOptions,
): Promise<void> {
  const transport = await connectTransport(uri, { signal, timeoutMs: handshakeTimeoutMs, readOnly, access });
  const connection = createConnection(transport, { label: uri.text });
  const timeout = AbortSignal.timeout(handshakeTimeoutMs);
  try {
    await connection.call(procedures.authList, undefined, {
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
  } catch (error) {
    throw explain(error, { uri, answered: false, signal, handshakeTimeoutMs });
  } finally {
    await connection.close();
  }
}

async function authenticate(
  uri: LibvirtUri,
  connection: Connection,
  types: readonly number[],
  authFile: string | undefined,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  if (types.length === 0 || types.includes(AuthType.NONE)) return;
  if (types.includes(AuthType.POLKIT)) {
    try {
      const { complete } = await connection.call(procedures.authPolkit, undefined, options);
      if (complete) return;
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      throw new ConnectError(
        'auth',
        `${uri.text}: polkit refused this user (${error.message}). Run as root, or let the user manage ` +
          'libvirt (on Debian: the group libvirt).',
        { cause: error },
      );
    }
    throw new ConnectError('auth', `${uri.text}: polkit did not let this user in.`);
  }
  await authenticateBySasl(uri, connection, authFile ?? '/etc/libvirt/auth.conf', options);
}

async function authenticateBySasl(
  uri: LibvirtUri,
  connection: Connection,
  authFile: string,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const refuse = (why: string, cause?: unknown): never => {
    throw new ConnectError('auth', `${uri.text}: ${why}.`, { cause });
  };
  if (uri.transport === 'tcp')
    return refuse(
      'the daemon wants a password (SASL) on a connection that is not encrypted; use qemu+tls or ' +
        'qemu+ssh, or set auth_tcp = "none" in its libvirtd.conf on a network you trust',
    );
  const host = uri.transport === 'unix' ? 'localhost' : uri.host;
  const credentials =
    credentialsFor(host, authFile) ??
    refuse(`the daemon wants a name and a password (SASL), and ${authFile} has none for ${host}`);
  const { mechanisms } = await connection.call(procedures.authSaslInit, undefined, options);
  const mechanism =
    chooseMechanism(mechanisms, credentials) ??
    refuse(`the daemon offers ${mechanisms} for its password (SASL); SCRAM and PLAIN are known here`);
  try {
    let answer = await connection.call(
      procedures.authSaslStart,
      { mechanism: mechanism.name, nil: false, data: mechanism.first() },
      options,
    );
    for (;;) {
      const next = mechanism.finished && answer.complete ? undefined : await mechanism.next(answer.data);
      if (answer.complete && mechanism.finished) return;
      if (next === undefined && !answer.complete && !mechanism.finished)
        refuse('the daemon breaks off the exchange of passwords');
      answer = await connection.call(procedures.authSaslStep, { nil: next === undefined, data: next ?? '' }, options);
    }
  } catch (error) {
    if (error instanceof ConnectError || error instanceof ConnectionLostError) throw error;
    refuse(
      `the daemon does not take the password of ${credentials.user} (${mechanism.name}): ` +
        (error instanceof Error ? error.message : String(error)),
      error,
    );
  }
}

function explain(
  error: unknown,
  at: {
    readonly uri: LibvirtUri;
    readonly answered: boolean;
    readonly signal: AbortSignal | undefined;
    readonly handshakeTimeoutMs: number;
  },
): ConnectError {
  if (error instanceof ConnectError) return error;
  const { uri, answered } = at;
  const place = placeOf(uri);
  const cause = { cause: error };
  if (error instanceof LibvirtError) {
    return new ConnectError(
      'open-refused',
      `${place}: libvirtd would not open ${uri.serverUri}: ${error.message}`,
      cause,
    );
  }
  if (!(error instanceof ConnectionLostError)) {
    return new ConnectError('other', `${place}: ${error instanceof Error ? error.message : String(error)}`, cause);
  }
  if (error.cause instanceof ConnectError) return error.cause;
  switch (error.reason) {
    case 'cancelled':
      if (at.signal?.aborted === true)
        return new ConnectError('cancelled', `Connecting to ${place} was cancelled.`, cause);
      return answered
        ? new ConnectError(
            'timeout',
            `${place}: libvirtd did not finish opening ${uri.serverUri} within ${at.handshakeTimeoutMs} ms.`,
            cause,
          )
        : new ConnectError(
            'not-libvirt',
            `${place} takes connections but said nothing within ${at.handshakeTimeoutMs} ms: it is not libvirtd, or libvirtd hangs.`,
            cause,
          );
    case 'protocol-error':
      return new ConnectError('not-libvirt', `${place} does not speak libvirt's protocol: is the port right?`, cause);
    case 'peer-closed':
    case 'transport-error':
      return answered
        ? new ConnectError(
            'other',
            `${place}: libvirtd closed the connection while ${uri.serverUri} was being opened.`,
            cause,
          )
        : new ConnectError(
            'not-libvirt',
            `${place} closed the connection without an answer: it is not libvirtd's plain port or socket, or libvirtd is full.`,
            cause,
          );
    case 'closed':
    case 'timeout':
    case 'overloaded':
    case 'not-reading':
    case 'keepalive-timeout':
      return new ConnectError('other', `${place}: ${error.message}`, cause);
  }
}
