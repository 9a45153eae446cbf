/**
 * The one table of errors: code, HTTP status, exit code of the CLI, whether a repetition can help, and the remedy. The
 * sentence names the thing; `ferryError` makes it where the error occurs. The table has the remedy. Nothing is
 * retriable unless listed so: an operation with an unknown outcome must never be repeated blindly.
 */
import type { HostAnswer } from './plan.ts';
import type { Reason } from './reasons.ts';

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
  'request-invalid': row(400, exitCodes.usage, 'Correct the named field; see the API reference at /docs.'),
  'selector-invalid': row(
    400,
    exitCodes.usage,
    'Use a selector such as tier=db,zone in (a,b),!test: KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY, !KEY.',
  ),
  'uri-invalid': row(
    400,
    exitCodes.usage,
    'Use a libvirt URI such as qemu+ssh://root@host/system, qemu+tls://host/system or qemu:///system.',
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
  'not-found': row(404, exitCodes.notFound, 'See the API reference at /docs for what exists.'),
  'method-not-allowed': row(405, exitCodes.usage, 'See the API reference at /docs for the methods of each path.'),
  'vm-unknown': row(
    404,
    exitCodes.notFound,
    'List the VMs with "ferry vm list". Use a name, a UUID or the first characters of a UUID.',
  ),
  'vm-ambiguous': row(409, exitCodes.notFound, 'Name the VM by its UUID.'),
  'host-unknown': row(
    404,
    exitCodes.notFound,
    'List the hosts with "ferry host list"; add one with "ferry host add URI".',
  ),
  'host-ambiguous': row(409, exitCodes.notFound, 'Name the host by its full name or id.'),
  'migration-unknown': row(404, exitCodes.notFound, 'List the migrations with "ferry migration list".'),
  'migration-ambiguous': row(409, exitCodes.notFound, "Use more characters of the migration's id."),
  'host-unreachable': row(
    502,
    exitCodes.unreachable,
    'Check that the host is up, that libvirtd listens there, and that address and port are right.',
  ),
  'host-other-machine': row(
    409,
    exitCodes.conflict,
    'Point the address to the machine that was added. If that was reinstalled, remove the host and add it ' +
      'again; "ferry host show" says how.',
  ),
  'host-not-libvirt': row(502, exitCodes.unreachable, 'Check the port: libvirtd listens for TCP on 16509 by default.'),
  'host-auth-refused': row(
    502,
    exitCodes.unreachable,
    'Correct the named certificate, key, account or permission, on the host or beside the control plane. ' +
      '"ferry serve --help" says where Ferry looks for its own.',
  ),
  'host-duplicate': row(
    409,
    exitCodes.conflict,
    'Use the host that exists. If these are two machines (one cloned from the other), set host_uuid in ' +
      'libvirtd.conf on one of them and restart its daemon.',
  ),
  'host-refused': row(
    409,
    exitCodes.refused,
    'The message comes from libvirt on the host. Correct what it names; see the log of libvirtd there.',
  ),
  'host-unsupported': row(
    501,
    exitCodes.refused,
    "The host's libvirt or QEMU does not support this. Upgrade it, or omit the option.",
  ),
  'host-timed-out': row(
    504,
    exitCodes.unreachable,
    'Run "virsh list" on the host to see if libvirtd hangs or is busy. Check the result before you try again.',
  ),
  'host-connection-lost': row(
    502,
    exitCodes.unreachable,
    'Check the result with "ferry vm show" or "ferry migration show" before you try again.',
  ),
  'host-answer-invalid': row(
    502,
    exitCodes.failed,
    "Look at it with virsh on the host. If virsh can read it, report this with the server's log.",
  ),
  'vm-not-running': row(409, exitCodes.refused, 'Start the VM first.'),
  'host-name-invalid': row(
    409,
    exitCodes.conflict,
    'Set one with --name: letters, digits, dots, hyphens and underscores.',
  ),
  'host-draining': row(
    409,
    exitCodes.conflict,
    'Wait until the drain has ended, or cancel it with "ferry drain cancel".',
  ),
  'drain-refused': row(400, exitCodes.usage, 'See "ferry host drain --help".'),
  'rollout-refused': row(400, exitCodes.usage, 'See "ferry rollout --help".'),
  'drain-last-host': row(
    409,
    exitCodes.refused,
    'Add or uncordon a host of the cluster first, or repeat the command with --force.',
  ),
  'drain-unknown': row(404, exitCodes.notFound, 'List the drains with "ferry drain list".'),
  'drain-ambiguous': row(409, exitCodes.notFound, 'Name the drain by its id.'),
  'drain-finished': row(409, exitCodes.conflict, 'See what became of each VM with "ferry drain show".'),
  'drain-none': row(409, exitCodes.conflict, 'To place VMs on the host again: ferry host uncordon HOST.'),
  'host-in-rollout': row(
    409,
    exitCodes.conflict,
    'See what it does with "ferry rollout show"; go on with "ferry rollout continue", or end it with "ferry rollout cancel".',
  ),
  'rollout-unknown': row(404, exitCodes.notFound, 'List the rollouts with "ferry rollout list".'),
  'rollout-ambiguous': row(409, exitCodes.notFound, 'Name the rollout by its id.'),
  'rollout-finished': row(409, exitCodes.conflict, 'See what became of each host with "ferry rollout show".'),
  'rollout-not-waiting': row(409, exitCodes.conflict, 'Watch it with "ferry rollout watch".'),
  'host-name-taken': row(409, exitCodes.conflict, 'Choose another name with --name.'),
  'cluster-unknown': row(404, exitCodes.notFound, 'List the clusters with "ferry cluster list".'),
  'cluster-in-use': row(
    409,
    exitCodes.conflict,
    'Move its hosts to another cluster first: ferry host set HOST --cluster NAME.',
  ),
  'host-in-use': row(409, exitCodes.conflict, 'Wait for the migrations of this host to end, or abort them.'),
  'migration-refused': row(409, exitCodes.refused, 'Follow the remedy of each reason.'),
  'vm-already-migrating': row(
    409,
    exitCodes.conflict,
    'Watch the running migration with "ferry migration watch", or abort it.',
  ),
  'migration-finished': row(409, exitCodes.conflict, 'Nothing is left to abort.'),
  'migration-not-transferring': row(409, exitCodes.conflict, 'See what it does now with "ferry migration show".'),
  'post-copy-not-allowed': row(409, exitCodes.conflict, 'Abort it and start it again with --postcopy.'),
  'migration-past-return': row(
    409,
    exitCodes.refused,
    'The VM already runs on the target. Migrate it back if it should not stay there.',
  ),
  'migration-failed': row(
    500,
    exitCodes.failed,
    'The VM is where "vmIsNow" says. Correct the named cause and start a new migration.',
  ),
  'hook-refused': row(
    409,
    exitCodes.refused,
    'The VM stays where it was. Do what the hook asks for, then start a new migration; or go by a policy without the hook.',
  ),
  'hook-failed': row(
    500,
    exitCodes.failed,
    'The VM stays where it was. Make the hook answer, then start a new migration; or go by a policy without the hook.',
  ),
  'migration-not-converged': row(
    500,
    exitCodes.failed,
    'The VM was not touched. Try again when it is less busy, or with more bandwidth, a longer ' +
      '--max-downtime-ms or another policy ("ferry policy list").',
  ),
  'post-copy-lost': row(
    500,
    exitCodes.failed,
    'Part of the memory is lost with its host. See what is left with "ferry migration cleanup", then start the VM from its disks.',
  ),
  'source-half-left': row(
    500,
    exitCodes.failed,
    'Once the guest is seen to run where "vmIsNow" says, end the half on the other host (virsh destroy).',
  ),
  'migration-interrupted': row(500, exitCodes.failed, 'The VM was not touched; start the migration again.'),
  'volume-exists': row(409, exitCodes.conflict, 'Check what the volume is, then delete it or move it away.'),
  'volume-failed': row(500, exitCodes.failed, 'Correct the named cause on the host; see its log for more.'),
  'volume-unknown': row(404, exitCodes.notFound, 'List what is left over with "ferry volume leftovers".'),
  'volume-changed': row(
    409,
    exitCodes.conflict,
    'Somebody has used the volume since. Check what it is, and delete it yourself if nobody needs it.',
  ),
  'vm-two-copies': row(
    500,
    exitCodes.failed,
    'Settle it at once: "ferry vm settle VM" shows what is known of each copy; --keep HOST ends the others.',
  ),
  'vm-not-in-conflict': row(409, exitCodes.conflict, 'There is nothing to settle.'),
  'copy-needed': row(
    409,
    exitCodes.refused,
    'It holds memory that no other copy has, so Ferry never ends it. Wait until the post-copy has ended or resumed.',
  ),
  'copy-saved': row(
    409,
    exitCodes.refused,
    'Keep that copy. If nobody needs its memory any more, discard it on that host first: virsh managedsave-remove VM.',
  ),
  'copies-not-apart': row(
    409,
    exitCodes.refused,
    'Nothing was ended or paused. Check which machine each address points to with "ferry host list" and "virsh capabilities".',
  ),
  'inspection-none': row(
    404,
    exitCodes.notFound,
    'Start the migration with --keep-dest-guest-on-failed to keep what a failed target leaves.',
  ),
  'policy-unknown': row(404, exitCodes.notFound, 'List the policies with "ferry policy list".'),
  'policy-invalid': row(
    400,
    exitCodes.usage,
    'Correct what is named; "ferry policy show default -o json" prints a valid policy.',
  ),
  'policy-preset': row(409, exitCodes.conflict, 'Presets cannot be changed. Store it under another name.'),
  'policy-in-use': row(409, exitCodes.conflict, 'Assign another policy to the named clusters and labels first.'),
  'rule-unknown': row(404, exitCodes.notFound, 'List the rules with "ferry rule list".'),
  'rule-invalid': row(400, exitCodes.usage, 'Correct what is named; see "ferry rule set --help".'),
  'rules-contradict': row(
    409,
    exitCodes.conflict,
    'Nothing was changed. Make one of the named rules soft, or change whom it speaks of.',
  ),
  'configuration-invalid': row(
    400,
    exitCodes.usage,
    'Nothing was changed. Correct what is named, then apply it again.',
  ),
  'vm-lost': row(500, exitCodes.failed, 'Look for the VM on both hosts with virsh list --all, and in their logs.'),
  'store-locked': row(
    500,
    exitCodes.store,
    'Another Ferry server uses this data folder. Stop it, or choose another folder with --data-dir.',
  ),
  'store-newer': row(
    500,
    exitCodes.store,
    'A newer Ferry wrote this data. Start that version, or choose another folder with --data-dir.',
  ),
  'store-older': row(
    500,
    exitCodes.store,
    'An earlier Ferry wrote this data. Start that version, or choose another folder with --data-dir and add the hosts again.',
  ),
  'store-broken': row(
    500,
    exitCodes.store,
    'Restore the data folder from a backup, or choose another one with --data-dir.',
  ),
  'store-unsafe': row(
    500,
    exitCodes.store,
    'Check what is in the folder, then make the user that runs Ferry its owner and close it to others ' +
      '(chmod -R go-w); or choose another folder with --data-dir.',
  ),
  'store-full': row(
    507,
    exitCodes.store,
    'Free space on that disk. Running migrations go on, and Ferry follows them again once there is space.',
  ),
  'store-conflict': row(
    409,
    exitCodes.conflict,
    'Somebody changed it at the same time. Look at it again, then try again.',
    true,
  ),
  'store-unavailable': row(
    503,
    exitCodes.store,
    'Look whether the change is there before you repeat it; check that the store runs and is in reach.',
  ),
  'lease-expired': row(409, exitCodes.conflict, 'Take a new lease, and look what has happened since.'),
  'revision-stale': row(
    412,
    exitCodes.conflict,
    'Read it again, decide on what it says now, and send the request with its present revision.',
  ),
  'idempotency-key-used': row(422, exitCodes.conflict, 'Use a new key for another request.'),
  'page-token-invalid': row(400, exitCodes.usage, 'Begin with the first page, without a token.'),
  'listen-refused': row(500, exitCodes.usage, 'Listen on a loopback address: 127.0.0.1, ::1 or localhost.'),
  'listen-taken': row(
    500,
    exitCodes.failed,
    'Another program listens there. Stop it, or choose another port with --port.',
  ),
  'server-unreachable': row(
    502,
    exitCodes.unreachable,
    'Start the control plane with "ferry serve", or name it with --server or FERRY_SERVER.',
  ),
  'server-stopping': row(
    503,
    exitCodes.unreachable,
    'Try again when the control plane runs. Running migrations go on without it.',
    true,
  ),
  internal: row(500, exitCodes.failed, "This is a defect in Ferry: please report it with the server's log."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

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
  /** What the checks say of every host in question, of a move that is refused. */
  readonly answers: readonly HostAnswer[];
  /** No answer came to the call that failed: it may take effect yet. */
  readonly unanswered: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      readonly reasons?: readonly Reason[];
      readonly answers?: readonly HostAnswer[] | undefined;
      readonly cause?: unknown;
      readonly unanswered?: boolean;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reasons = options.reasons ?? [];
    this.answers = options.answers ?? [];
    this.unanswered = options.unanswered ?? false;
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
