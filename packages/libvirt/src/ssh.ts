// SSH to a host by the system's own `ssh`, so that its configuration, agent, jump hosts and known_hosts hold. On the
// host libvirt's virt-ssh-helper finds the daemon; where it is missing, a small program that passes bytes to the socket
// does. Nothing of a URI is ever read by a shell or taken for an option: names come from the parser's own alphabet, and
// `--` ends the options.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { ConnectError } from './errors.ts';
import type { SshUri } from './uri.ts';

export interface SshSettings {
  /** Read in place of the user's own (`ssh -F`). */
  readonly configFile?: string | undefined;
  /**
   * A short path of a private folder: connections to one host share one ssh through it. Without it each has its own.
   */
  readonly controlDirectory?: string | undefined;
}

const SOCKETS = '/var/run/libvirt/virtqemud-sock /var/run/libvirt/libvirt-sock';
/** Says that the way to the daemon is open, and what came before was not ours. */
export const READY = 0x01;

/**
 * The command that the host runs. The byte comes first, to distinguish a failure of ssh from one of the daemon. Single
 * quotes are only around the whole, because login shells other than POSIX's read them the same way.
 */
export function remoteCommand(uri: SshUri, readOnly: boolean): string {
  const helper = `virt-ssh-helper ${readOnly ? '-r ' : ''}${uri.serverUri}`;
  const sockets = uri.socket ?? (readOnly ? SOCKETS.replaceAll('-sock', '-sock-ro') : SOCKETS);
  const lines = [
    ...(uri.socket === undefined
      ? [`if command -v virt-ssh-helper >/dev/null 2>&1; then printf "\\001"; exec ${helper}; fi`]
      : []),
    `for s in ${sockets}; do if [ -S $s ]; then break; fi; done`,
    'if [ ! -S $s ]; then echo "no libvirt socket at $s" >&2; exit 66; fi',
    'if command -v socat >/dev/null 2>&1; then printf "\\001"; exec socat - UNIX-CONNECT:$s; fi',
    'if command -v nc >/dev/null 2>&1; then printf "\\001"; exec nc -U $s; fi',
    // no quotes of its own beyond the double ones that sh takes away
    'if command -v python3 >/dev/null 2>&1; then printf "\\001"; exec python3 -c "import ' +
      'os,select,socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nwhile True:\n  for r ' +
      'in select.select([0,s],[],[])[0]:\n    d=os.read(0,65536) if r==0 else s.recv(65536)\n    if ' +
      'len(d)==0: sys.exit(0)\n    if r==0: s.sendall(d)\n    else: os.write(1,d)" $s; fi',
    'echo "no virt-ssh-helper, socat, nc or python3" >&2; exit 67',
  ];
  return `sh -c '${lines.join('; ')}'`;
}

/** The arguments of `ssh`. */
export function sshArguments(
  uri: SshUri,
  settings: SshSettings,
  options: { readonly readOnly: boolean; readonly timeoutMs: number },
): readonly string[] {
  const set = (...values: readonly string[]): readonly string[] => values.flatMap((value) => ['-o', value]);
  return [
    ...(settings.configFile === undefined ? [] : ['-F', settings.configFile]),
    '-T',
    '-x',
    '-a',
    '-e',
    'none',
    ...set(
      'BatchMode=yes',
      'RemoteCommand=none',
      'ClearAllForwardings=yes',
      'PermitLocalCommand=no',
      'ForkAfterAuthentication=no',
      'SessionType=default',
      'StdinNull=no',
      `ConnectTimeout=${Math.max(1, Math.ceil(options.timeoutMs / 1000))}`,
      // ssh itself ends when the host has fallen silent
      'ServerAliveInterval=5',
      'ServerAliveCountMax=5',
      ...(settings.controlDirectory === undefined
        ? ['ControlPath=none']
        : ['ControlMaster=auto', 'ControlPersist=no', `ControlPath=${join(settings.controlDirectory, '%C')}`]),
    ),
    ...(uri.port === undefined ? [] : ['-p', String(uri.port)]),
    ...(uri.user === undefined ? [] : ['-l', uri.user]),
    '--',
    uri.host,
    remoteCommand(uri, options.readOnly),
  ];
}

/**
 * Starts ssh. Its output and input are the stream; it errors with a ConnectError when ssh ends with a complaint.
 * Destroying the stream closes ssh's input, on which it ends; the one that others share ends after the last of them.
 */
export function startSsh(
  uri: SshUri,
  settings: SshSettings,
  options: { readonly readOnly: boolean; readonly timeoutMs: number },
  place: string,
): Duplex {
  if (settings.controlDirectory !== undefined) mkdirSync(settings.controlDirectory, { recursive: true, mode: 0o700 });
  const child = spawn('ssh', sshArguments(uri, settings, options), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said = (said + text).slice(-4000);
  });
  child.stdin.on('error', () => {}); // the exit reports its end
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk: Buffer, _encoding, done) =>
      void (child.stdin.write(chunk) ? done() : child.stdin.once('drain', done)),
    final: (done) => void child.stdin.end(done),
    destroy: (error, done) => {
      child.stdin.destroy();
      child.stdout.destroy();
      done(error);
    },
  });
  child.stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  child.on('error', (error: NodeJS.ErrnoException) => {
    stream.destroy(
      new ConnectError(
        'other',
        error.code === 'ENOENT'
          ? `${place}: there is no program "ssh" on this machine; install OpenSSH's client.`
          : `${place}: ssh cannot be started: ${error.message}.`,
        { cause: error },
      ),
    );
  });
  child.on('close', (code) => {
    if (code === 0 || stream.destroyed) stream.push(null);
    else stream.destroy(explainSsh(said, place));
  });
  return stream;
}

/** What ssh's complaint means. The last line that says something is shown where nothing better is known. */
export function explainSsh(said: string, place: string): ConnectError {
  const lines = said
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(Warning: Permanently added|ControlSocket )/.test(line));
  const text = lines.join('\n');
  const fail = (kind: ConstructorParameters<typeof ConnectError>[0], why: string): ConnectError =>
    new ConnectError(kind, `${place}: ${why}.`);
  const passed = /(?:connect to host|connect to) (\S+) port (\d+): (.+)/.exec(text);
  const unknownName = /Could not resolve hostname (\S+?):/.exec(text);
  if (/REMOTE HOST IDENTIFICATION HAS CHANGED/.test(text))
    return fail(
      'auth',
      'its host key is not the one that known_hosts has. If it was reinstalled, remove the old key ' +
        'with "ssh-keygen -R"; else somebody stands in between',
    );
  if (/Host key verification failed|host key is known/.test(text))
    return fail(
      'auth',
      'its host key is not known. Connect once with ssh and compare the fingerprint, or add the key to known_hosts',
    );
  if (unknownName !== null) return fail('not-found', `the host name "${unknownName[1] ?? ''}" is unknown`);
  if (passed !== null) {
    const [, host = '', port = '', why = ''] = passed;
    const kind = /refused/.test(why) ? 'refused' : /timed out/.test(why) ? 'timeout' : 'unreachable';
    return fail(kind, `ssh cannot connect to ${host} port ${port}: ${why.toLowerCase()}`);
  }
  if (/stdio forwarding failed|open failed: (connect|administratively)/.test(text))
    return fail(
      'unreachable',
      `the jump host does not reach it: ${lines.find((line) => /open failed/.test(line)) ?? 'forwarding failed'}`,
    );
  const denied = /(\S+@\S+): Permission denied \(([^)]*)\)/.exec(text);
  if (denied !== null) {
    const locked = /passphrase/i.test(text)
      ? ' The key has a passphrase: load it into an ssh-agent that this program can use.'
      : ' A key with a passphrase counts only when an ssh-agent holds it.';
    return fail(
      'auth',
      `it accepts no key that ssh offers for ${denied[1] ?? ''} (${denied[2] ?? ''})`
        .concat('.', locked.trimEnd())
        .replace(/\.$/, ''),
    );
  }
  if (/no libvirt socket at|cannot connect to '|Failed to connect socket/i.test(text))
    return fail('refused', `ssh works, but libvirt's daemon does not listen there: ${lines.at(-1) ?? ''}`);
  if (/no virt-ssh-helper, socat/.test(text))
    return fail(
      'other',
      'ssh works, but the host has none of virt-ssh-helper, socat, nc and python3 to pass the connection on',
    );
  return fail(
    'other',
    `ssh ended: ${lines.length === 0 ? 'it said nothing' : lines.slice(0, 3).join('; ').replace(/\.$/, '')}`,
  );
}
