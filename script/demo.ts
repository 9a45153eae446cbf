/**
 * The demo behind script/demo: a lab of three hosts, a control plane, two VMs, one of them moved under load. It uses
 * Ferry from outside, through its command line, as an operator would. On a terminal everything stays up for trying.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync, readFileSync, openSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { labDown, labRef, labUp, vmCreate, waitFor } from '@ferry/lab';

interface MigrationJson {
  readonly vm: { readonly name: string };
  readonly kind: string;
  readonly from: string;
  readonly to?: string;
  readonly outcome?: string;
  readonly totalMs?: number;
  readonly downtimeMs?: number;
  readonly transferredBytes?: number;
}

const ferry = join(import.meta.dirname, '..', 'bin', 'ferry');
/** Keeps the guest's pause short: an uncapped move of a small guest pauses longer (docs/decisions). */
const bandwidthMiBPerSecond = 24;
const workloadMiBPerSecond = 6;

const signalNames = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/**
 * Runs `ferry`; what it says to people goes to the terminal. Rejects when its exit code is not 0, and never before it
 * has ended.
 */
function runFerry(args: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(ferry, args, { env, stdio: ['ignore', 'pipe', 'inherit'], signal });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    let failure: Error | undefined;
    child.on('error', (error) => (failure = error));
    child.on('close', (code) =>
      code === 0
        ? resolve(Buffer.concat(chunks).toString())
        : reject(failure ?? new Error(`ferry ${args.join(' ')} ended with ${code}`)),
    );
  });
}

const alive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

/** Asks the process to end, and kills it if it does not. */
async function endOf(child: ChildProcess): Promise<void> {
  if (!alive(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const patience = setTimeout(() => child.kill('SIGKILL'), 15_000);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(patience);
}

async function main(): Promise<number> {
  const once = process.argv.includes('--once');
  const interrupted = new AbortController();
  const { signal } = interrupted;
  let exitCode = 0;
  // not "once": a second Ctrl-C must not cut the cleaning up short
  const interrupt = (name: NodeJS.Signals): void => {
    say(signal.aborted ? 'still cleaning up ...' : '\ninterrupted, cleaning up ...');
    exitCode ||= 128 + constants.signals[name];
    interrupted.abort(new Error('interrupted'));
  };
  for (const name of signalNames) process.on(name, interrupt);
  // nor must a closed pipe or terminal (| head)
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const stays = !once && process.stdout.isTTY && process.stderr.isTTY;
  const lab = labRef(once ? `demo-${process.pid}` : 'demo');
  const dataDir = once ? mkdtempSync(join(tmpdir(), 'ferry-demo-')) : '/var/tmp/ferry-demo';
  const { FERRY_SERVER: _server, FERRY_TOKEN: _token, ...inherited } = process.env;
  const env: NodeJS.ProcessEnv = { ...inherited, FERRY_DATA_DIR: dataDir };
  let server: ChildProcess | undefined;
  let ok = false;
  try {
    if (!once) {
      // an earlier demo may still be up: this one replaces it
      await stopServerOf(dataDir);
      await labDown(lab);
      rmSync(dataDir, { recursive: true, force: true });
    }
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    say('Three hosts, each with its own libvirtd ...');
    const { hosts } = await labUp(lab, { hosts: 3, signal, onStep: say });
    say('Ferry, the control plane ...');
    const logFile = openSync(join(dataDir, 'server.log'), 'a', 0o600);
    const started = spawn(ferry, ['serve', '--port', '0'], {
      env,
      stdio: ['ignore', logFile, logFile],
      detached: stays,
    });
    server = started;
    await waitFor(
      'the control plane to listen',
      () => (alive(started) && readServer(dataDir) !== undefined ? true : undefined),
      { timeoutMs: 20_000, signal },
    );
    await Promise.all(hosts.map((host) => runFerry(['host', 'add', host.uri, '--name', host.name], env, signal)));
    say('Two VMs; "web" rewrites its memory all the time ...');
    const created = await vmCreate(lab, {
      name: 'web',
      host: 'host1',
      memoryMib: 192,
      workload: `dirty:${workloadMiBPerSecond}`,
      signal,
    });
    await vmCreate(lab, { name: 'db', host: 'host2', signal });
    await waitFor(
      'Ferry to see the VM',
      async () => (await runFerry(['vm', 'list', '-o', 'json'], env, signal)).includes(created.uuid) || undefined,
      { timeoutMs: 10_000, signal },
    );
    say(`\n$ ferry vm migrate web --to host2 --max-bandwidth-mb ${bandwidthMiBPerSecond}`);
    const answer = await runFerry(
      ['vm', 'migrate', 'web', '--to', 'host2', '--max-bandwidth-mb', String(bandwidthMiBPerSecond), '-o', 'json'],
      env,
      signal,
    );
    const migration = JSON.parse(answer) as MigrationJson;
    ok = migration.outcome === 'succeeded';
    say(summary(migration));
    if (stays) nextSteps(dataDir);
    else process.stdout.write(`${JSON.stringify({ migrations: [row(migration)] })}\n`);
    if (stays) server.unref();
  } catch (error) {
    if (!signal.aborted)
      say(`script/demo: ${(error instanceof Error ? error.message : String(error)).replace(/\.*$/, '.')}`);
    ok = false;
  } finally {
    if (!stays || !ok) {
      if (server !== undefined) await endOf(server);
      await labDown(lab);
      rmSync(dataDir, { recursive: true, force: true });
      if (signal.aborted) say('script/demo: interrupted; everything is cleaned up.');
    }
    for (const name of signalNames) process.off(name, interrupt);
  }
  return exitCode !== 0 ? exitCode : ok ? 0 : 1;
}

const row = (m: MigrationJson) => ({
  vm: m.vm.name,
  kind: m.kind,
  from: m.from,
  to: m.to,
  outcome: m.outcome,
  totalMs: m.totalMs,
  downtimeMs: m.downtimeMs,
  transferredBytes: m.transferredBytes,
});

const summary = (m: MigrationJson): string => `
  ${m.vm.name}: ${m.kind} migration ${m.from} -> ${m.to ?? '?'}, ${m.outcome ?? 'unfinished'}
  total time   ${((m.totalMs ?? 0) / 1000).toFixed(1)} s
  downtime     ${m.downtimeMs ?? '?'} ms (libvirt's figure)
  transferred  ${((m.transferredBytes ?? 0) / 1_048_576).toFixed(1)} MiB
`;

function readServer(dataDir: string): { readonly url: string; readonly pid: number } | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8')) as { url: string; pid: number };
  } catch {
    return undefined;
  }
}

/** Ends the control plane that an earlier demo left running for trying; nothing else has this folder. */
async function stopServerOf(dataDir: string): Promise<void> {
  const old = readServer(dataDir);
  if (old === undefined || !readCommandLine(old.pid).includes('serve')) return;
  process.kill(old.pid, 'SIGTERM');
  await waitFor('the earlier demo to end', () => readCommandLine(old.pid) === '' || undefined, { timeoutMs: 10_000 });
}

function readCommandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function nextSteps(dataDir: string): void {
  const url = readServer(dataDir)?.url ?? '';
  say(`Everything keeps running. The API's reference page: ${url}/docs

Try:
  export FERRY_DATA_DIR=${dataDir} FERRY_LAB=demo
  bin/ferry vm list
  bin/ferry vm migrate web --to host3
  bin/ferry migration list
  script/lab vm log web          # the guest counted on through the move
  script/lab status

End it all:
  kill ${readServer(dataDir)?.pid ?? ''}; script/lab down --lab demo; rm -r ${dataDir}`);
}

process.exitCode = await main();
