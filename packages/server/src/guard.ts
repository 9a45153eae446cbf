/**
 * Who may speak to the server: programs on this machine that know the token. `Host` and `Origin` are checked first, so
 * that a page of a foreign site can not reach the server through the user's browser, not even by rebinding a name.
 * There are no users and no rights yet: the token allows everything.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { FerryError } from '@ferry/core';

export interface Caller {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Port of this server that the caller came in by. */
  readonly port: number;
}

/** The reference page holds no data of the fleet, and a browser sends no token when it opens a page. */
const isOpen = (caller: Caller): boolean => caller.method === 'GET' && caller.path === '/docs';

/** The refusal, or undefined when the caller may go on. */
export const guard = (token: string): ((caller: Caller) => FerryError | undefined) => {
  const expected = digest(token);
  return (caller) => {
    const { host, origin, authorization } = caller.headers;
    const own = ownAuthorities(caller.port);
    if (host === undefined || !own.includes(host.toLowerCase())) {
      return new FerryError(
        'origin-foreign',
        `The request names the host "${printable(host ?? '')}", which is not this server's loopback address.`,
      );
    }
    if (origin !== undefined && !own.some((authority) => origin.toLowerCase() === `http://${authority}`)) {
      return new FerryError('origin-foreign', `The request comes from the foreign origin "${printable(origin)}".`);
    }
    if (isOpen(caller)) return undefined;
    if (authorization === undefined || authorization === '')
      return new FerryError('token-missing', 'The request has no token.');
    const [, sent] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
    // Digests have one length, so the comparison reveals nothing about the token's length.
    if (sent === undefined || !timingSafeEqual(digest(sent), expected))
      return new FerryError('token-wrong', 'The token of the request is not the one of this server.');
    return undefined;
  };
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const ownAuthorities = (port: number): readonly string[] =>
  ['127.0.0.1', 'localhost', '[::1]'].flatMap((name) => (port === 80 ? [name, `${name}:80`] : [`${name}:${port}`]));

const printable = (text: string): string => text.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, '?');
