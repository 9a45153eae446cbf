// script/bench drain: a host is emptied over a link of fixed speed, by Ferry, which is not told how many guests to move at
// once, and by `xargs -P 1|2|4 virsh migrate`: fixed limits as Nova (1), KubeVirt and oVirt (2) have them. The guests are
// idle, all write, or are of several sizes of which some write. They go to the other host and back in turns.
//   --mixes A,B --rounds N   a part of it
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { execCommand, temporaryLab, vmCreate, vmDelete, waitFor } from '@ferry/lab';
import { controlPlane } from '../../test/control-plane.ts';
import { call, isSettledOn, type PlacedVm } from './api.ts';
import { optionsOf, refuse, usual } from './options.ts';
import {
  estimate,
  exitOf,
  makeResult,
  median,
  pairedRatios,
  printResult,
  rounded,
  spread,
  type Target,
} from './report.ts';
import { migrateLive } from './virsh.ts';

const execute = promisify(execFile);
const { values: flags } = optionsOf({
  options: { ...usual, mixes: { type: 'string' }, rounds: { type: 'string' } },
});
const LINK_MBIT = 256;
const LINK_BYTES_PER_SECOND = (LINK_MBIT * 1_000_000) / 8;
/** A run that takes longer has not finished. */
const RUN_LIMIT_MS = flags.quick ? 60_000 : 120_000;
/** The limit of Ferry's default policy. */
const BUDGET_MS = 500;

/** Memory that is filled, and MiB/s that the guest writes to `hot` MiB of it. */
interface Guest {
  readonly filled: number;
  readonly hot: number;
  readonly pace: number;
}
const times = (count: number, guest: Guest): readonly Guest[] => Array.from({ length: count }, () => guest);
const idle = (filled: number): Guest => ({ filled, hot: 4, pace: 0.1 });
const mixes: Readonly<Record<string, readonly Guest[]>> = flags.quick
  ? {
      idle: times(4, idle(64)),
      writing: times(4, { filled: 64, hot: 48, pace: 8 }),
      mixed: [idle(128), { filled: 64, hot: 48, pace: 10 }, idle(48), idle(32)],
    }
  : {
      idle: times(6, idle(96)),
      writing: times(6, { filled: 96, hot: 64, pace: 8 }),
      mixed: [
        idle(192),
        { filled: 128, hot: 96, pace: 12 },
        { filled: 64, hot: 48, pace: 6 },
        idle(96),
        idle(48),
        idle(32),
      ],
    };
const chosen = flags.mixes?.split(',') ?? Object.keys(mixes);
const unknown = chosen.find((name) => !Object.hasOwn(mixes, name));
if (unknown !== undefined) refuse(`there is no mix "${unknown}"; --mixes are of ${Object.keys(mixes).join(', ')}.`);
if (flags.rounds !== undefined && !/^[1-9]\d?$/.test(flags.rounds))
  refuse(`--rounds is a whole number from 1 to 99, not "${flags.rounds}".`);
const ROUNDS = Number(flags.rounds ?? (flags.quick ? 1 : 3));

await using temporary = await temporaryLab({ hosts: 2, linkMbit: LINK_MBIT });
const { lab, status } = temporary;
await using plane = await controlPlane();
for (const { uri, name } of status.hosts) await plane.json('host', 'add', uri, '--name', name);
const uriOf = (name: string): string => status.hosts.find((host) => host.name === name)?.uri ?? '';

/** What has left the host by its link. */
async function sentBytes(host: string): Promise<number> {
  const [command, ...args] = execCommand(lab, host, ['cat', '/sys/class/net/eth0/statistics/tx_bytes']);
  return Number((await execute(command, args)).stdout);
}

async function downtimeOf(host: string, name: string): Promise<number> {
  const { stdout } = await execute('virsh', ['-c', uriOf(host), 'domjobinfo', '--completed', '--keep-completed', name]);
  return Number(/^Total downtime:\s+(\d+)/m.exec(stdout)?.[1] ?? Number.NaN);
}

/** False: it was aborted at the limit; the rest are moved without being measured. */
const byXargs =
  (atOnce: number) =>
  async (names: readonly string[], from: string, to: string): Promise<boolean> => {
    const each = ['virsh', '-q', '-c', uriOf(from), ...migrateLive, '{}', uriOf(to)];
    const going = execute('xargs', ['-P', String(atOnce), '-I', '{}', ...each], { timeout: RUN_LIMIT_MS });
    going.child.stdin?.end(names.map((name) => `${name}\n`).join(''));
    try {
      await going;
      return true;
    } catch (error) {
      if (!(error instanceof Error) || !('killed' in error) || error.killed !== true) throw error;
    }
    // one alone ends; the others of its kind would not
    for (const name of names) await execute('virsh', ['-c', uriOf(from), 'domjobabort', name]).catch(() => undefined);
    for (const name of names) {
      const there = await execute('virsh', ['-c', uriOf(from), 'domstate', name]).catch(() => undefined);
      if (there !== undefined) await execute('virsh', ['-c', uriOf(from), ...migrateLive, name, uriOf(to)]);
    }
    return false;
  };

interface Drain {
  readonly id: string;
  readonly phase: string;
  readonly attention?: string;
  readonly pace?: readonly { readonly atOnce: number; readonly why: string }[];
}

const paces: string[] = [];
async function byFerry(_names: readonly string[], from: string): Promise<boolean> {
  const { id } = await call<Drain>(plane, 'POST', '/drains', { hosts: [from] });
  let pace = '';
  const ended = await waitFor(
    'the drain to end',
    async () => {
      const drain = await call<Drain>(plane, 'GET', `/drains/${id}`);
      const now = drain.pace?.map(({ atOnce, why }) => `${atOnce} (${why})`).join() ?? '';
      if (now !== pace) paces.push(now);
      pace = now;
      return drain.phase === 'running' ? undefined : drain;
    },
    { timeoutMs: RUN_LIMIT_MS },
  );
  if (ended.phase !== 'done') throw new Error(`the drain is ${ended.phase}: ${ended.attention ?? ''}`);
  return true;
}

const contenders = { ferry: byFerry, 'xargs-1': byXargs(1), 'xargs-2': byXargs(2), 'xargs-4': byXargs(4) } as const;
type Contender = keyof typeof contenders;
const order = Object.keys(contenders) as readonly Contender[];
const fixed = order.filter((name) => name !== 'ferry');

interface Run {
  readonly tookMs: number;
  readonly bytes: number;
  readonly downtimesMs: readonly number[];
}
const runs = new Map<string, Run[]>();
const runsOf = (mix: string, contender: Contender): readonly Run[] => runs.get(`${mix}/${contender}`) ?? [];

async function settledOn(names: readonly string[], host: string): Promise<void> {
  await waitFor(
    'Ferry to see all guests there',
    async () => {
      const { items } = await call<{ items: readonly PlacedVm[] }>(plane, 'GET', '/vms');
      return (items.length === names.length && items.every((vm) => isSettledOn(vm, host))) || undefined;
    },
    { timeoutMs: 60_000 },
  );
}

for (const mix of chosen) {
  const guests = mixes[mix] ?? [];
  const names = guests.map((_, index) => `${mix}${index + 1}`);
  for (const [index, { filled, hot, pace }] of guests.entries())
    await vmCreate(lab, {
      name: names[index] ?? '',
      host: 'host1',
      workload: `sector:V=${filled},W=${hot},D=${pace}`,
    });
  let at = 'host1';
  for (let round = 0; round < ROUNDS; round += 1)
    for (const contender of order.map((_, index) => order[(round + index) % order.length] ?? 'ferry')) {
      const [from, to] = [at, at === 'host1' ? 'host2' : 'host1'];
      await settledOn(names, from);
      const before = await sentBytes(from);
      const start = performance.now();
      const finished = await contenders[contender](names, from, to);
      const tookMs = finished ? performance.now() - start : Number.POSITIVE_INFINITY;
      const bytes = finished ? (await sentBytes(from)) - before : Number.POSITIVE_INFINITY;
      const downtimesMs = finished ? await Promise.all(names.map((name) => downtimeOf(to, name))) : [];
      const run = { tookMs, bytes, downtimesMs };
      runs.set(`${mix}/${contender}`, [...runsOf(mix, contender), run]);
      if (contender === 'ferry') await plane.json('host', 'uncordon', from);
      at = to;
      process.stderr.write(
        `${mix} ${round + 1}/${ROUNDS} ${contender}: ` +
          (finished ? `${rounded(tookMs / 1_000)} s, ${Math.round(bytes / 2 ** 20)} MiB` : 'not finished') +
          `${contender === 'ferry' ? `; at once: ${paces.splice(0).join(' -> ')}` : ''}\n`,
      );
    }
  for (const name of names) await vmDelete(lab, name);
}

const tookMs = (mix: string, contender: Contender): readonly number[] =>
  runsOf(mix, contender).map((run) => run.tookMs);
/** Of the runs that have finished; NaN: none. */
const bytesOf = (mix: string, contender: Contender): number =>
  median(runsOf(mix, contender).flatMap(({ bytes }) => (Number.isFinite(bytes) ? [bytes] : [])));
const downtimes = (mix: string, contender: Contender): readonly number[] =>
  runsOf(mix, contender).flatMap((run) => run.downtimesMs);
/** The fewest bytes that anybody needed, over the link. */
const boundMs = (mix: string): number =>
  (Math.min(...order.map((contender) => bytesOf(mix, contender)).filter(Number.isFinite)) / LINK_BYTES_PER_SECOND) *
  1_000;
const bestFixed = (mix: string): Contender =>
  fixed.toSorted((a, b) => median(tookMs(mix, a)) - median(tookMs(mix, b)))[0] ?? 'xargs-1';

const targets: Record<string, Target> = {};
for (const mix of chosen) {
  const best = bestFixed(mix);
  const ratio = estimate(pairedRatios(tookMs(mix, 'ferry'), tookMs(mix, best)));
  if (mix === 'idle')
    targets['bound'] = {
      what: 'idle: makespan, Ferry / bytes over bandwidth',
      value: median(tookMs(mix, 'ferry')) / boundMs(mix),
      atMost: 1.15,
    };
  targets[`${mix}-best`] = {
    what: `${mix}: makespan, Ferry / ${best}, the best of the fixed (${ratio.low} to ${ratio.high})`,
    value: ratio.median,
    atMost: 1.03,
  };
  targets[`${mix}-bytes`] = {
    what: `${mix}: bytes on the wire, Ferry / one after the other`,
    value: bytesOf(mix, 'ferry') / bytesOf(mix, 'xargs-1'),
    atMost: 1.15,
  };
  targets[`${mix}-budget`] = {
    what: `${mix}: longest downtime of a guest, ms`,
    value: Math.max(...downtimes(mix, 'ferry')),
    atMost: BUDGET_MS,
  };
}

process.stdout.write(
  '| mix | contender | makespan, s | of the bound | MiB on the wire | downtime, ms: median, most |\n' +
    '| --- | --- | --- | --- | --- | --- |\n',
);
for (const mix of chosen)
  for (const contender of order) {
    const took = median(tookMs(mix, contender));
    const pauses = downtimes(mix, contender);
    process.stdout.write(
      Number.isFinite(took)
        ? `| ${mix} | ${contender} | ${rounded(took / 1_000)} | ${rounded(took / boundMs(mix))} | ` +
            `${Math.round(bytesOf(mix, contender) / 2 ** 20)} | ` +
            `${Math.round(median(pauses))}, ${Math.round(Math.max(...pauses))} |\n`
        : `| ${mix} | ${contender} | not finished after ${RUN_LIMIT_MS / 1_000} s | | | |\n`,
    );
  }
const result = makeResult(
  'drain',
  {
    rounds: ROUNDS,
    linkMbit: LINK_MBIT,
    mixes: Object.fromEntries(
      chosen.map((mix) => [
        mix,
        {
          guests: mixes[mix],
          boundMs: rounded(boundMs(mix)),
          contenders: Object.fromEntries(
            order.map((contender) => [
              contender,
              {
                tookMs: spread(tookMs(mix, contender)),
                bytes: spread(runsOf(mix, contender).map(({ bytes }) => bytes)),
                downtimeMs: spread(downtimes(mix, contender)),
              },
            ]),
          ),
        },
      ]),
    ),
  },
  targets,
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
