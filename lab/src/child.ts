// Running the machine's tools (ip, virsh, qemu-img...) with argument arrays, never through a shell.
// Not a process supervisor: what must outlive a command is started by `startDetached` and found again through
// processes.ts.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { LabError } from './errors.ts';
import { killAndWait, withDescendants } from './processes.ts';

export type RunOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly input?: string;
  /** How long the command may take before it is killed; a minute when absent. */
  readonly timeoutMs?: number;
};

export type RunResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Runs a command to its end and returns its exit code and output; throws only when it cannot run, is aborted or takes
 * too long. Whatever the command has started is then killed with it, also in a host; only what has made itself a daemon
 * stays.
 */
export async function tryRun(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const { signal, timeoutMs = 60_000 } = options;
  signal?.throwIfAborted();
  const [file, ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<RunResult>();
  // a session of its own, so that all of it can be killed at once; Ctrl-C on a terminal reaches this process only,
  // which decides what ends
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    env: { ...process.env, LC_ALL: 'C' },
    detached: true,
  });
  const output: { stdout: string; stderr: string } = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (text: string) => {
      if (output[name].length < OUTPUT_LIMIT_BYTES) output[name] += text;
    });
  }
  // a command that does not read its input closes the pipe; its exit code says what it thinks of it
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  child.on('error', (error: NodeJS.ErrnoException) => {
    reject(
      error.code === 'ENOENT'
        ? new LabError(
            `The command "${file}" is missing; run ". script/bootstrap lab" to install what the lab needs.`,
            { cause: error },
          )
        : error,
    );
  });
  child.on('close', (code, name) => {
    if (code !== null) resolve({ code, ...output });
    else reject(new LabError(`"${command.join(' ')}" was ended by ${name ?? 'a signal'}.`));
  });
  const giveUp = (reason: unknown): void => {
    if (child.pid !== undefined) killGroup(child.pid);
    // a daemon that still holds them must not keep this process waiting
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
    reject(reason);
  };
  const onAbort = (): void => giveUp(signal?.reason);
  const timer = setTimeout(
    () => giveUp(new LabError(`"${command.join(' ')}" took longer than ${timeoutMs / 1000} s and was killed.`)),
    timeoutMs,
  );
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/**
 * Like `tryRun`, but an exit code other than 0 is an error that carries what the command said. Returns its standard
 * output.
 */
export async function run(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> {
  const result = await tryRun(command, options);
  if (result.code !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim())
      .split('\n')
      .slice(-4)
      .join(' ')
      .replace(/^error: /, '');
    throw new LabError(`"${command.join(' ')}" failed: ${said || `exit code ${result.code}`}`);
  }
  return result.stdout;
}

export type DetachedChild = {
  readonly pid: number;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<void>;
};

/** Starts a process that outlives this one, with its output appended to a log file. The caller owns ending it. */
export async function startDetached(
  command: readonly [string, ...string[]],
  logFile: string,
  env: Readonly<Record<string, string>>,
): Promise<DetachedChild> {
  const [file, ...args] = command;
  const log = openSync(logFile, 'a');
  try {
    const child = spawn(file, args, {
      stdio: ['ignore', log, log],
      cwd: '/',
      detached: true,
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', ...env },
    });
    const ended = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    child.on('spawn', () => started.resolve());
    child.on('error', (error) => started.reject(error));
    child.on('exit', () => ended.resolve());
    await started.promise;
    child.unref();
    if (child.pid === undefined) throw new LabError(`"${file}" did not start.`);
    return { pid: child.pid, ended: ended.promise };
  } finally {
    closeSync(log);
  }
}

/**
 * Runs a command with this process's own terminal; returns its exit code (128 + signal number for a signal). Told to
 * end, this process ends the command with all that it has started.
 */
export async function runAttached(command: readonly [string, ...string[]]): Promise<number> {
  const [file, ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(file, args, { stdio: 'inherit', cwd: '/' });
  // Ctrl-C reaches the child through the terminal; this process waits until the child has reacted
  const ignore = (): void => undefined;
  const end = (): void => {
    if (child.pid !== undefined) killAndWait(withDescendants(child.pid)).catch(reject);
  };
  process.on('SIGINT', ignore);
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, end);
  child.on('error', reject);
  child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  try {
    return await promise;
  } finally {
    process.off('SIGINT', ignore);
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.off(name, end);
  }
}
