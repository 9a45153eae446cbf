/**
 * The one place where failures of the libvirt client become FerryErrors and CallFailures: each kind has its code and
 * its sentence. Anything else stays as it is: it is a defect, and must look like one. The client's own sentences name
 * host and port already.
 */
import { FerryError, type CallFailure, type ErrorCode } from '@ferry/core';
import {
  ConnectError,
  ConnectionLostError,
  InvalidArgumentError,
  LibvirtError,
  LibvirtUriError,
  ProtocolError,
  VIR_ERR,
  XmlError,
  type ConnectErrorKind,
} from '@ferry/libvirt';

const connectCodes: Readonly<Record<ConnectErrorKind, ErrorCode>> = {
  refused: 'host-unreachable',
  unreachable: 'host-unreachable',
  'not-found': 'host-unreachable',
  timeout: 'host-unreachable',
  'not-libvirt': 'host-not-libvirt',
  denied: 'host-auth-refused',
  auth: 'host-auth-refused',
  'open-refused': 'host-unreachable',
  cancelled: 'host-unreachable',
  other: 'host-unreachable',
};

/** What libvirt's own numbers mean beyond a plain no. */
const libvirtCodes: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [VIR_ERR.NO_DOMAIN, 'vm-unknown'],
  ...[VIR_ERR.NO_SUPPORT, VIR_ERR.OPERATION_UNSUPPORTED, VIR_ERR.ARGUMENT_UNSUPPORTED, VIR_ERR.CONFIG_UNSUPPORTED].map(
    (code) => [code, 'host-unsupported'] as const,
  ),
  ...[VIR_ERR.OPERATION_DENIED, VIR_ERR.ACCESS_DENIED, VIR_ERR.AUTH_FAILED, VIR_ERR.AUTH_UNAVAILABLE].map(
    (code) => [code, 'host-auth-refused'] as const,
  ),
  ...[VIR_ERR.OPERATION_TIMEOUT, VIR_ERR.AGENT_UNRESPONSIVE, VIR_ERR.RESOURCE_BUSY].map(
    (code) => [code, 'host-timed-out'] as const,
  ),
]);

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const sentence = (text: string): string => (/[.!?…]$/.test(text) ? text : `${text}.`);

/**
 * `place`: how people know the host, where the sentence does not say it. What is no failure of the client comes back
 * as it is.
 */
export function hostFailure(place: string, error: unknown): unknown {
  if (error instanceof FerryError) return error;
  const failure = (code: ErrorCode, text: string, unanswered = false): FerryError =>
    new FerryError(code, sentence(text), { cause: error, unanswered });
  if (error instanceof LibvirtError)
    return failure(libvirtCodes.get(error.code) ?? 'host-refused', `${place}: ${error.message}`);
  if (error instanceof ConnectionLostError) return lossOf(error, failure);
  if (error instanceof ConnectError) return failure(connectCodes[error.kind], error.message);
  if (error instanceof LibvirtUriError)
    return failure(error.unsupported ? 'uri-unsupported' : 'uri-invalid', error.message);
  if (error instanceof InvalidArgumentError) return failure('request-invalid', `${place}: ${error.message}`);
  if (error instanceof ProtocolError || error instanceof XmlError)
    return failure('host-answer-invalid', `What ${place} answers is not readable: ${error.message}`);
  if (error instanceof Error && error.name === 'TimeoutError')
    return failure('host-timed-out', `${place} did not answer in time`, true);
  return error;
}

function lossOf(
  error: ConnectionLostError,
  failure: (code: ErrorCode, text: string, unanswered: boolean) => FerryError,
): FerryError {
  const { reason, cause, message } = error;
  const unanswered = error.outcome === 'unknown';
  if (reason === 'cancelled' && cause instanceof FerryError) return cause;
  if (reason === 'timeout' || (cause instanceof Error && cause.name === 'TimeoutError'))
    return failure('host-timed-out', message, unanswered);
  if (reason === 'protocol-error') return failure('host-answer-invalid', message, unanswered);
  return failure(unanswered ? 'host-connection-lost' : 'host-unreachable', message, unanswered);
}

export function connectFailure(uri: string, error: unknown): FerryError {
  const known = hostFailure(uri, error);
  return known instanceof FerryError
    ? known
    : new FerryError('host-unreachable', `${uri} does not answer as a libvirt host: ${textOf(error)}`, {
        cause: error,
      });
}

/** `refused` only where nothing can still be on its way. */
export function callFailure(error: unknown): CallFailure {
  const message = textOf(error);
  if (error instanceof LibvirtError) return { outcome: 'refused', message };
  if (error instanceof ConnectError || error instanceof InvalidArgumentError) return { outcome: 'refused', message };
  if (error instanceof ConnectionLostError && error.outcome === 'not-started') return { outcome: 'refused', message };
  return { outcome: 'unknown', message };
}

/** What `ask` gives; undefined where the daemon has no such driver. */
export async function unlessUnsupported<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof LibvirtError && error.code === VIR_ERR.NO_SUPPORT) return undefined;
    throw error;
  }
}

/** The same port, whose calls and streams fail with what `hostFailure` makes of a failure. */
export function translated<T extends object>(place: string, port: T): T {
  const translate = (error: unknown): never => {
    throw hostFailure(place, error);
  };
  const resultOf = (result: unknown): unknown => {
    if (result instanceof Promise) return result.then(resultOf, translate);
    return isStream(result) ? streamOf(result, translate) : result;
  };
  const wrapped = Object.entries(port).map(([name, member]: [string, unknown]) => {
    if (typeof member !== 'function') return [name, member] as const;
    const call = (...args: readonly unknown[]): unknown => {
      try {
        return resultOf(Reflect.apply(member, port, args));
      } catch (error) {
        return translate(error);
      }
    };
    return [name, call] as const;
  });
  return Object.fromEntries(wrapped) as T;
}

const isStream = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

async function* streamOf(stream: AsyncIterable<unknown>, translate: (error: unknown) => never): AsyncGenerator {
  try {
    yield* stream;
  } catch (error) {
    translate(error);
  }
}
