// script/bench fleet: what a fleet costs the control plane. Simulated hosts with 20 VMs each; the real engine, store and
// HTTP server, in real time and in one process with the hosts, whose part is in the figures. For each size: hosts are
// added; the control plane is started again and has to know every VM; then nothing happens for a while; then VMs change
// at a fixed rate, and once more while a client reads pages of VMs.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSqliteStores } from '@ferry/adapters';
import { startEngine, type Engine } from '@ferry/engine';
import { createClock, runControlPlane, type RunningServer } from '@ferry/server';
import { simulatedHypervisor, type SimulatedFleet } from '@ferry/simulation';
import { optionsOf, usual } from './options.ts';
import { readingPages } from './page-reader.ts';
import { exitOf, makeResult, printResult, quantile, rounded } from './report.ts';

const { values: flags } = optionsOf({
  options: { ...usual, sizes: { type: 'string' }, seconds: { type: 'string' } },
});
const SIZES = (flags.sizes ?? (flags.quick ? '100,300' : '100,1000,10000')).split(',').map(Number);
// V8 collects the whole heap of 10,000 hosts about every half minute, which takes a second of processor time: a shorter
// measurement has none of it, or far more than its share
const SECONDS = Number(flags.seconds ?? (flags.quick ? '10' : '120'));
const VMS = 20;
const CHANGES_PER_SECOND = 50;
const ADDED_AT_ONCE = 16;
const mib = 1_048_576;
const silent = { info: () => {}, warn: () => {}, error: () => {} };

const uuidOf = (index: number): string => `${index.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`;
const hostOf = (index: number): string => `host${String(index).padStart(5, '0')}`;

function fleetOf(size: number): SimulatedFleet {
  return simulatedHypervisor({
    clock: createClock(),
    hosts: Array.from({ length: size }, (_, index) => ({ name: hostOf(index) })),
    guests: Array.from({ length: size * VMS }, (_, index) => ({
      uuid: uuidOf(index),
      name: `vm${String(index).padStart(6, '0')}`,
      host: hostOf(Math.floor(index / VMS)),
      memory: { totalBytes: 2_048 * mib, sets: [] },
      disks: [{ target: 'vda', path: `/vms/${index}.raw`, capacityBytes: mib, bytes: mib, writeBytesPerSecond: 0 }],
    })),
  });
}

async function startOver(
  fleet: SimulatedFleet,
  dataDir: string,
): Promise<AsyncDisposable & { readonly server: RunningServer; readonly engine: Engine }> {
  let engine: Engine | undefined;
  const server = await runControlPlane(
    {
      openStores: async (folder) => {
        const clock = createClock();
        const stores = openSqliteStores(folder, clock);
        return {
          close: () => stores.close(),
          startEngine: async () =>
            (engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silent })),
        };
      },
    },
    { dataDir, port: 0, log: silent },
  );
  if (engine === undefined) throw new Error('no engine');
  return { server, engine, [Symbol.asyncDispose]: () => server.close() };
}

/** Processor time in ms, and how late the event loop was, of what is done. */
async function observed<T>(work: () => Promise<T>) {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const before = process.cpuUsage();
  const began = performance.now();
  const value = await work();
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(before);
  delay.disable();
  // the histogram counts the timer's own period, too
  return { value, ms, cpuMs: (user + system) / 1_000, lagP99Ms: Math.max(0, delay.percentile(99) / 1e6 - 5) };
}

/** Waits until what a start leaves for later, such as the definitions of all VMs, is done. */
async function settled(): Promise<void> {
  const deadline = performance.now() + 300_000;
  for (let quiet = 0; quiet < 3 && performance.now() < deadline;) {
    const { cpuMs, ms } = await observed(() => sleep(2_000));
    quiet = cpuMs / ms < 0.2 ? quiet + 1 : 0;
  }
}

const isKnown = (engine: Engine, size: number): boolean =>
  engine.hosts().length === size &&
  engine.hosts().every(({ state }) => state === 'connected') &&
  engine.vms().length === size * VMS;

async function known(engine: Engine, size: number): Promise<void> {
  const deadline = performance.now() + 300_000;
  while (!isKnown(engine, size)) {
    if (performance.now() > deadline) throw new Error(`the fleet of ${size} hosts is not known after 300 s`);
    await sleep(100);
  }
}

async function changing(fleet: SimulatedFleet, engine: Engine, size: number): Promise<readonly number[]> {
  const ending = new AbortController();
  const since = new Map<string, number>();
  const seenAfterMs: number[] = [];
  const reader = (async () => {
    for await (const { event } of engine.events(undefined, ending.signal)) {
      if (event.type !== 'vm') continue;
      const at = since.get(event.vm.uuid);
      if (at !== undefined) seenAfterMs.push(performance.now() - at);
      since.delete(event.vm.uuid);
    }
  })().catch(() => undefined);
  const began = performance.now();
  for (let change = 0; change < CHANGES_PER_SECOND * SECONDS; change += 1) {
    const index = (change * 7_919) % (size * VMS);
    const host = fleet.hosts.get(hostOf(Math.floor(index / VMS)));
    const domain = [...(host?.domains.values() ?? [])].find(({ uuid }) => uuid === uuidOf(index));
    if (host === undefined || domain === undefined) throw new Error(`no VM ${index}`);
    domain.state = domain.state === 'running' ? 'paused' : 'running';
    since.set(domain.uuid, performance.now());
    host.watchers.tell({ type: 'domain', uuid: domain.uuid });
    const due = began + ((change + 1) * 1_000) / CHANGES_PER_SECOND;
    await sleep(Math.max(0, due - performance.now()));
  }
  const patience = performance.now() + 10_000;
  while (since.size > 0 && performance.now() < patience) await sleep(10);
  ending.abort();
  await reader;
  if (since.size > 0) throw new Error(`${since.size} changes were not seen`);
  return seenAfterMs;
}

async function measure(size: number) {
  const dataDir = await mkdtemp(join(tmpdir(), 'ferry-bench-'));
  try {
    const fleet = fleetOf(size);
    const names = [...fleet.hosts.values()].values();
    let addedMs: number;
    {
      await using first = await startOver(fleet, dataDir);
      ({ ms: addedMs } = await observed(async () => {
        await Promise.all(
          Array.from({ length: ADDED_AT_ONCE }, async () => {
            for (const { uri } of names) await first.engine.addHost({ uri }, AbortSignal.timeout(300_000));
          }),
        );
        await known(first.engine, size);
      }));
    }
    const began = performance.now();
    await using second = await startOver(fleet, dataDir);
    await known(second.engine, size);
    const knownMs = performance.now() - began;
    await settled();
    const idle = await observed(() => sleep(SECONDS * 1_000));
    const changes = await observed(() => changing(fleet, second.engine, size));
    // once more, beside a client: what it costs is not a change's
    const token = (await readFile(join(dataDir, 'token'), 'utf8')).trim();
    const reading = async (meanwhile: () => Promise<unknown>): Promise<readonly number[]> => {
      await using pages = readingPages({ url: `${second.server.url}/api/v1/vms`, token });
      await meanwhile();
      return pages.tookMs;
    };
    const idlePages = await reading(() => sleep(SECONDS * 1_000));
    const tookMs = await reading(() => changing(fleet, second.engine, size));
    const count = CHANGES_PER_SECOND * SECONDS;
    return {
      hosts: size,
      vms: size * VMS,
      addedMs: rounded(addedMs),
      knownMs: rounded(knownMs),
      idleCpuShare: rounded(idle.cpuMs / idle.ms),
      idleLagP99Ms: rounded(idle.lagP99Ms),
      changingCpuShare: rounded(changes.cpuMs / changes.ms),
      cpuMsPerChange: rounded((changes.cpuMs - (idle.cpuMs * changes.ms) / idle.ms) / count),
      changingLagP99Ms: rounded(changes.lagP99Ms),
      seenAfterP99Ms: rounded(quantile(changes.value, 0.99)),
      pages: tookMs.length,
      idlePageP99Ms: rounded(quantile(idlePages, 0.99)),
      pageMedianMs: rounded(quantile(tookMs, 0.5)),
      pageP99Ms: rounded(quantile(tookMs, 0.99)),
      residentMiB: Math.round(process.memoryUsage.rss() / mib),
    };
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const rows = [];
for (const size of SIZES) {
  const row = await measure(size);
  rows.push(row);
  process.stdout.write(`${JSON.stringify(row)}\n`);
}
const [smallest] = rows;
const largest = rows.at(-1);
const thousand = rows.find(({ hosts }) => hosts === 1_000);
const result = makeResult(
  'fleet',
  { rows },
  {
    ...(largest?.hosts === 10_000 && smallest !== undefined
      ? {
          known: { what: 'time until 10,000 hosts are known, s', value: largest.knownMs / 1_000, atMost: 120 },
          change: {
            what: 'processor time of a change, 10,000 hosts to the smallest fleet',
            // less than nothing: the idle time before was none
            value: largest.cpuMsPerChange > 0 ? largest.cpuMsPerChange / smallest.cpuMsPerChange : Number.NaN,
            atMost: 1.5,
          },
          memory: { what: 'resident memory at 10,000 hosts, MiB', value: largest.residentMiB, atMost: 1_536 },
        }
      : {}),
    ...(thousand === undefined
      ? {}
      : {
          share: {
            what: 'share of a core, 50 changes a second at 1,000 hosts',
            value: thousand.changingCpuShare,
            atMost: 0.3,
          },
          idle: { what: 'share of a core, idle at 1,000 hosts', value: thousand.idleCpuShare, atMost: 0.1 },
          lag: { what: 'event loop lag at 1,000 hosts, p99, ms', value: thousand.changingLagP99Ms, atMost: 50 },
          seen: { what: 'a change is seen after, p99, ms', value: thousand.seenAfterP99Ms, atMost: 1_000 },
          page: {
            what: 'a page of 500 VMs while they change, 1,000 hosts, p99, ms',
            value: thousand.pageP99Ms,
            atMost: 20,
            // what this machine takes while nothing changes
            control: {
              median: thousand.idlePageP99Ms,
              low: thousand.idlePageP99Ms,
              high: thousand.idlePageP99Ms,
            },
          },
        }),
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
