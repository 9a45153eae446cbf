// Running the machine's tools (ip, virsh, qemu-img...) with argument arrays, never through a shell.
// Not a process supervisor: what must outlive a command is started by `startDetached` and found again through processes.ts.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { LabError } from './errors.ts';

export type RunOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly input?: string;
  /** How long the command may take before it is killed. */
  readonly timeoutMs?: number;
};

export type RunResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

/** Runs a command to its end and returns its exit code and output; throws only when it cannot run, is aborted or takes too long. */
export async function tryRun(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const timeoutMs = options.timeoutMs ?? 60_000;
  const [file, ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<RunResult>();
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    env: { ...process.env, LC_ALL: 'C' },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
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
    reject(error.code === 'ENOENT' ? new LabError(`The command "${file}" is missing; run ". script/bootstrap lab" to install what the lab needs.`, { cause: error }) : error);
  });
  child.on('close', (code, signal) => {
    if (code !== null) resolve({ code, ...output });
    else reject(new LabError(`"${command.join(' ')}" was ended by ${signal ?? 'a signal'}, after at most ${timeoutMs / 1000} s.`));
  });
  return await promise;
}

/** Like `tryRun`, but an exit code other than 0 is an error that carries what the command said. Returns its standard output. */
export async function run(command: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> {
  const result = await tryRun(command, options);
  if (result.code !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-4).join(' ').replace(/^error: /, '');
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
export async function startDetached(command: readonly [string, ...string[]], logFile: string, env: Readonly<Record<string, string>>): Promise<DetachedChild> {
  const [file, ...args] = command;
  const log = openSync(logFile, 'a');
  try {
    const child = spawn(file, args, { stdio: ['ignore', log, log], cwd: '/', detached: true, env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', ...env } });
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

/** Runs a command with this process's own terminal; returns its exit code (128 + signal number for a signal). */
export async function runAttached(command: readonly [string, ...string[]]): Promise<number> {
  const [file, ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(file, args, { stdio: 'inherit', cwd: '/' });
  // Ctrl-C reaches the child through the terminal; this process waits for what the child makes of it
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  child.on('error', reject);
  child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  try {
    return await promise;
  } finally {
    process.off('SIGINT', ignore);
  }
}
