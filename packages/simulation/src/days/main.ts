/**
 * script/simulate: days of the real engine over simulated hosts. Prints what must never be, and the command that shows
 * it again.
 *   script/simulate --seeds N [--from S]    N days, from seed S on (1)
 *   script/simulate --seed S [--only I,J]   one day with everything that happens; of its steps only these
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { dayOf, shrink } from './shrink.ts';

const usage = 'use script/simulate --seeds N [--from S], or --seed S [--only I,J,...]';
const exitCodes = { broken: 1, usage: 2 } as const;

class Misuse extends Error {}

function numberOf(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new Misuse(`--${name} must be a whole number below 1,000,000,000, and "${text}" is none.`);
  return Number(text);
}

async function oneDay(seed: number, only: readonly number[] | undefined): Promise<number> {
  const day = await dayOf(seed, only);
  process.stdout.write(`${day.log.join('\n')}\n`);
  return day.broken.length > 0 ? exitCodes.broken : 0;
}

/** Days in this process, one after the other. */
async function inTurn(from: number, seeds: number, every: number, shrinks: boolean): Promise<number> {
  let bad = 0;
  for (let seed = from; seed < from + seeds; seed += every) {
    const { broken } = await dayOf(seed);
    const [first] = broken;
    if (first === undefined) continue;
    bad += 1;
    process.stdout.write(`seed ${seed}: ${first}\n  script/simulate --seed ${seed}\n`);
    if (!shrinks) return bad;
    const left = await shrink(seed, first);
    process.stdout.write(`  in ${left.length} steps: script/simulate --seed ${seed} --only ${left.join(',')}\n`);
  }
  return bad;
}

/** Two processes, for two cores. */
const workers = 2;
async function manyDays(from: number, seeds: number): Promise<number> {
  const run = (at: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const args = ['--seeds', String(seeds - at), '--from', String(from + at), '--every', String(workers)];
      const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...args], { stdio: 'inherit' });
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? exitCodes.usage));
    });
  const codes = await Promise.all(Array.from({ length: Math.min(workers, seeds) }, (_, at) => run(at)));
  const worst = Math.max(...codes);
  if (worst === 0) process.stdout.write(`${seeds} days, and nothing that must never be.\n`);
  return worst;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      every: { type: 'string' },
      first: { type: 'boolean' },
    },
  });
  const from = numberOf('from', values.from ?? '1');
  if (values.seed !== undefined)
    return oneDay(
      numberOf('seed', values.seed),
      values.only === undefined
        ? undefined
        : values.only
            .split(',')
            .filter((each) => each !== '')
            .map((each) => numberOf('only', each)),
    );
  if (values.seeds === undefined) throw new Misuse(usage);
  const seeds = numberOf('seeds', values.seeds);
  if (values.every === undefined && values.first !== true) return manyDays(from, seeds);
  return (await inTurn(from, seeds, numberOf('every', values.every ?? '1'), values.first !== true)) > 0
    ? exitCodes.broken
    : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Misuse) && !(error instanceof TypeError)) throw error;
  process.stderr.write(`script/simulate: ${error.message}\n`);
  process.exitCode = exitCodes.usage;
}
