/** Where the server may listen: the loopback addresses only, until the transport is secured. */
import { FerryError } from '@ferry/core';

/** The address to bind for what the operator gave. Throws FerryError `listen-refused`. */
export const loopbackAddress = (given: string): '127.0.0.1' | '::1' => {
  switch (given.toLowerCase()) {
    case '127.0.0.1':
    case 'localhost':
      return '127.0.0.1';
    case '::1':
    case '[::1]':
      return '::1';
    default:
      throw new FerryError(
        'listen-refused',
        `Ferry does not listen on "${given}": requests are not encrypted yet, so only this machine may reach it.`,
      );
  }
};

export const urlOf = (address: string, port: number): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}`;

/** The error of a failed `listen`. Anything but a taken or forbidden address passes through. */
export const listenError = (error: unknown, address: string, port: number): unknown => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE')
    return new FerryError('listen-taken', `Port ${port} of ${address} is taken.`, { cause: error });
  if (code === 'EACCES')
    return new FerryError('listen-taken', `Port ${port} of ${address} may not be used by this user.`, { cause: error });
  if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')
    return new FerryError('listen-refused', `This machine has no address ${address}.`, { cause: error });
  return error;
};
