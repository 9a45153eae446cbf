// script/bench parallel: eight guests move at once, to the other host and back, by Ferry and by eight virsh in turns.
// What the control plane uses meanwhile (share of a core, growth of its memory), and the downtime of each guest by
// libvirt's figure.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { temporaryLab, vmCreate, waitFor } from '@ferry/lab';
import { controlPlane } from '../../test/control-plane.ts';
import { call, isSettledOn, migrate, type PlacedVm } from './api.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, median, pairedRatios, printResult, spread } from './report.ts';
import { migrateLive } from './virsh.ts';

const execute = promisify(execFile);
const { values: flags } = optionsOf({ options: usual });
const ROUNDS = flags.quick ? 2 : 6;
const GUESTS = 8;
const BANDWIDTH = 4;
/** QEMU's own, which virsh leaves as it is. */
const PAUSE_MS = 300;
const BUDGET_MS = 300;
const TICKS_PER_SECOND = 100;

await using temporary = await temporaryLab({ hosts: 2 });
const { lab, status } = temporary;
const names = Array.from({ length: GUESTS }, (_, index) => `g${index + 1}`);
for (const name of names) await vmCreate(lab, { name, host: 'host1' });
await using plane = await controlPlane();
for (const { uri, name } of status.hosts) await plane.json('host', 'add', uri, '--name', name);
const uriOf = (name: string): string => status.hosts.find((host) => host.name === name)?.uri ?? '';

/** User and system time in ms since the start, and resident memory in bytes, of the control plane's process. */
function usage(): { readonly cpuMs: number; readonly memoryBytes: number } {
  const stat = readFileSync(`/proc/${plane.pid()}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const memoryKiB = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${plane.pid()}/status`, 'utf8'))?.[1];
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND,
    memoryBytes: Number(memoryKiB) * 1024,
  };
}

async function downtimeOf(host: string, name: string): Promise<number> {
  const { stdout } = await execute('virsh', ['-c', uriOf(host), 'domjobinfo', '--completed', '--keep-completed', name]);
  return Number(/^Total downtime:\s+(\d+)/m.exec(stdout)?.[1] ?? Number.NaN);
}

const withVirsh = async (from: string, to: string): Promise<void> => {
  await Promise.all(
    names.map((name) =>
      execute('virsh', ['-c', uriOf(from), ...migrateLive, '--bandwidth', String(BANDWIDTH), name, uriOf(to)], {
        timeout: 300_000,
      }),
    ),
  );
};

const contenders = {
  virsh: withVirsh,
  // against the first it shows what this machine takes for a difference
  virshAgain: withVirsh,
  ferry: async (_from: string, to: string) => {
    await Promise.all(
      names.map((name) =>
        migrate(plane, { vm: name, to, maxBandwidthMiBPerSecond: BANDWIDTH, maxDowntimeMs: PAUSE_MS }),
      ),
    );
  },
} as const;
type Contender = keyof typeof contenders;
const downtimes: Record<Contender, number[]> = { virsh: [], virshAgain: [], ferry: [] };
const totals: Record<Contender, number[]> = { virsh: [], virshAgain: [], ferry: [] };
const order = ['ferry', 'virsh', 'virshAgain'] as const;
const cores: number[] = [];

let at = 'host1';
const first = usage();
for (let round = 0; round < ROUNDS; round += 1) {
  for (const name of order.map((_, index) => order[(round + index) % order.length] ?? 'ferry')) {
    const [from, to] = [at, at === 'host1' ? 'host2' : 'host1'];
    await waitFor(
      'Ferry to see all guests there',
      async () =>
        (await call<{ items: PlacedVm[] }>(plane, 'GET', '/vms')).items.every((vm) => isSettledOn(vm, from)) ||
        undefined,
      { timeoutMs: 30_000 },
    );
    const before = usage();
    const start = performance.now();
    await contenders[name](from, to);
    const tookMs = performance.now() - start;
    totals[name].push(tookMs);
    if (name === 'ferry') cores.push((usage().cpuMs - before.cpuMs) / tookMs);
    for (const guest of names) downtimes[name].push(await downtimeOf(to, guest));
    at = to;
  }
  process.stderr.write(
    `round ${round + 1}/${ROUNDS}: ferry ${Math.round(totals.ferry.at(-1) ?? 0)} ms, virsh ${Math.round(totals.virsh.at(-1) ?? 0)} ms\n`,
  );
}
/** Of the guests of one round. */
const medians = (name: Contender): readonly number[] =>
  totals[name].map((_, round) => median(downtimes[name].slice(round * GUESTS, (round + 1) * GUESTS)));
const control = estimate(pairedRatios(medians('virshAgain'), medians('virsh')));
const grown = (usage().memoryBytes - first.memoryBytes) / 2 ** 20;

const result = makeResult(
  'parallel',
  {
    guests: GUESTS,
    rounds: ROUNDS,
    bandwidthMiBPerSecond: BANDWIDTH,
    totalMs: { ferry: spread(totals.ferry), virsh: spread(totals.virsh) },
    downtimeMs: {
      ferry: spread(downtimes.ferry),
      virsh: spread(downtimes.virsh),
      virshAgain: spread(downtimes.virshAgain),
    },
    shareOfCore: spread(cores),
    memoryAtFirstMiB: Math.round(first.memoryBytes / 2 ** 20),
    memoryGrownMiB: Math.round(grown),
  },
  {
    cpu: { what: 'share of a core that the control plane uses, median', value: median(cores), atMost: 0.05 },
    memory: { what: 'growth of its memory over all rounds, MiB', value: grown, atMost: 20 },
    budget: {
      what: `longest downtime of a guest, ms (budget ${BUDGET_MS} ms)`,
      value: Math.max(...downtimes.ferry),
      atMost: BUDGET_MS,
    },
    downtime: {
      what: "median downtime, Ferry / virsh's at the same concurrency",
      value: median(downtimes.ferry) / median(downtimes.virsh),
      atMost: 1,
      control,
    },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
