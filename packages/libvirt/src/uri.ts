// Reads a libvirt URI into what this package needs to connect, and refuses everything else by name. Stricter than
// libvirt's own client on purpose: options that choose programs, files or weaker checks do not pass, since URIs are
// entered by users and end up in stores and on other hosts. Pure.
import { isIPv6 } from 'node:net';
import { LibvirtUriError } from './errors.ts';

export interface UnixUri {
  readonly transport: 'unix';
  /** The URI in its normal form. */
  readonly text: string;
  /** What the daemon is asked to open, such as qemu:///system. */
  readonly serverUri: string;
  readonly driver: string;
  /** Absent: the driver's usual places. */
  readonly socket: string | undefined;
}
export interface TcpUri {
  readonly transport: 'tcp';
  readonly text: string;
  readonly serverUri: string;
  readonly driver: string;
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}
export interface TlsUri extends Omit<TcpUri, 'transport'> {
  readonly transport: 'tls';
}
export interface SshUri {
  readonly transport: 'ssh';
  readonly text: string;
  readonly serverUri: string;
  readonly driver: string;
  readonly host: string;
  /** Absent: what ssh's configuration says. */
  readonly port: number | undefined;
  readonly user: string | undefined;
  /** Absent: the driver's usual places. */
  readonly socket: string | undefined;
}
export type LibvirtUri = UnixUri | TcpUri | TlsUri | SshUri;

export const DEFAULT_TCP_PORT = 16_509;
export const DEFAULT_TLS_PORT = 16_514;

const EXAMPLES =
  'write it as qemu+ssh://user@host/system, qemu+tls://host/system, qemu+tcp://host/system, ' +
  'qemu:///system or qemu+unix:///system?socket=/path/of/the/socket';
const SHAPE = /^([a-z]+)(?:\+([a-z0-9]+))?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
const PATHS: Readonly<Record<string, readonly string[]>> = { qemu: ['/system', '/session'], test: ['/default'] };
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i;

/** Throws LibvirtUriError with a sentence that says what is wrong and what would be right. */
export function parseUri(text: string): LibvirtUri {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
  const refuse = (why: string): never => {
    throw new LibvirtUriError(`${shown} cannot be used as a libvirt URI: ${why}.`);
  };
  if (text.length > 2000) refuse('it is too long');
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f-\uffff\\]/.test(text))
    refuse('it has a space, a backslash, a control or a non-ASCII character in it');
  const match = SHAPE.exec(text);
  if (match === null) return refuse(`it has not the shape driver[+transport]://[host]/path; ${EXAMPLES}`);
  const [, driver = '', transportName, authority = '', path = '', query] = match;

  const paths = PATHS[driver];
  if (paths === undefined)
    return refuse(`the driver "${driver}" is not supported, only ${Object.keys(PATHS).join(' and ')}`);
  if (!paths.includes(path))
    return refuse(`its path must be ${paths.join(' or ')} for the driver ${driver}, not "${path}"`);
  const serverUri = `${driver}://${path}`;

  const transport = transportName ?? (authority === '' ? 'unix' : 'tls');
  switch (transport) {
    case 'unix': {
      if (authority !== '') return refuse('a unix socket has no host in its URI');
      const socket = readOptions(query, transport, refuse).get('socket');
      if (socket === undefined) {
        if (path === '/session')
          return refuse(`for ${serverUri} the socket must be given, as in ${driver}+unix:///session?socket=/path`);
        return {
          transport,
          text: transportName === undefined ? serverUri : `${driver}+unix://${path}`,
          serverUri,
          driver,
          socket,
        };
      }
      if (!socket.startsWith('/')) return refuse('its socket must be an absolute path');
      if (socket.includes('\0')) return refuse('its socket has a NUL character in it');
      if (Buffer.byteLength(socket) > 107)
        return refuse('its socket path is longer than the 107 bytes the system allows');
      return {
        transport,
        text: `${driver}+unix://${path}?socket=${encodeURI(socket).replaceAll(/[?#&+=]/g, encodeURIComponent)}`,
        serverUri,
        driver,
        socket,
      };
    }
    case 'tcp':
    case 'tls': {
      refuseOptions(query, transport, refuse);
      const {
        host,
        port = transport === 'tcp' ? DEFAULT_TCP_PORT : DEFAULT_TLS_PORT,
        user,
      } = readAuthority(authority, refuse);
      if (user !== undefined) refuse(`a user name does not go with ${transport}`);
      const suffix = port === (transport === 'tcp' ? DEFAULT_TCP_PORT : DEFAULT_TLS_PORT) ? '' : `:${port}`;
      return {
        transport,
        text: `${driver}+${transport}://${bracketed(host)}${suffix}${path}`,
        serverUri,
        driver,
        host,
        port,
      };
    }
    case 'ssh': {
      const socket = readOptions(query, transport, refuse).get('socket');
      if (path === '/session' && socket === undefined)
        return refuse(`for ${serverUri} the socket must be given, as in ${driver}+ssh://host/session?socket=/path`);
      // it becomes part of a command line on the host
      if (socket !== undefined && !/^\/[\w./-]{1,106}$/.test(socket))
        refuse('over ssh its socket must be an absolute path of letters, digits, dots, dashes and underscores');
      const { host, port, user } = readAuthority(authority, refuse);
      const at = `${user === undefined ? '' : `${user}@`}${bracketed(host)}${port === undefined ? '' : `:${port}`}`;
      const text = `${driver}+ssh://${at}${path}${socket === undefined ? '' : `?socket=${socket}`}`;
      return { transport, text, serverUri, driver, host, port, user, socket };
    }
    case 'libssh':
    case 'libssh2':
      throw new LibvirtUriError(
        `${shown} cannot be used as a libvirt URI: the transport ${transport} is not supported; write ` +
          `${driver}+ssh, which uses the system's own ssh.`,
        { unsupported: true },
      );
    default:
      return refuse(`the transport "${transport}" is unknown; ${EXAMPLES}`);
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** Where a URI leads, as people write it. */
export function placeOf(uri: LibvirtUri): string {
  switch (uri.transport) {
    case 'unix':
      return uri.socket ?? uri.text;
    case 'tcp':
    case 'tls':
      return `${bracketed(uri.host)}:${uri.port}`;
    case 'ssh':
      return `${uri.user === undefined ? '' : `${uri.user}@`}${bracketed(uri.host)}${uri.port === undefined ? '' : `:${uri.port}`} (ssh)`;
  }
}

function readAuthority(
  authority: string,
  refuse: (why: string) => never,
): { readonly host: string; readonly port: number | undefined; readonly user: string | undefined } {
  const at = authority.lastIndexOf('@');
  const user = at < 0 ? undefined : authority.slice(0, at);
  if (user !== undefined && !/^[a-z_][\w.-]{0,31}$/i.test(user))
    refuse(`"${user}" is no user name${user.includes(':') ? ' (a password does not belong into a URI)' : ''}`);
  const match = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(authority.slice(at + 1));
  if (match === null) return refuse('its host is malformed (an IPv6 address needs brackets)');
  const [, written = '', portText] = match;
  if (written === '') return refuse('it has no host');
  const host = written.startsWith('[') ? written.slice(1, -1) : written;
  if (written.startsWith('[') ? !isIPv6(host) || host.includes('%') : !HOST_NAME.test(host))
    return refuse(`"${host}" is no host name or address`);
  if (portText === undefined) return { host: host.toLowerCase(), port: undefined, user };
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) return refuse(`"${portText}" is no port from 1 to 65535`);
  return { host: host.toLowerCase(), port, user };
}

/** libvirt's own options that would name programs to run, files, or weaker checks, and what is to be done instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  pkipath: 'start the control plane with --pki-path',
  no_verify: 'issue a certificate for the name in the URI',
  keyfile: "name the key in ssh's configuration (IdentityFile)",
  known_hosts: "name the file in ssh's configuration (UserKnownHostsFile)",
  known_hosts_verify: 'add the host key to known_hosts',
  command: "use ssh's configuration (ProxyCommand, ProxyJump)",
  netcat: 'install virt-ssh-helper or socat on the host',
  proxy: 'it is found out by itself',
};

function refuseOptions(query: string | undefined, transport: string, refuse: (why: string) => never): void {
  if (readOptions(query, transport, refuse).size > 0) refuse(`the option "socket" does not go with ${transport}`);
}

// Only `socket` is known. libvirt's other options name programs to run (command, netcat), files, or switch checks off.
function readOptions(
  query: string | undefined,
  transport: string,
  refuse: (why: string) => never,
): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const part of query === undefined || query === '' ? [] : query.split('&')) {
    const split = part.indexOf('=');
    const name = split < 0 ? part : part.slice(0, split);
    if (name !== 'socket')
      refuse(
        `the option "${name}" is not accepted with ${transport}${INSTEAD[name] === undefined ? '' : `; ${INSTEAD[name]}`}`,
      );
    if (options.has(name)) refuse(`the option "${name}" is given twice`);
    options.set(name, decoded(split < 0 ? '' : part.slice(split + 1), refuse));
  }
  return options;
}

function decoded(text: string, refuse: (why: string) => never): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse('it has a broken % sequence in it');
  }
}
