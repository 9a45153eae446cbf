// script/bench placement: where VMs go, decided by core on recorded fleets that are made of a seed: single decisions that
// see each other, whole plans, the drain of many hosts, and groups beside the best of all choices. No host is asked: all
// facts are there. Each fleet has a process of its own, for its memory.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { chooseHost, knownFleet, placeGroup, planDrain, planMove } from '@ferry/core';
// test support, no part of the product
import { exampleFleet } from '../../packages/core/src/planning/fleet/example-fleet.ts';
import { allPlaces, randomGroup, seeded } from '../../packages/core/src/planning/group/example-groups.ts';
import { optionsOf, usual } from './options.ts';
import { exitOf, makeResult, printResult, quantile, rounded } from './report.ts';

const { values: flags } = optionsOf({ options: { ...usual, part: { type: 'string' } } });
const SIZES = flags.quick ? [100, 1_000] : [100, 1_000, 10_000];
const VMS_PER_HOST = 20;
const DECISIONS = flags.quick ? 1_000 : 5_000;
const PLANS = 10;
const GROUPS = flags.quick ? 60 : 300;
const DRAINS = flags.quick ? 2 : 5;
const SEED = 17;
const mib = 2 ** 20;

/** Of the whole process, collections of the heap included: what others do on the machine is not in it. */
const processorMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};
const timed = <T>(work: () => T): { readonly ms: number; readonly cpuMs: number; readonly value: T } => {
  const began = performance.now();
  const cpu = processorMs();
  const value = work();
  return { ms: performance.now() - began, cpuMs: processorMs() - cpu, value };
};
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

interface FleetRow {
  readonly hosts: number;
  readonly vms: number;
  readonly openMs: number;
  readonly decisions: number;
  /** Processor time of one, and its quantiles. */
  readonly decisionMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  /** By the clock: with what others do on the machine. */
  readonly wallP99Ms: number;
  readonly perSecond: number;
  readonly without: number;
  readonly planMs: number;
  readonly residentMiB: number;
}

function onFleet(hosts: number): FleetRow {
  const fleet = exampleFleet({ hosts, vms: hosts * VMS_PER_HOST, seed: SEED });
  const { ms: openMs } = timed(() => knownFleet(fleet));
  const random = seeded(SEED);
  const some = () => fleet.vms[random(fleet.vms.length)] ?? fleet.vms[0];
  // what was given counts; before the fleet is full of it, another day begins
  const aDay = Math.min(DECISIONS, 2 * hosts);
  const days = Array.from({ length: Math.ceil(DECISIONS / aDay) + 1 }, () => {
    const known = knownFleet(fleet);
    return Array.from({ length: aDay }, some).map((vm) =>
      timed(() => {
        const result = vm === undefined ? undefined : chooseHost(known, vm);
        if (vm === undefined || result === undefined || result.kind === 'refused') return false;
        known.given(vm, known.host(result.to.id));
        return true;
      }),
    );
  });
  // the code is compiled on the first
  const runs = days.slice(1).flat();
  const [times, cpuTimes] = [runs.map(({ ms }) => ms), runs.map(({ cpuMs }) => cpuMs)];
  const fresh = knownFleet(fleet);
  const plans = Array.from({ length: PLANS + 2 }, some)
    .map((vm) => timed(() => (vm === undefined ? undefined : planMove(fresh, vm, {}))).cpuMs)
    .slice(2);
  return {
    hosts,
    vms: fleet.vms.length,
    openMs: rounded(openMs),
    decisions: runs.length,
    decisionMs: rounded(mean(cpuTimes)),
    p50Ms: rounded(quantile(cpuTimes, 0.5)),
    p99Ms: rounded(quantile(cpuTimes, 0.99)),
    mostMs: rounded(quantile(cpuTimes, 1)),
    wallP99Ms: rounded(quantile(times, 0.99)),
    perSecond: Math.round(1_000 / mean(cpuTimes)),
    without: runs.filter(({ value }) => !value).length,
    planMs: rounded(mean(plans)),
    residentMiB: Math.round(process.memoryUsage.rss() / mib),
  };
}

/** Up to 8 VMs over up to 4 hosts, some of which they leave themselves. */
function onGroups() {
  const ratios: number[] = [];
  const times: number[] = [];
  let fewer = 0;
  for (let seed = 1; seed <= GROUPS; seed += 1) {
    const random = seeded(seed);
    const group = randomGroup(random, { vms: 2 + random(7), hosts: 2 + random(3), apartOnly: true });
    const { ms, value: plan } = timed(() => placeGroup(group));
    times.push(ms);
    const best = allPlaces(group);
    if (plan.placed.size < best.placed) fewer += 1;
    else ratios.push(best.points === 0 ? 1 : plan.points / best.points);
  }
  return {
    groups: GROUPS,
    fewer,
    mean: rounded(mean(ratios)),
    worst: rounded(quantile(ratios, 1)),
    p50Ms: rounded(quantile(times, 0.5)),
    p99Ms: rounded(quantile(times, 0.99)),
  };
}

/** 50 of 1,000 hosts at once. */
function onDrains() {
  const fleet = exampleFleet({ hosts: 1_000, vms: 1_000 * VMS_PER_HOST, seed: SEED });
  const able = fleet.hosts.filter(({ host, state }) => state === 'connected' && host.cluster === 'default');
  const runs = Array.from({ length: DRAINS }, (_, round) =>
    timed(() =>
      planDrain(
        fleet,
        able.slice(round * 50, round * 50 + 50).map(({ host }) => host.id),
        0,
      ),
    ),
  );
  return {
    hosts: 50,
    vms: runs.map(({ value }) => value.length),
    without: runs.map(({ value }) => value.filter(({ to }) => to === undefined).length),
    ms: runs.map(({ ms }) => rounded(ms)),
    cpuMs: runs.map((run) => rounded(run.cpuMs)),
  };
}

const parts: Readonly<Record<string, () => object>> = {
  groups: onGroups,
  drains: onDrains,
  ...Object.fromEntries([100, 1_000, 10_000].map((size) => [`fleet-${size}`, () => onFleet(size)])),
};

async function partOf<T>(name: string): Promise<T> {
  const child = spawn(process.execPath, [import.meta.filename, '--part', name, ...(flags.quick ? ['--quick'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const said = await text(child.stdout);
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`${name} ended with ${code}`);
  process.stdout.write(said);
  return JSON.parse(said) as T;
}

if (flags.part !== undefined) process.stdout.write(`${JSON.stringify(parts[flags.part]?.() ?? {})}\n`);
else {
  const rows: FleetRow[] = [];
  for (const size of SIZES) rows.push(await partOf<FleetRow>(`fleet-${size}`));
  const groups = await partOf<ReturnType<typeof onGroups>>('groups');
  const drains = await partOf<ReturnType<typeof onDrains>>('drains');
  const [smallest, largest] = [rows[0], rows.at(-1)];
  if (smallest === undefined || largest === undefined) throw new Error('nothing was measured');
  const times = largest.hosts / smallest.hosts;
  const at = `at ${largest.hosts} hosts`;
  const result = makeResult(
    'placement',
    { rows, groups, drains },
    {
      p99: { what: `processor time of a decision ${at}, p99, ms`, value: largest.p99Ms, atMost: 10 },
      rate: {
        what: `processor time of a decision ${at}, mean, ms (2 are 500 a second)`,
        value: largest.decisionMs,
        atMost: 2,
      },
      memory: { what: `resident memory ${at}, MiB`, value: largest.residentMiB, atMost: 1_536 },
      cost: {
        what: `a decision ${at} to one at ${smallest.hosts}, for each host`,
        value: largest.decisionMs / smallest.decisionMs / times,
        atMost: 1,
      },
      plan: {
        what: `a plan with every host ${at} to one at ${smallest.hosts}, for each host`,
        value: largest.planMs / smallest.planMs / times,
        atMost: 1,
      },
      mean: { what: 'points of a group to those of the best choice, mean', value: groups.mean, atMost: 1.02 },
      worst: { what: 'points of a group to those of the best choice, worst', value: groups.worst, atMost: 1.15 },
      placed: { what: 'groups in which fewer VMs found a place than can', value: groups.fewer, atMost: 0 },
      drain: {
        what: 'plan of a drain of 50 hosts of 1,000, slowest, s of processor time',
        value: quantile(drains.cpuMs, 1) / 1_000,
        atMost: 2,
      },
    },
  );
  printResult(result, { json: flags.json });
  process.exitCode = exitOf(result);
}
