// script/bench wire: a fleet over the wire. 20 libvirtds of their own, each with 500 domains of libvirt's test driver,
// and the real engine, store and client: until every VM is known after a start, and one regular look at all of them,
// beside what "virsh list --all" and "virsh domstats --state --balloon" (what a look asks for) take over all of them,
// one after another and all at once.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { libvirtHypervisor, openSqliteStores } from '@ferry/adapters';
import { startEngine, type HostLink, type Hypervisor } from '@ferry/engine';
import { createClock } from '@ferry/server';
// test support, no part of the product
import { startPrivateLibvirtd, type PrivateLibvirtd } from '../../packages/libvirt/test/private-libvirtd.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, pairedRatios, printResult, rounded, spread } from './report.ts';

const run = promisify(execFile);
const { values: flags } = optionsOf({ options: usual });
const HOSTS = flags.quick ? 4 : 20;
const DOMAINS = 500;
const ROUNDS = flags.quick ? 4 : 12;
const TICKS_PER_SECOND = 100;
const silent = { info: () => {}, warn: () => {}, error: () => {} };
const step = (text: string): void => void process.stderr.write(`bench wire: ${text}\n`);
const limit = (): AbortSignal => AbortSignal.timeout(120_000);

/** The test driver forgets its domains with its last connection: a process holds one to each daemon. */
async function define(uri: string): Promise<ChildProcess> {
  const keeper = spawn(process.execPath, [join(import.meta.dirname, 'rpc-client.ts'), uri, 'define', String(DOMAINS)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(keeper.stdout, 'data');
  // it has the same UUID everywhere: one VM on all hosts
  for (const command of ['destroy', 'undefine']) await run('virsh', ['-c', uri, command, 'test']);
  return keeper;
}

/** All daemons are on this machine, and libvirt's test driver names no machine: here each counts as one of its own. */
function eachAMachine(hypervisor: Hypervisor): Hypervisor {
  return {
    ...hypervisor,
    async connect(uri, signal) {
      const link = await hypervisor.connect(uri, signal);
      return {
        ...link,
        inventory: {
          ...link.inventory,
          facts: async (within) => ({ ...(await link.inventory.facts(within)), machineUuid: uri }),
        },
      };
    },
  };
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};
const cpuOf = (daemons: readonly PrivateLibvirtd[]): number =>
  daemons
    .map(({ pid }) =>
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' '),
    )
    .reduce((sum, fields) => sum + ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND, 0);

const virsh = async (uri: string): Promise<void> => {
  const lines = (await run('virsh', ['-c', uri, 'list', '--all'])).stdout.split('\n').filter((line) => line !== '');
  if (lines.length < DOMAINS) throw new Error(`virsh list shows ${lines.length} lines only`);
  const { stdout } = await run('virsh', ['-c', uri, 'domstats', '--state', '--balloon'], { maxBuffer: 2 ** 26 });
  if (!stdout.includes('state.state')) throw new Error('virsh domstats shows no states');
};

// each daemon ends with this process
process.setMaxListeners(HOSTS + 10);
await using stack = new AsyncDisposableStack();
step(`starting ${HOSTS} daemons with ${DOMAINS} domains each`);
const daemons: PrivateLibvirtd[] = [];
const uris: string[] = [];
for (let index = 0; index < HOSTS; index += 1) {
  const daemon = stack.use(await startPrivateLibvirtd());
  const uri = `test+tcp://127.0.0.1:${daemon.tcpPort}/default`;
  const keeper = await define(uri);
  stack.defer(() => void keeper.kill());
  daemons.push(daemon);
  uris.push(uri);
}
const folder = await mkdtemp(join(tmpdir(), 'ferry-bench-'));
stack.defer(() => rm(folder, { recursive: true, force: true }));

const clock = createClock();
const hypervisor = eachAMachine(libvirtHypervisor());

/** With the time until it knows every VM, ms. */
async function startKnowing() {
  const began = performance.now();
  const stores = openSqliteStores(folder, clock);
  const engine = await startEngine({ hypervisor, stores, clock, log: silent });
  return {
    engine,
    known: async () => {
      const deadline = performance.now() + 120_000;
      while (engine.hosts().some(({ state }) => state !== 'connected') || engine.vms().length < HOSTS * DOMAINS) {
        if (performance.now() > deadline) throw new Error(`only ${engine.vms().length} VMs are known after 120 s`);
        await sleep(10);
      }
      return performance.now() - began;
    },
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      await stores.close();
    },
  };
}
step('adding the hosts');
let addedMs: number;
{
  await using first = await startKnowing();
  addedMs = await timed(async () => {
    await Promise.all(uris.map((uri, index) => first.engine.addHost({ uri, name: `host${index}` }, limit())));
    await first.known();
  });
}
const links: HostLink[] = await Promise.all(uris.map((uri) => hypervisor.connect(uri, limit())));
for (const link of links) stack.defer(() => link.close());
const look = async (): Promise<void> => {
  const seen = await Promise.all(links.map((link) => link.instances.all(limit())));
  if (seen.some((each) => each.length < DOMAINS)) throw new Error('a look shows too few domains');
};
const firstLookMs = await timed(look);

const figures = { known: [] as number[], look: [] as number[], loop: [] as number[], atOnce: [] as number[] };
const cpu = { look: [] as number[], own: [] as number[], loop: [] as number[] };
for (let round = 0; round < ROUNDS; round += 1) {
  const turns = [
    async () => {
      await using started = await startKnowing();
      figures.known.push(await started.known());
    },
    async () => {
      const before = cpuOf(daemons);
      const own = process.cpuUsage();
      figures.look.push(await timed(look));
      const { user, system } = process.cpuUsage(own);
      cpu.own.push((user + system) / 1_000);
      cpu.look.push(cpuOf(daemons) - before);
    },
    async () => {
      const before = cpuOf(daemons);
      figures.loop.push(
        await timed(async () => {
          for (const uri of uris) await virsh(uri);
        }),
      );
      cpu.loop.push(cpuOf(daemons) - before);
    },
    async () => void figures.atOnce.push(await timed(() => Promise.all(uris.map(virsh)))),
  ];
  for (let turn = 0; turn < turns.length; turn += 1) await turns[(round + turn) % turns.length]?.();
  step(`${round + 1} of ${ROUNDS} rounds`);
}
const result = makeResult(
  'wire',
  {
    hosts: HOSTS,
    domains: HOSTS * DOMAINS,
    addedMs: rounded(addedMs),
    firstLookMs: rounded(firstLookMs),
    knownMs: spread(figures.known),
    lookMs: spread(figures.look),
    virshLoopMs: spread(figures.loop),
    virshAtOnceMs: spread(figures.atOnce),
    daemonsCpuMs: { look: spread(cpu.look), virsh: spread(cpu.loop) },
    ownCpuMsOfLook: spread(cpu.own),
  },
  {
    loop: {
      what: "one look / virsh's list and domstats, host after host",
      value: estimate(pairedRatios(figures.look, figures.loop)).median,
      atMost: 1,
    },
    atOnce: {
      what: "one look / virsh's list and domstats, all hosts at once",
      value: estimate(pairedRatios(figures.look, figures.atOnce)).median,
      atMost: 1,
    },
    daemons: {
      what: "processor time of the daemons, one look / virsh's",
      value: estimate(pairedRatios(cpu.look, cpu.loop)).median,
      atMost: 1,
    },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
