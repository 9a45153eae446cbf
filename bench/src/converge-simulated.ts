// script/bench converge --simulated: what `converge` measures in the lab, on a grid that no lab has time for: working
// sets from what the link carries in 50 ms up to all of memory, dirtied at 0.1 to 4 times the link, in the simulated
// fleet and in virtual time. Every preset, and what virsh does, over one model of QEMU's pre-copy; the model agrees
// with measured runs within 5 % up to three quarters of the link.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { whenStopped } from '@ferry/lab';
import { optionsOf, usual } from './options.ts';
import { exitOf, makeResult, printResult, type Result, rounded, spread } from './report.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'packages', 'simulation', 'src', 'grid-main.ts');
const OURS = 'ferry';

interface Outcome {
  readonly end: string;
  readonly totalMs: number;
  readonly downtimeMs: number;
  readonly highestThrottle: number;
  readonly finished: boolean;
}
interface Contender {
  readonly name: string;
  /** May do as much as Ferry's default: neither throttles, pauses nor powers off. */
  readonly equal: boolean;
  readonly runs: readonly {
    readonly cell: { readonly setSeconds: number; readonly dirty: number };
    readonly outcome: Outcome;
  }[];
}
interface Better {
  readonly cell: object;
  readonly name: string;
  readonly theirs: Outcome;
  readonly ours: Outcome;
}
interface Ending {
  readonly verdict: { readonly unfinished: readonly object[]; readonly better: readonly Better[] };
}

/** The whole grid, or every third cell of it. */
export async function simulatedGrid({ quick }: { readonly quick: boolean }): Promise<Result> {
  const child = spawn(process.execPath, [MAIN, ...(quick ? ['--quick'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  using _ = whenStopped(() => void child.kill());
  const ended = once(child, 'exit');
  const contenders: Contender[] = [];
  let ending: Ending | undefined;
  for await (const line of createInterface(child.stdout)) {
    const read = JSON.parse(line) as Contender | Ending;
    if ('verdict' in read) ending = read;
    else contenders.push(read);
  }
  const [code] = (await ended) as [number | null];
  if (code !== 0 || ending === undefined) throw new Error(`the grid ended with ${code}`);
  const { unfinished, better } = ending.verdict;
  for (const { cell, name, theirs, ours } of better)
    process.stderr.write(
      `${JSON.stringify(cell)}: ${name} ${Math.round(theirs.totalMs)} ms and ` +
        `${Math.round(theirs.downtimeMs)} ms, Ferry ${Math.round(ours.totalMs)} ms and ` +
        `${Math.round(ours.downtimeMs)} ms\n`,
    );
  return makeResult(
    'converge-simulated',
    { ...ending, contenders: Object.fromEntries(contenders.map((each) => [each.name, summaryOf(each)])) },
    {
      finished: { what: "cells of the grid that Ferry's default does not finish", value: unfinished.length, atMost: 0 },
      better: {
        what: 'cells in which a contender with the same permissions is over 5 % better in time and downtime at once',
        value: better.length,
        atMost: 0,
      },
      compared: {
        what: 'contenders with the same permissions that are missing',
        value: 6 - contenders.filter(({ equal, name }) => equal && name !== OURS).length,
        atMost: 0,
      },
    },
  );
}

function summaryOf({ equal, runs }: Contender): object {
  const finished = runs.map(({ outcome }) => outcome).filter((outcome) => outcome.finished);
  const ends = (end: string): number => runs.filter(({ outcome }) => outcome.end === end).length;
  return {
    equal,
    share: rounded(finished.length / runs.length),
    totalMs: spread(finished.map(({ totalMs }) => totalMs)),
    downtimeMs: spread(finished.map(({ downtimeMs }) => downtimeMs)),
    throttled: runs.filter(({ outcome }) => outcome.highestThrottle > 0).length,
    postCopy: ends('post-copy'),
    paused: ends('paused'),
    poweredOff: ends('powered-off'),
  };
}

function printTable(contenders: Readonly<Record<string, unknown>>): void {
  process.stdout.write(
    `${'contender'.padEnd(28)}finished   time s (median, most)   downtime ms (median, most)   throttled paused powered-off\n`,
  );
  for (const [name, summary] of Object.entries(contenders)) {
    const { share, totalMs, downtimeMs, throttled, paused, poweredOff } = summary as {
      share: number;
      totalMs: { median: number; max: number };
      downtimeMs: { median: number; max: number };
      throttled: number;
      paused: number;
      poweredOff: number;
    };
    const seconds = (ms: number): string => (ms / 1_000).toFixed(1).padStart(8);
    const whole = (count: number): string => String(Math.round(count)).padStart(8);
    process.stdout.write(
      `${name.padEnd(28)}${`${Math.round(share * 100)} %`.padStart(8)}  ${seconds(totalMs.median)} ` +
        `${seconds(totalMs.max)}       ${whole(downtimeMs.median)} ${whole(downtimeMs.max)}             ` +
        `${whole(throttled)} ${whole(paused)} ${whole(poweredOff)}\n`,
    );
  }
}

if (import.meta.main) {
  const { values: flags } = optionsOf({ options: usual });
  const result = await simulatedGrid({ quick: flags.quick });
  printTable(result.figures['contenders'] as Readonly<Record<string, unknown>>);
  printResult(result, { json: flags.json });
  process.exitCode = exitOf(result);
}
