/**
 * A control plane and its command line as processes, for tests from outside: own data folder, own port, ended by id.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor, whenStopped } from '@ferry/lab';

const ferryPath = join(import.meta.dirname, '..', 'bin', 'ferry');

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ControlPlane extends AsyncDisposable {
  readonly dataDir: string;
  url(): string;
  pid(): number;
  token(): string;
  /** All that its servers have written so far. */
  log(): string;
  /** Runs `ferry ARGS`. */
  ferry(...args: readonly string[]): Promise<Ran>;
  /** The same with `-o json`, parsed; fails unless the exit code is 0. */
  json<T>(...args: readonly string[]): Promise<T>;
  /** Ends the server at once, as a crash would. */
  kill(): Promise<void>;
  /** Asks the server to stop, and waits until it has. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** The machine that a control plane runs on, where it is not as usual. */
export interface Machine {
  /** The data folder is made here. */
  readonly folder?: string;
  /** More of its server's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** `ferry ARGS -o json`, parsed; what the server has logged is told where it fails. */
export const jsonBy =
  (ferry: ControlPlane['ferry'], log: () => string): ControlPlane['json'] =>
  async <T>(...args: readonly string[]): Promise<T> => {
    const ran = await ferry(...args, '-o', 'json');
    if (ran.code !== 0)
      throw new Error(
        `ferry ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}${ran.stdout}\nserver: ${log().slice(-2_000)}`,
      );
    return JSON.parse(ran.stdout) as T;
  };

/** `options` are more of those of `ferry serve`. */
export const controlPlane = (...options: readonly string[]): Promise<ControlPlane> => controlPlaneOn({}, ...options);

export async function controlPlaneOn(machine: Machine, ...options: readonly string[]): Promise<ControlPlane> {
  const dataDir = mkdtempSync(join(machine.folder ?? tmpdir(), 'ferry-test-'));
  const { FERRY_SERVER: _server, FERRY_TOKEN: _token, NODE_TEST_CONTEXT: _context, ...inherited } = process.env;
  const env = { ...inherited, FERRY_DATA_DIR: dataDir };
  let server: ChildProcess | undefined;
  let output = '';
  const serverFile = join(dataDir, 'server.json');
  const running = () => JSON.parse(readFileSync(serverFile, 'utf8')) as { url: string; pid: number } satisfies object;
  // who is asked to stop, or ends by an error, must not leave the server behind
  const endWithUs = (): void => void server?.kill('SIGKILL');
  process.once('exit', endWithUs);
  const stopping = whenStopped(async () => {
    await end('SIGTERM');
    rmSync(dataDir, { recursive: true, force: true });
  });

  const start = async (): Promise<void> => {
    rmSync(serverFile, { force: true });
    const child = spawn(ferryPath, ['serve', '--port', '0', ...options], {
      env: { ...env, ...machine.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    server = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await waitFor(
      'the control plane to listen',
      () => {
        if (child.exitCode !== null) throw new Error(`ferry serve ended with ${child.exitCode}: ${output}`);
        return existsSync(serverFile) && readFileSync(serverFile, 'utf8') !== '' ? true : undefined;
      },
      { timeoutMs: 30_000 },
    );
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const child = server;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    // one that hangs must not keep its test
    const hangs = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(hangs);
  };
  const ferry = (...args: readonly string[]): Promise<Ran> =>
    new Promise((resolve, reject) => {
      const child = spawn(ferryPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });
  await start();
  return {
    dataDir,
    url: () => running().url,
    pid: () => running().pid,
    token: () => readFileSync(join(dataDir, 'token'), 'utf8').trim(),
    log: () => output,
    ferry,
    json: jsonBy(ferry, () => output),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start,
    [Symbol.asyncDispose]: async () => {
      await end('SIGTERM');
      process.off('exit', endWithUs);
      stopping[Symbol.dispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
