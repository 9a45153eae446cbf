/**
 * script/simulate: days of the real engine over simulated hosts. Prints what must never be, and the command that shows
 * it again.
 *   script/simulate --seeds N [--from S]    N days, from seed S on (1)
 *   script/simulate --mutants [--seeds N]   which seed finds each broken safety rule
 *   script/simulate --seed S [--only I,J]   one day with everything that happens; of its steps only these
 *   script/simulate --scenario FOLDER       a day that has a name; its log is recorded in the folder
 */
import { spawn } from 'node:child_process';
import { asking, Misuse } from './asking.ts';
import { breakRule, mutants, type Mutant } from './mutants.ts';

/** Loaded once it is known whether a rule of core is to be broken. */
const days = async () => await import('./shrink.ts');

const exitCodes = { broken: 1, usage: 2 } as const;

async function oneDay(seed: number, only: readonly number[] | undefined): Promise<number> {
  const { dayOf, planOf } = await days();
  const last = planOf(seed).steps.length - 1;
  const missing = only?.find((each) => each > last);
  if (missing !== undefined) throw new Misuse(`day ${seed} has the steps 0 to ${last}, and no step ${missing}.`);
  const day = await dayOf(seed, only);
  process.stdout.write(`${day.log.join('\n')}\n`);
  return day.broken.length > 0 ? exitCodes.broken : 0;
}

/** Days in this process, one after the other. */
async function inTurn(
  from: number,
  seeds: number,
  { shrinks, mutant }: { readonly shrinks: boolean; readonly mutant: Mutant | undefined },
): Promise<number> {
  const { dayOf, shrink } = await days();
  const command = (seed: number): string =>
    `script/simulate --seed ${seed}${mutant === undefined ? '' : ` --mutant ${mutant.name}`}`;
  let bad = 0;
  for (let seed = from; seed < from + seeds; seed += 1) {
    const { broken } = await dayOf(seed);
    const [first] = broken;
    if (first === undefined) continue;
    bad += 1;
    process.stdout.write(`seed ${seed}: ${first}\n  ${command(seed)}\n`);
    if (!shrinks) return bad;
    const left = await shrink(seed, first);
    process.stdout.write(`  in ${left.length} steps: ${command(seed)} --only ${left.join(',')}\n`);
  }
  return bad;
}

/** What days in a process of their own print, and its exit code. Whatever else ends it is an error. */
async function apart(
  args: readonly string[],
  passesOn: boolean,
): Promise<{ readonly bad: boolean; readonly text: string }> {
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString();
    if (passesOn) process.stdout.write(piece);
  });
  const ended = await new Promise<number | string | null>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal)),
  );
  const isBad = ended === exitCodes.broken && text.startsWith('seed ');
  if (ended !== 0 && !isBad) throw new Error(`the days of ${args.join(' ')} broke off (${String(ended)}).`);
  return { bad: isBad, text };
}

/** Two at a time, for two cores. */
async function allOf<T>(list: readonly T[], act: (each: T) => Promise<void>): Promise<void> {
  const waiting = [...list];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await act(next);
  };
  await Promise.all([work(), work()]);
}

/** A new process every so often: what a killed control plane waits for is never freed. */
const daysEach = 25;
async function manyDays(from: number, seeds: number, mutant: Mutant | undefined): Promise<number> {
  let bad = false;
  const firsts = Array.from({ length: Math.ceil(seeds / daysEach) }, (_, index) => from + index * daysEach);
  await allOf(firsts, async (first) => {
    const count = Math.min(daysEach, from + seeds - first);
    const broken = mutant === undefined ? [] : ['--mutant', mutant.name];
    const ended = await apart(['--seeds', String(count), '--from', String(first), '--alone', ...broken], true);
    bad ||= ended.bad;
  });
  if (bad) return exitCodes.broken;
  process.stdout.write(`${seeds} days, and nothing that must never be.\n`);
  return 0;
}

async function eachMutant(seeds: number): Promise<number> {
  let missed = 0;
  await allOf(mutants, async ({ name, rule }) => {
    const { bad, text } = await apart(['--seeds', String(seeds), '--first', '--mutant', name], false);
    if (!bad) missed += 1;
    process.stdout.write(`${name} (${rule}): ${bad ? text.split('\n')[0] : 'not found'}\n`);
  });
  return missed > 0 ? exitCodes.broken : 0;
}

/** Prints its log: what is recorded in log.txt. */
async function aScenario(folder: string): Promise<number> {
  const { liveScenario, NoScenario, readScenario } = await import('./scenario.ts');
  try {
    const { log, broken } = await liveScenario(readScenario(folder));
    process.stdout.write(`${log.join('\n')}\n`);
    return broken.length > 0 ? exitCodes.broken : 0;
  } catch (error) {
    throw error instanceof NoScenario ? new Misuse(error.message) : error;
  }
}

async function main(): Promise<number> {
  const asked = asking(process.argv.slice(2));
  if (asked.what === 'mutants') return eachMutant(asked.seeds);
  if (asked.what === 'scenario') return aScenario(asked.folder);
  const mutant = asked.mutant === undefined ? undefined : mutantNamed(asked.mutant);
  if (mutant !== undefined) breakRule(mutant);
  if (asked.what === 'day') return oneDay(asked.seed, asked.only);
  const { from, seeds, alone, first } = asked;
  if (!alone && !first) return manyDays(from, seeds, mutant);
  return (await inTurn(from, seeds, { shrinks: !first, mutant })) > 0 ? exitCodes.broken : 0;
}

function mutantNamed(name: string): Mutant {
  const mutant = mutants.find((each) => each.name === name);
  if (mutant === undefined) throw new Misuse(`there is no mutant "${name}"; --mutants names them all.`);
  return mutant;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Misuse)) throw error;
  process.stderr.write(`script/simulate: ${error.message}\n`);
  process.exitCode = exitCodes.usage;
}
