/**
 * script/simulate: days of the real engine over simulated hosts. Prints what must never be, and the command that shows
 * it again.
 *   script/simulate --seeds N [--from S]    N days, from seed S on (1)
 *   script/simulate --mutants [--seeds N]   which seed finds each broken safety rule
 *   script/simulate --seed S [--only I,J]   one day with everything that happens; of its steps only these
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { breakRule, mutants } from './mutants.ts';

/** Loaded once it is known whether a rule of core is to be broken. */
const days = async () => await import('./shrink.ts');

const usage = 'use script/simulate --seeds N [--from S], or --seed S [--only I,J,...]';
const exitCodes = { broken: 1, usage: 2 } as const;

class Misuse extends Error {}

function numberOf(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new Misuse(`--${name} must be a whole number below 1,000,000,000, and "${text}" is none.`);
  return Number(text);
}

async function oneDay(seed: number, only: readonly number[] | undefined): Promise<number> {
  const { dayOf } = await days();
  const day = await dayOf(seed, only);
  process.stdout.write(`${day.log.join('\n')}\n`);
  return day.broken.length > 0 ? exitCodes.broken : 0;
}

/** Days in this process, one after the other. */
async function inTurn(from: number, seeds: number, shrinks: boolean): Promise<number> {
  const { dayOf, shrink } = await days();
  let bad = 0;
  for (let seed = from; seed < from + seeds; seed += 1) {
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

/**
 * Two processes at a time, for two cores. A new one every so often: what a killed control plane waits for is never freed.
 */
const workers = 2;
const daysEach = 20;
async function manyDays(from: number, seeds: number): Promise<number> {
  const run = (first: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const count = Math.min(daysEach, from + seeds - first);
      const args = ['--seeds', String(count), '--from', String(first), '--alone'];
      const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...args], { stdio: 'inherit' });
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? exitCodes.usage));
    });
  let next = from;
  let worst = 0;
  const inTurns = async (): Promise<void> => {
    while (next < from + seeds) {
      const first = next;
      next += daysEach;
      worst = Math.max(worst, await run(first));
    }
  };
  await Promise.all(Array.from({ length: workers }, inTurns));
  if (worst === 0) process.stdout.write(`${seeds} days, and nothing that must never be.\n`);
  return worst;
}

async function eachMutant(seeds: string): Promise<number> {
  let missed = 0;
  for (const { name, rule } of mutants) {
    const args = ['--seeds', seeds, '--first', '--mutant', name];
    const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    if (code !== exitCodes.broken) missed += 1;
    process.stdout.write(`${name} (${rule}): ${code === exitCodes.broken ? text.split('\n')[0] : 'not found'}\n`);
  }
  return missed > 0 ? exitCodes.broken : 0;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      alone: { type: 'boolean' },
      first: { type: 'boolean' },
      mutant: { type: 'string' },
      mutants: { type: 'boolean' },
    },
  });
  if (values.mutants === true) return eachMutant(values.seeds ?? '1000');
  if (values.mutant !== undefined) {
    const mutant = mutants.find(({ name }) => name === values.mutant);
    if (mutant === undefined)
      throw new Misuse(
        `there is no mutant "${values.mutant}"; there are ${mutants.map(({ name }) => name).join(', ')}.`,
      );
    breakRule(mutant);
  }
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
  if (values.alone !== true && values.first !== true) return manyDays(from, seeds);
  return (await inTurn(from, seeds, values.first !== true)) > 0 ? exitCodes.broken : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Misuse) && !(error instanceof TypeError)) throw error;
  process.stderr.write(`script/simulate: ${error.message}\n`);
  process.exitCode = exitCodes.usage;
}
