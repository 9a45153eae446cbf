// TLS to a daemon, as libvirt does it: both sides show a certificate, and the daemon sends one byte if it accepts ours.
// Errors name the certificate and the side that failed. No check can be switched off.
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { ConnectError } from './errors.ts';

/** Files of one side, as libvirt names them. */
interface PkiFiles {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

/**
 * The folder that was named, else those of the user, else those of the system (libvirt's documentation of TLS,
 * "certificate locations").
 */
export function pkiFiles(pkiPath: string | undefined): PkiFiles {
  const flat = (folder: string): PkiFiles => ({
    authority: join(folder, 'cacert.pem'),
    certificate: join(folder, 'clientcert.pem'),
    key: join(folder, 'clientkey.pem'),
  });
  if (pkiPath !== undefined) return flat(pkiPath);
  const own = flat(join(homedir(), '.pki', 'libvirt'));
  if (process.getuid?.() !== 0 && existsSync(own.certificate)) return own;
  return {
    authority: '/etc/pki/CA/cacert.pem',
    certificate: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
  };
}

/**
 * Begins a handshake; throws ConnectError if a needed file is missing. `secureConnect` means that the daemon's
 * certificate is good.
 */
export function beginTls(host: string, port: number, place: string, pkiPath: string | undefined): TLSSocket {
  const files = pkiFiles(pkiPath);
  const read = (file: string, what: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (error) {
      throw new ConnectError(
        'auth',
        `${place}: ${what} is missing: ${file} cannot be read ` +
          `(${error instanceof Error && 'code' in error ? String(error.code) : 'unknown'}).`,
        { cause: error },
      );
    }
  };
  const options: ConnectionOptions & { readonly autoSelectFamily: true } = {
    autoSelectFamily: true,
    host,
    port,
    // its DNS name is checked against the certificate; an address has to be in it as an address
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    ca: read(files.authority, "the authority's certificate"),
    cert: read(files.certificate, "this side's certificate"),
    key: read(files.key, "the key of this side's certificate"),
  };
  let socket: TLSSocket;
  try {
    socket = connect(options);
  } catch (error) {
    throw new ConnectError(
      'auth',
      `${place}: ${files.certificate} and ${files.key} cannot be used: ${error instanceof Error ? error.message : String(error)}.`,
      { cause: error },
    );
  }
  socket.setNoDelay(true);
  return socket;
}

const BY_CODE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'the certificate of the host has expired; issue a new one',
  CERT_NOT_YET_VALID: 'the certificate of the host is not valid yet; compare the clocks',
  DEPTH_ZERO_SELF_SIGNED_CERT: "the host's certificate is signed by itself and not by the authority that is known here",
  SELF_SIGNED_CERT_IN_CHAIN: "the host's certificate comes from an authority that is not known here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the host's certificate comes from an authority that is not known here",
  UNABLE_TO_GET_ISSUER_CERT: "the host's certificate comes from an authority that is not known here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the host's certificate comes from an authority that is not known here",
  CERT_SIGNATURE_FAILURE: "the signature of the host's certificate is not that of the authority that is known here",
  CERT_REVOKED: 'the certificate of the host was revoked',
};

/** What an error of the handshake means; undefined when it is none of TLS. */
export function explainTls(error: NodeJS.ErrnoException, place: string): ConnectError | undefined {
  const code = error.code ?? '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new ConnectError(
      'auth',
      `${place}: the certificate of the host is made out for another name ` +
        `(${error.message.replace(/^.*?altnames: /s, '').trim()}). Use that name in the URI, or issue one ` +
        'for this name or address.',
      { cause: error },
    );
  }
  const known = BY_CODE[code];
  if (known !== undefined) return new ConnectError('auth', `${place}: ${known}.`, { cause: error });
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return new ConnectError('not-libvirt', `${place} does not speak TLS: is the port right?`, { cause: error });
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return new ConnectError('auth', `${place}: the TLS handshake failed: ${error.message}.`, { cause: error });
  return undefined;
}

/** Why the daemon may not have taken our certificate: it closes without a word. */
export function explainRefusal(place: string, pkiPath: string | undefined): ConnectError {
  const files = pkiFiles(pkiPath);
  return new ConnectError(
    'auth',
    `${place} does not take the certificate of this side (${files.certificate}): ${whyRefused(files)}.`,
  );
}

function whyRefused(files: PkiFiles): string {
  try {
    const own = new X509Certificate(readFileSync(files.certificate));
    const authority = new X509Certificate(readFileSync(files.authority));
    if (Date.parse(own.validTo) < Date.now()) return `it has expired on ${own.validTo}`;
    if (Date.parse(own.validFrom) > Date.now()) return `it is not valid before ${own.validFrom}`;
    if (!own.checkIssued(authority) || !own.verify(authority.publicKey))
      return `it does not come from the authority in ${files.authority}`;
    return `the host knows another authority, or its tls_allowed_dn_list has no ${own.subject.replaceAll('\n', ', ')}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Hands bytes to a stream, in order; `left` is called when they have left, or never will. */
export type StreamWrite = (bytes: Uint8Array, left: () => void) => void;

/**
 * Writes one frame per TLS record and the next when the one before has left. libvirtd 9.0 waits on the socket and not
 * on what GnuTLS has decrypted already: of two frames in one record it would not see the second until something else
 * arrives (seen: 5 s, at the next ping).
 */
export function frameWriter(socket: TLSSocket): StreamWrite {
  const waiting: { readonly frame: Uint8Array; readonly left: (() => void) | undefined }[] = [];
  let writing = false;
  const next = (): void => {
    const first = waiting.shift();
    writing = first !== undefined && !socket.destroyed;
    if (!writing || first === undefined) return;
    socket.write(first.frame, () => {
      first.left?.();
      next();
    });
  };
  return (bytes, left) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length;) {
      // a frame starts with its length, which includes itself
      const length = Math.max(4, bytes.length - at < 4 ? bytes.length : view.getUint32(at));
      waiting.push({ frame: bytes.subarray(at, at + length), left: at + length < bytes.length ? undefined : left });
      at += length;
    }
    if (!writing) next();
  };
}
