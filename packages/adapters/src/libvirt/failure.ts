/**
 * Failures of the libvirt client as FerryErrors and CallFailures. The client's sentences name host and port already.
 */
import { FerryError, type CallFailure, type ErrorCode } from '@ferry/core';
import { ConnectError, ConnectionLostError, InvalidArgumentError, LibvirtError, LibvirtUriError, VIR_ERR, type ConnectErrorKind } from '@ferry/libvirt';

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

export function connectFailure(uri: string, error: unknown): FerryError {
  if (error instanceof FerryError) return error;
  if (error instanceof LibvirtUriError) return new FerryError(error.unsupported ? 'uri-unsupported' : 'uri-invalid', error.message, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ConnectError) return new FerryError(connectCodes[error.kind], message, { cause: error });
  return new FerryError('host-unreachable', `${uri} does not answer as a libvirt host: ${message}`, { cause: error });
}

/** `refused` only where nothing can still be on its way. */
export function callFailure(error: unknown): CallFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof LibvirtError) return { outcome: 'refused', message, libvirtCode: error.code };
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
