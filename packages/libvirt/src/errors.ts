// The errors of this package, one class per question of a caller: did the server refuse (LibvirtError), may the call
// have had an effect (ConnectionLostError.outcome), why did connecting fail (ConnectError.kind), did the peer break the
// protocol (ProtocolError), was the request invalid before anything was sent (InvalidArgumentError, LibvirtUriError).
// Nothing here decides about a retry: that needs knowledge of the call.

/** The text is no URI of a libvirt host that this package can open. The message says what to write instead. */
export class LibvirtUriError extends Error {
  override readonly name = 'LibvirtUriError';
  /** It may be a good URI, for what is not supported here. */
  readonly unsupported: boolean;

  constructor(message: string, options: { readonly unsupported?: boolean } = {}) {
    super(message);
    this.unsupported = options.unsupported ?? false;
  }
}

/** The request is refused on this side; nothing was sent. */
export class InvalidArgumentError extends Error {
  override readonly name = 'InvalidArgumentError';
}

/** The peer sent bytes that are not libvirt's protocol. The connection they came on is not used any more. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

export type ConnectErrorKind =
  | 'refused' // nobody listens there
  | 'unreachable' // no route, or the host is down
  | 'not-found' // no such host name, or no such socket file
  | 'timeout' // no answer to the attempt to connect
  | 'not-libvirt' // something answers there, but not with libvirt's protocol (or not at all)
  | 'denied' // this user may not open the socket
  | 'auth' // the daemon wants an authentication that this package cannot do, or refused it
  | 'open-refused' // the daemon speaks the protocol but would not open the hypervisor; `cause` is its LibvirtError
  | 'cancelled' // the caller's signal
  | 'other';

/** No connection came about; nothing has happened on the host. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  readonly kind: ConnectErrorKind;
  constructor(kind: ConnectErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export type LossReason =
  | 'cancelled' // the caller's signal ended the wait; the server goes on
  | 'timeout' // no answer in the time that such a call may take; the server goes on
  | 'overloaded' // too many calls wait on this side already
  | 'closed' // this side closed the connection
  | 'peer-closed' // the daemon (or something between) closed it
  | 'keepalive-timeout' // the peer fell silent
  | 'not-reading' // the peer sends, and does not take what is sent to it
  | 'protocol-error' // the peer sent garbage
  | 'transport-error'; // the operating system reported an error

/**
 * A call ended without an answer. `outcome` is 'unknown' when its bytes may have reached the server, which may be
 * carrying it out still, and 'not-started' when they were never sent. An unknown outcome is for looking, not for trying
 * again.
 */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
  readonly outcome: 'unknown' | 'not-started';
  readonly reason: LossReason;
  /** The call's name in libvirt's protocol; absent when the connection itself is what was lost. */
  readonly procedure: string | undefined;
  constructor(
    outcome: 'unknown' | 'not-started',
    reason: LossReason,
    message: string,
    procedure?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.outcome = outcome;
    this.reason = reason;
    this.procedure = procedure;
  }
}

/**
 * What libvirt sends with an error. The numbers are those of `virErrorNumber`, `virErrorDomain` and `virErrorLevel`.
 */
export interface LibvirtErrorFields {
  readonly code: number;
  readonly domain: number;
  readonly level: number;
  readonly message: string;
  /** Usually the message's printf template: not for people. */
  readonly str1: string | undefined;
  readonly str2: string | undefined;
  readonly str3: string | undefined;
  /** The errno when the code is SYSTEM_ERROR. */
  readonly int1: number;
  readonly int2: number;
}

/** The server answered, and the answer is no. */
export class LibvirtError extends Error implements LibvirtErrorFields {
  override readonly name = 'LibvirtError';
  readonly code: number;
  readonly domain: number;
  readonly level: number;
  readonly str1: string | undefined;
  readonly str2: string | undefined;
  readonly str3: string | undefined;
  readonly int1: number;
  readonly int2: number;
  /** The call's name in libvirt's protocol. */
  readonly procedure: string;
  constructor(procedure: string, fields: LibvirtErrorFields) {
    super(fields.message);
    this.procedure = procedure;
    this.code = fields.code;
    this.domain = fields.domain;
    this.level = fields.level;
    this.str1 = fields.str1;
    this.str2 = fields.str2;
    this.str3 = fields.str3;
    this.int1 = fields.int1;
    this.int2 = fields.int2;
  }
}
