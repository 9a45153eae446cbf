// script/bench converge: busy guests that dirty memory at 0.1 to 4 times the link, moved by virsh in three ways, by
// Ferry as it comes, and by Ferry with each policy that reproduces another system, in turns. A new guest for each run,
// since QEMU keeps a pause budget for the next one. Per cell and contender: share finished within the limit, total
// time, downtime by libvirt and as heard from outside, the guest's slowdown.
//   --cells A,B --contenders A,B --rounds N --limit-s N   a part of it
//   --traces DIR                                          libvirt's figures of each run, as lines of JSON
// (job-trace.ts)
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readSector, temporaryLab, vmCreate, vmDelete, vmList, vmLog, vmLogFile, waitFor } from '@ferry/lab';
import { controlPlane, type ControlPlane } from '../../test/control-plane.ts';
import { call, seenRunning, untilEnded, type Migration } from './api.ts';
import {
  BANDWIDTH,
  cellNames,
  contenderNames,
  DEFAULT,
  FILLED_MIB,
  howOf,
  judge,
  LINK_MBIT,
  quickCells,
  quickContenders,
  summaryOf,
  workloadOf,
  type CellName,
  type Run,
} from './converge-grid.ts';
import { hotRate, longestSilenceMs, watchGuest, type GuestWatch } from './guest-watch.ts';
import { traceJob, traceText } from './job-trace.ts';
import { optionsOf, refuse, usual } from './options.ts';
import { exitOf, makeResult, printResult, rounded } from './report.ts';
import { migrateLive } from './virsh.ts';

const execute = promisify(execFile);
const { values: flags } = optionsOf({
  options: {
    ...usual,
    cells: { type: 'string' },
    contenders: { type: 'string' },
    rounds: { type: 'string' },
    'limit-s': { type: 'string' },
    traces: { type: 'string' },
  },
});
const chosen = <T extends string>(text: string | undefined, all: readonly T[], usual: readonly T[]): readonly T[] => {
  if (text === undefined) return usual;
  const unknown = text.split(',').filter((name) => !all.some((each) => each === name));
  if (unknown.length > 0) refuse(`There is no ${unknown.join(', ')}; choose of ${all.join(', ')}.`);
  return all.filter((name) => text.split(',').includes(name));
};
const wholeNumber = (name: string, text: string | undefined, usual: number): number => {
  if (text !== undefined && !/^[1-9]\d{0,3}$/.test(text))
    refuse(`--${name} is a whole number from 1 to 9999, not "${text}".`);
  return text === undefined ? usual : Number(text);
};
const cells = chosen(flags.cells, cellNames, flags.quick ? quickCells : cellNames);
const contenders = chosen(flags.contenders, contenderNames, flags.quick ? quickContenders : contenderNames);
const ROUNDS = wholeNumber('rounds', flags.rounds, flags.quick ? 1 : 3);
const LIMIT_MS = wholeNumber('limit-s', flags['limit-s'], flags.quick ? 60 : 90) * 1000;
/** For an abort, or for a post-copy that nothing can stop. */
const GRACE_MS = 30_000;
/** What the guest's own pace is taken from. */
const BEATS_BEFORE = 750;
const MIB_BEFORE = 12;

if (flags.traces !== undefined) mkdirSync(flags.traces, { recursive: true });
await using temporary = await temporaryLab({ hosts: 2, linkMbit: LINK_MBIT });
const { lab } = temporary;
const [source, target] = temporary.status.hosts;
if (source === undefined || target === undefined) throw new Error('the lab has no two hosts');
await using plane = await controlPlane();
for (const { uri, name } of temporary.status.hosts) await plane.json('host', 'add', uri, '--name', name);

/**
 * True when the tool reports that the guest has moved. After the time limit it is aborted and gets a short grace
 * period.
 */
async function move(contender: string, guest: string, from: string, to: string): Promise<boolean> {
  const how = howOf(contender);
  const limit = AbortSignal.timeout(LIMIT_MS);
  const end = AbortSignal.timeout(LIMIT_MS + GRACE_MS);
  if (how.tool === 'virsh') {
    const giveUp = (): void =>
      void execute('virsh', ['-c', from, 'domjobabort', guest], { timeout: GRACE_MS }).catch(() => undefined);
    limit.addEventListener('abort', giveUp, { once: true });
    const command = ['-c', from, ...migrateLive, '--bandwidth', String(BANDWIDTH), ...how.flags, guest, to];
    const moved = await execute('virsh', command, { signal: end }).then(
      () => true,
      (error: unknown) => told(limit, error),
    );
    limit.removeEventListener('abort', giveUp);
    return moved;
  }
  return moveByFerry(
    plane,
    {
      vm: guest,
      to: target?.name,
      maxBandwidthMiBPerSecond: BANDWIDTH,
      ...(how.policy === undefined ? {} : { policy: how.policy }),
    },
    limit,
    end,
  );
}

async function moveByFerry(by: ControlPlane, body: object, limit: AbortSignal, end: AbortSignal): Promise<boolean> {
  const begun = await call<Migration>(by, 'POST', '/migrations', body).catch((error: unknown) => error);
  // refused before it began: it counts as not finished
  if (begun instanceof Error) return told(limit, begun);
  const { id } = begun as Migration;
  const giveUp = (): void => void call(by, 'POST', `/migrations/${id}/abort`).catch(() => undefined);
  limit.addEventListener('abort', giveUp, { once: true });
  const ended = await untilEnded(by, id, end).catch(() => undefined);
  limit.removeEventListener('abort', giveUp);
  return ended?.outcome === 'succeeded' || told(limit, ended?.error?.message ?? ended?.outcome ?? 'no end');
}

/** False; a failure that is not our own abort is worth a line. */
function told(limit: AbortSignal, error: unknown): false {
  if (!limit.aborted) process.stderr.write(`${String(error)}\n`);
  return false;
}

async function libvirtDowntimeMs(host: string, guest: string): Promise<number> {
  const { stdout } = await execute('virsh', ['-c', host, 'domjobinfo', '--completed', '--keep-completed', guest]).catch(
    () => ({ stdout: '' }),
  );
  return Number(/^Total downtime:\s+(\d+)/m.exec(stdout)?.[1] ?? Number.NaN);
}

let made = 0;
async function runOnce(cell: CellName, contender: string, traceFile: string | undefined): Promise<Run> {
  made += 1;
  const guest = `busy${made}`;
  await vmCreate(lab, { name: guest, host: 'host1', workload: workloadOf(cell) });
  try {
    await seenRunning(plane, guest);
    using watch = watchGuest(vmLogFile(lab, guest));
    await waitFor(
      "the guest's own pace",
      () => {
        const last = watch.looks.at(-1);
        return (last !== undefined && last.beats >= BEATS_BEFORE && last.hotMib >= MIB_BEFORE) || undefined;
      },
      { timeoutMs: 60_000 },
    );
    return await measured(cell, contender, guest, watch, traceFile);
  } finally {
    await vmDelete(lab, guest);
  }
}

async function measured(
  cell: CellName,
  contender: string,
  guest: string,
  watch: GuestWatch,
  traceFile: string | undefined,
): Promise<Run> {
  const traced = new AbortController();
  const trace = traceFile === undefined ? undefined : traceJob(source?.uri ?? '', guest, traced.signal);
  const startedAt = performance.now();
  const saidSo = await move(contender, guest, source?.uri ?? '', target?.uri ?? '').finally(() => traced.abort());
  const endedAt = performance.now();
  const totalMs = endedAt - startedAt;
  const arrived = (await vmList(lab)).some(
    ({ name, host, state }) => name === guest && host === target?.name && state === 'running',
  );
  const finished = saidSo && arrived && totalMs <= LIMIT_MS;
  // a silence that has not ended yet is no shorter than it will be
  await waitFor('the guest to be heard again', () => (watch.looks.at(-1)?.atMs ?? 0) > endedAt || undefined, {
    timeoutMs: GRACE_MS,
  }).catch(() => undefined);
  const said = readSector(vmLog(lab, guest));
  const firstAt = watch.looks[0]?.atMs ?? 0;
  const run: Run = {
    finished,
    totalMs,
    downtimeMs: finished ? await libvirtDowntimeMs(target?.uri ?? '', guest) : Number.NaN,
    silenceMs: longestSilenceMs(watch.looks, startedAt, endedAt),
    slowdown: 1 - hotRate(watch.looks, startedAt, endedAt) / hotRate(watch.looks, firstAt, startedAt),
    restarted: said.boots > 1,
    damagedPages: said.damaged,
  };
  if (traceFile !== undefined && trace !== undefined) {
    const samples = await trace;
    writeFileSync(
      traceFile,
      traceText({ about: `${workloadOf(cell)}, ${BANDWIDTH} MiB/s, ${contender}`, ...run }, samples),
    );
  }
  return run;
}

const runs = new Map<CellName, Map<string, Run[]>>(
  cells.map((cell) => [cell, new Map(contenders.map((contender) => [contender, []]))]),
);
const loads: number[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  for (const cell of cells) {
    // in turns: nobody always goes first, nobody always follows the same one
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const traceFile =
        flags.traces === undefined
          ? undefined
          : join(flags.traces, `${cell}-${contender.replace(':', '-')}-${round + 1}.jsonl`);
      const run = await runOnce(cell, contender, traceFile);
      runs.get(cell)?.get(contender)?.push(run);
      loads.push(loadavg()[0] ?? Number.NaN);
      process.stderr.write(
        `round ${round + 1}/${ROUNDS} ${cell} ${contender}: ` +
          `${run.finished ? 'finished' : 'NOT FINISHED'} ${Math.round(run.totalMs)} ms, downtime ` +
          `${run.downtimeMs} ms, silence ${Math.round(run.silenceMs)} ms, slowdown ` +
          `${Math.round(run.slowdown * 100)} ` +
          `%${run.restarted ? ', restarted' : ''}${run.damagedPages > 0 ? `, ${run.damagedPages} pages damaged` : ''}\n`,
      );
    }
  }
}

const shown = (value: number): string => (Number.isNaN(value) ? '-' : String(Math.round(value)));
process.stdout.write(
  '| cell | contender | finished | total, s | downtime by libvirt, ms | longest silence, ms | slowdown, ' +
    '% |\n| --- | --- | --- | --- | --- | --- | --- |\n',
);
for (const [cell, of] of runs) {
  for (const [contender, own] of of) {
    const { share, totalMs, downtimeMs, silenceMs, slowdown, restarted } = summaryOf(own);
    process.stdout.write(
      `| ${cell} | ${contender} | ${Math.round(share * own.length)} of ` +
        `${own.length}${restarted > 0 ? `, ${restarted} restarted` : ''} | ` +
        `${Number.isNaN(totalMs) ? '-' : (totalMs / 1000).toFixed(1)} | ${shown(downtimeMs)} | ` +
        `${shown(silenceMs)} | ${shown(slowdown * 100)} |\n`,
    );
  }
}
const verdict = judge(runs);
for (const line of [...(verdict?.unfinished ?? []), ...(verdict?.better ?? [])]) process.stdout.write(`${line}\n`);
if (verdict === undefined) process.stdout.write(`Nothing to judge: ${DEFAULT} and one of its equals have to run.\n`);
const damaged = [...runs.values()]
  .flatMap((of) => [...of.values()])
  .flat()
  .reduce((sum, { damagedPages }) => sum + damagedPages, 0);

const result = makeResult(
  'converge',
  {
    rounds: ROUNDS,
    limitMs: LIMIT_MS,
    bandwidthMiBPerSecond: BANDWIDTH,
    linkMbit: LINK_MBIT,
    filledMib: FILLED_MIB,
    load: { least: rounded(Math.min(...loads)), most: rounded(Math.max(...loads)) },
    cells: Object.fromEntries(
      [...runs].map(([cell, of]) => [
        cell,
        {
          workload: workloadOf(cell),
          contenders: Object.fromEntries(
            [...of].map(([contender, own]) => [contender, { ...summaryOf(own), runs: own }]),
          ),
        },
      ]),
    ),
    verdict,
  },
  {
    ...(verdict === undefined
      ? {}
      : {
          finished: {
            what: 'cells that a contender with the same permissions finishes more often than Ferry',
            value: verdict.unfinished.length,
            atMost: 0,
          },
          better: {
            what: 'times that one of them is more than 5 % better in time and downtime at once',
            value: verdict.better.length,
            atMost: 0,
          },
        }),
    damaged: { what: 'pages of guests that were not as written', value: damaged, atMost: 0 },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
