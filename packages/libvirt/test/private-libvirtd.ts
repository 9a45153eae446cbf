// A libvirtd of its own for tests, captures and benchmarks: sockets, state and configuration in a temporary folder, run
// as an unprivileged user (nobody, when started by root) so that it shares nothing with a libvirt on the machine. It
// serves test:///default and, unprivileged, qemu:///session. It ends with stop(), with this process, or after a minute
// without use.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const NOBODY = 65_534;
const START_TIMEOUT_MS = 20_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const STOP_TIMEOUT_MS = 10_000;

export interface PrivateLibvirtd extends AsyncDisposable {
  readonly socket: string;
  readonly tcpPort: number;
  readonly directory: string;
  readonly pid: number;
  /** For pausing it: SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** `extraSettings` are lines for its libvirtd.conf. */
export async function startPrivateLibvirtd(extraSettings: readonly string[] = []): Promise<PrivateLibvirtd> {
  const directory = mkdtempSync(join(tmpdir(), 'ferry-libvirtd-'));
  const run = join(directory, 'run');
  const tcpPort = await freePort();
  mkdirSync(run);
  const asRoot = process.getuid?.() === 0;
  if (asRoot) for (const path of [directory, run]) chownSync(path, NOBODY, NOBODY);
  const config = join(directory, 'libvirtd.conf');
  const settings = [
    `unix_sock_dir = "${run}"`,
    'auth_unix_rw = "none"',
    'auth_unix_ro = "none"',
    'listen_tls = 0',
    'listen_tcp = 1',
    'listen_addr = "127.0.0.1"',
    `tcp_port = "${tcpPort}"`,
    'auth_tcp = "none"',
    'log_outputs = "3:stderr"',
    ...extraSettings,
  ];
  writeFileSync(config, `${settings.join('\n')}\n`);
  const child = spawn(
    'libvirtd',
    ['--listen', '--config', config, '--pid-file', join(directory, 'pid'), '--timeout', '60'],
    {
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        HOME: directory,
        XDG_RUNTIME_DIR: run,
        XDG_CONFIG_HOME: join(directory, 'config'),
        XDG_CACHE_HOME: join(directory, 'cache'),
        XDG_DATA_HOME: join(directory, 'data'),
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(asRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    },
  );
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log = (log + text.toString()).slice(-20_000);
  });
  let spawnError: Error | undefined;
  child.on('error', (error) => {
    spawnError = error;
  });
  const killAtExit = (): void => {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  const endBySignal = (name: NodeJS.Signals): void => {
    killAtExit();
    // this handler is gone by now: the signal does what it always does
    process.kill(process.pid, name);
  };
  process.once('exit', killAtExit);
  for (const name of SIGNALS) process.once(name, endBySignal);

  const stop = async (): Promise<void> => {
    if (isRunning(child)) {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      const deadline = performance.now() + STOP_TIMEOUT_MS;
      while (isRunning(child) && performance.now() < deadline) await delay(10);
      child.kill('SIGKILL');
    }
    process.off('exit', killAtExit);
    for (const name of SIGNALS) process.off(name, endBySignal);
    rmSync(directory, { recursive: true, force: true });
  };

  const socket = join(run, 'libvirt-sock');
  try {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!((await answers({ path: socket })) && (await answers({ host: '127.0.0.1', port: tcpPort })))) {
      if (spawnError !== undefined) throw new Error('libvirtd cannot be started', { cause: spawnError });
      if (!isRunning(child)) throw new Error(`libvirtd ended at once:\n${log}`);
      if (performance.now() > deadline)
        throw new Error(`libvirtd did not listen within ${START_TIMEOUT_MS} ms:\n${log}`);
      await delay(20);
    }
    const pid = Number(readFileSync(join(directory, 'pid'), 'utf8'));
    return {
      socket,
      tcpPort,
      directory,
      pid,
      stop,
      [Symbol.asyncDispose]: stop,
      signal: (name) => void child.kill(name),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function answers(
  target: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = createConnection(target);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return port;
}
