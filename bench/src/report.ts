// What every benchmark says in the same words: medians with their spread, paired ratios with a confidence interval, the
// machine, and the closing line. Pure but for reading facts about the machine and writing that line.
import { cpus, release, totalmem } from 'node:os';

export interface Spread {
  readonly median: number;
  readonly p25: number;
  readonly p75: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

export interface Estimate {
  readonly median: number;
  /** The 95 % interval of the median. */
  readonly low: number;
  readonly high: number;
}

export interface Target {
  /** What is measured, in a few words. */
  readonly what: string;
  readonly value: number;
  readonly atMost: number;
  /** The control: the reference measured against itself in the same run. */
  readonly control?: Estimate;
}

/**
 * `undecided`: Ferry exceeds the limit, and so may the control: the machine is too noisy to tell. It does not count as
 * met.
 */
export type Verdict = 'met' | 'not-met' | 'undecided';

export function verdictOf({ value, atMost, control }: Target): Verdict {
  // a figure that is missing (NaN) meets nothing
  if (value <= atMost) return 'met';
  return control !== undefined && control.high > atMost && !Number.isNaN(value) ? 'undecided' : 'not-met';
}

export interface Result {
  readonly name: string;
  readonly figures: Readonly<Record<string, unknown>>;
  readonly targets: Readonly<Record<string, Target>>;
  readonly met: boolean;
  readonly machine: Readonly<Record<string, unknown>>;
}

/** Linear interpolation between the two nearest values. `share` is 0 to 1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function spread(values: readonly number[]): Spread {
  const round = (share: number): number => rounded(quantile(values, share));
  return { median: round(0.5), p25: round(0.25), p75: round(0.75), min: round(0), max: round(1), count: values.length };
}

const RESAMPLES = 5000;

/** The median with its 95 % bootstrap interval (percentile method). The same values always give the same interval. */
export function estimate(values: readonly number[]): Estimate {
  let seed = 0x2545_f491;
  const random = (): number => {
    // xorshift32: good enough to draw with, and repeatable
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
  };
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN)),
  );
  return {
    median: rounded(median(values)),
    low: rounded(quantile(medians, 0.025)),
    high: rounded(quantile(medians, 0.975)),
  };
}

/** a[i] / b[i], for runs that were made in turns. */
export function pairedRatios(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length !== b.length) throw new RangeError(`${a.length} runs cannot be paired with ${b.length}`);
  return a.map((value, index) => value / (b[index] ?? Number.NaN));
}

/** Three decimals: more would pretend. */
export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function machineFacts(): Readonly<Record<string, unknown>> {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

export function makeResult(
  name: string,
  figures: Result['figures'],
  targets: Result['targets'],
  machine: Result['machine'] = {},
): Result {
  const met = Object.values(targets).every((target) => verdictOf(target) === 'met');
  return { name, figures, targets, met, machine: { ...machineFacts(), ...machine } };
}

const words: Readonly<Record<Verdict, string>> = { met: 'met', 'not-met': 'NOT MET', undecided: 'UNDECIDED' };

/** Exit codes of a benchmark; 2 is wrong use. */
const exits: Readonly<Record<Verdict, number>> = { met: 0, 'not-met': 1, undecided: 3 };

/** Of the worst verdict. */
export function exitOf({ targets }: Pick<Result, 'targets'>): number {
  const verdicts = new Set(Object.values(targets).map(verdictOf));
  return exits[(['not-met', 'undecided'] as const).find((each) => verdicts.has(each)) ?? 'met'];
}

/** Says whether the targets are met; with `json` the last line is the whole result. */
export function printResult(result: Result, options: { readonly json: boolean }): void {
  for (const target of Object.values(result.targets)) {
    const { what, value, atMost, control } = target;
    const against = control === undefined ? '' : `; control ${control.median} (${control.low} to ${control.high})`;
    process.stdout.write(
      `${words[verdictOf(target)].padEnd(9)}  ${what}: ${rounded(value)} (at most ${atMost}${against})\n`,
    );
  }
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
}
