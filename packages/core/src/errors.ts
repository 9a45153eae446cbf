/**
 * The one table of errors: code, HTTP status, exit code of the CLI, whether a repetition can help, and the remedy.
 * The sentence names the thing and is made where the error arises, by `ferryError`; the table holds the way out.
 * Nothing is retriable unless listed so: an operation with an unknown outcome must never be repeated blindly.
 */

/** Exit codes of the CLI; the meaning is printed by `ferry --help`. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 4,
  notFound: 6,
  unreachable: 7,
  conflict: 8,
  unauthorized: 9,
  store: 10,
  cancelled: 11,
  detached: 130,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

interface ErrorRow {
  readonly status: number;
  readonly exit: ExitCode;
  readonly retriable: boolean;
  readonly remedy: string;
}

const row = (status: number, exit: ExitCode, remedy: string, retriable = false): ErrorRow => ({
  status,
  exit,
  retriable,
  remedy,
});

export const errorTable = {
  'request-invalid': row(
    400,
    exitCodes.usage,
    'Correct the named field; the reference page of the API at /docs lists what is accepted.',
  ),
  'uri-invalid': row(
    400,
    exitCodes.usage,
    'Give a libvirt URI such as qemu+ssh://root@host/system, qemu+tls://host/system or qemu:///system.',
  ),
  'uri-unsupported': row(400, exitCodes.usage, 'Use a qemu+ssh://, qemu+tls://, qemu+tcp:// or qemu+unix:// URI.'),
  'token-missing': row(
    401,
    exitCodes.unauthorized,
    'Send "Authorization: Bearer TOKEN"; the token is in the file "token" of the server\'s data folder.',
  ),
  'token-wrong': row(401, exitCodes.unauthorized, 'Use the token in the file "token" of the server\'s data folder.'),
  'origin-foreign': row(
    403,
    exitCodes.unauthorized,
    'Call the server by its loopback address, from a program or from its own pages.',
  ),
  'not-found': row(404, exitCodes.notFound, 'The reference page of the API at /docs lists what there is.'),
  'method-not-allowed': row(
    405,
    exitCodes.usage,
    'The reference page of the API at /docs lists the methods of each path.',
  ),
  'vm-unknown': row(
    404,
    exitCodes.notFound,
    'List the VMs with "ferry vm list"; a VM is found by its name, its UUID or the beginning of its UUID.',
  ),
  'vm-ambiguous': row(409, exitCodes.notFound, 'Name the VM by its UUID.'),
  'host-unknown': row(
    404,
    exitCodes.notFound,
    'List the hosts with "ferry host list"; add one with "ferry host add URI".',
  ),
  'host-ambiguous': row(409, exitCodes.notFound, 'Name the host by its full name or id.'),
  'migration-unknown': row(404, exitCodes.notFound, 'List the migrations with "ferry migration list".'),
  'migration-ambiguous': row(409, exitCodes.notFound, "Give more of the migration's id."),
  'host-unreachable': row(
    502,
    exitCodes.unreachable,
    'Check that the host is up, that libvirtd listens there, and that address and port are right.',
  ),
  'host-other-machine': row(
    409,
    exitCodes.conflict,
    'Let the address lead to the machine that was added; or, if that was installed anew, remove the host ' +
      'and add it again: "ferry host show" tells how.',
  ),
  'host-not-libvirt': row(
    502,
    exitCodes.unreachable,
    'Check the port: libvirtd listens for TCP on 16509 unless told otherwise.',
  ),
  'host-auth-refused': row(
    502,
    exitCodes.unreachable,
    'Repair what the sentence names (certificate, key, account or permission) on the host or beside the ' +
      'control plane; "ferry serve --help" tells where it looks for its own.',
  ),
  'host-duplicate': row(
    409,
    exitCodes.conflict,
    'Use the host that is already there. If these are two machines (one cloned from the other), give one ' +
      'a UUID of its own: host_uuid in /etc/libvirt/libvirtd.conf, then restart its daemon.',
  ),
  'host-refused': row(
    409,
    exitCodes.refused,
    'The sentence is that of libvirt on the host: put right what it names, and look into the log of libvirtd there.',
  ),
  'host-unsupported': row(
    501,
    exitCodes.refused,
    'The libvirt or QEMU of that host cannot do it: upgrade it, or do without.',
  ),
  'host-timed-out': row(
    504,
    exitCodes.unreachable,
    'Look on the host whether libvirtd hangs ("virsh list" there) or is very busy. Look what became of it before you repeat it.',
  ),
  'host-connection-lost': row(
    502,
    exitCodes.unreachable,
    'Look what became of it, with "ferry vm show" or "ferry migration show", before you repeat it.',
  ),
  'host-answer-invalid': row(
    502,
    exitCodes.failed,
    "Look on the host with virsh at what the sentence names; if virsh reads it well, report it with the server's log.",
  ),
  'vm-not-running': row(409, exitCodes.refused, 'Start the VM first.'),
  'host-name-invalid': row(
    409,
    exitCodes.conflict,
    'Give it one with --name: letters, digits, dots, hyphens and underscores.',
  ),
  'host-name-taken': row(409, exitCodes.conflict, 'Give another name with --name.'),
  'cluster-unknown': row(404, exitCodes.notFound, 'List the clusters with "ferry cluster list".'),
  'cluster-in-use': row(
    409,
    exitCodes.conflict,
    'Move its hosts to another cluster first: ferry host set HOST --cluster NAME.',
  ),
  'host-in-use': row(409, exitCodes.conflict, 'Wait for the migrations of this host to end, or abort them.'),
  'migration-refused': row(409, exitCodes.refused, 'Each reason names its own remedy.'),
  'vm-already-migrating': row(
    409,
    exitCodes.conflict,
    'Watch the running migration with "ferry migration watch", or abort it.',
  ),
  'migration-finished': row(409, exitCodes.conflict, 'Nothing is left to abort.'),
  'migration-not-transferring': row(409, exitCodes.conflict, 'Look with "ferry migration show" what it does now.'),
  'post-copy-not-allowed': row(409, exitCodes.conflict, 'Abort it and start it again with --postcopy.'),
  'migration-past-return': row(
    409,
    exitCodes.refused,
    'The VM is already running on the target; migrate it back if it should not stay there.',
  ),
  'migration-failed': row(
    500,
    exitCodes.failed,
    'The VM is where "vmIsNow" says; repair the named cause and start a new migration.',
  ),
  'migration-not-converged': row(
    500,
    exitCodes.failed,
    'The VM was not touched. Move it when it is less busy, or with a policy that may do more ("ferry ' +
      'policy list"), more bandwidth or a longer --max-downtime-ms.',
  ),
  'post-copy-lost': row(
    500,
    exitCodes.failed,
    'A part of the memory is gone with its host. See with "ferry migration cleanup" what is left, then start the VM again from its disks.',
  ),
  'migration-interrupted': row(500, exitCodes.failed, 'The VM was not touched; start the migration again.'),
  'volume-exists': row(409, exitCodes.conflict, 'Look what the volume is; delete it or move it away.'),
  'volume-failed': row(500, exitCodes.failed, 'Repair the named cause on the host; its log tells more.'),
  'volume-unknown': row(404, exitCodes.notFound, 'List what is left over with "ferry volume leftovers".'),
  'volume-changed': row(
    409,
    exitCodes.conflict,
    'Somebody used the volume since: look what it is, and delete it by hand if nobody needs it.',
  ),
  'vm-two-copies': row(
    500,
    exitCodes.failed,
    'Settle it at once: "ferry vm settle VM" shows what is known of each copy, --keep HOST ends the others.',
  ),
  'vm-not-in-conflict': row(409, exitCodes.conflict, 'There is nothing to settle.'),
  'copy-needed': row(
    409,
    exitCodes.refused,
    'It holds memory that no other copy has. Let the post-copy end, or be resumed; it is never ended by Ferry.',
  ),
  'copies-not-apart': row(
    409,
    exitCodes.refused,
    'See with "ferry host list" and "virsh capabilities" which machine each address leads to; nothing was ended or paused.',
  ),
  'inspection-none': row(
    404,
    exitCodes.notFound,
    'It is kept of migrations that failed and were started with --keep-dest-guest-on-failed.',
  ),
  'policy-unknown': row(404, exitCodes.notFound, 'List the policies with "ferry policy list".'),
  'policy-invalid': row(
    400,
    exitCodes.usage,
    'Correct what the sentences name; "ferry policy show default -o json" prints one that is right.',
  ),
  'policy-preset': row(409, exitCodes.conflict, 'Presets stay as they are: store it under another name.'),
  'policy-in-use': row(409, exitCodes.conflict, 'Give the named clusters and labels another policy first.'),
  'vm-lost': row(500, exitCodes.failed, 'Look for the VM on both hosts with virsh list --all, and in their logs.'),
  'store-locked': row(
    500,
    exitCodes.store,
    'Another Ferry server uses this data folder: stop it, or give another one with --data-dir.',
  ),
  'store-newer': row(
    500,
    exitCodes.store,
    'The data was written by a newer Ferry: start that version, or give another folder with --data-dir.',
  ),
  'store-broken': row(
    500,
    exitCodes.store,
    'Restore the data folder from a backup, or give another one with --data-dir.',
  ),
  'store-unsafe': row(
    500,
    exitCodes.store,
    'Give the folder and what is in it to the user that runs Ferry, closed to others (chmod -R go-w), ' +
      'after a look at what is there; or give another folder with --data-dir.',
  ),
  'store-full': row(
    507,
    exitCodes.store,
    'Make room on that disk. Running migrations go on, and are followed again once there is room.',
  ),
  'store-conflict': row(
    409,
    exitCodes.conflict,
    'Somebody changed the same thing at the same moment: look again, then repeat.',
    true,
  ),
  'listen-refused': row(500, exitCodes.usage, 'Listen on a loopback address: 127.0.0.1, ::1 or localhost.'),
  'listen-taken': row(
    500,
    exitCodes.failed,
    'Another program listens there: stop it, or give another port with --port.',
  ),
  'server-unreachable': row(
    502,
    exitCodes.unreachable,
    'Start the control plane with "ferry serve", or name it with --server or FERRY_SERVER.',
  ),
  'server-stopping': row(
    503,
    exitCodes.unreachable,
    'Repeat when the control plane runs again; running migrations go on without it.',
    true,
  ),
  internal: row(500, exitCodes.failed, "This is a defect in Ferry: please report it with the server's log."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** One ground on which a move is refused for one host, or as a whole. */
export interface Reason {
  readonly code: string;
  /** Host the reason speaks of; absent when it holds for every host. */
  readonly host?: string;
  readonly message: string;
  readonly remedy: string;
}

/** An error as stored and shown. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly reasons: readonly Reason[];
}

/** The one error class of Ferry's own packages. `message` is a sentence that names the thing. */
export class FerryError extends Error {
  override readonly name = 'FerryError';
  readonly code: ErrorCode;
  readonly reasons: readonly Reason[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly reasons?: readonly Reason[]; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reasons = options.reasons ?? [];
  }

  get remedy(): string {
    return errorTable[this.code].remedy;
  }
}

export const errorReport = (code: ErrorCode, message: string, reasons: readonly Reason[] = []): ErrorReport => ({
  code,
  message,
  remedy: errorTable[code].remedy,
  reasons,
});

export const reportOf = (error: FerryError): ErrorReport => errorReport(error.code, error.message, error.reasons);
