/** What script/simulate was asked for, out of its arguments; what they get wrong is one sentence each. Pure. */

const usage = 'use --seeds N [--from S], --seed S [--only I,J], --scenario FOLDER or --mutants [--seeds N].';

export class Misuse extends Error {}

export type Asked =
  | { readonly what: 'mutants'; readonly seeds: number }
  | { readonly what: 'scenario'; readonly folder: string }
  | { readonly what: 'day'; readonly seed: number; readonly only?: readonly number[]; readonly mutant?: string }
  | {
      readonly what: 'days';
      readonly from: number;
      readonly seeds: number;
      readonly mutant?: string;
      /** Of its own processes: starts no further ones. */
      readonly alone: boolean;
      /** Stops at the first bad day. */
      readonly first: boolean;
    };

function numberOf(name: string, text: string, least = 0): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least)
    throw new Misuse(`--${name} must be a whole number from ${least} to 999999999, not "${text}".`);
  return Number(text);
}

const options = {
  seeds: 'value',
  from: 'value',
  seed: 'value',
  only: 'value',
  mutant: 'value',
  mutants: 'flag',
  scenario: 'value',
  alone: 'flag',
  first: 'flag',
} as const;
type Option = keyof typeof options;
const isOption = (name: string): name is Option => Object.hasOwn(options, name);

/** `--name value`, `--name=value` or `--name`; a value may begin with a dash, to be named as what it is. */
function read(args: readonly string[]): Partial<Record<Option, string>> {
  const given: Partial<Record<Option, string>> = {};
  for (let at = 0; at < args.length; at += 1) {
    const [, name = '', , value] = /^--([^=]+)(=(.*))?$/.exec(args[at] ?? '') ?? [];
    if (name === '') throw new Misuse(`"${args[at]}" belongs to no option; ${usage}`);
    if (!isOption(name)) throw new Misuse(`unknown option "--${name}"; ${usage}`);
    const took = value ?? (options[name] === 'flag' ? '' : args[(at += 1)]);
    if (took === undefined) throw new Misuse(`--${name} needs a value.`);
    given[name] = took;
  }
  return given;
}

export function asking(args: readonly string[]): Asked {
  const given = read(args);
  if (given.mutants !== undefined) return { what: 'mutants', seeds: numberOf('seeds', given.seeds ?? '1000', 1) };
  if (given.scenario !== undefined) return { what: 'scenario', folder: given.scenario };
  const broken = given.mutant === undefined ? {} : { mutant: given.mutant };
  if (given.seed !== undefined) {
    const only = given.only?.split(',').map((each) => numberOf('only', each));
    return {
      what: 'day',
      seed: numberOf('seed', given.seed),
      ...(only === undefined ? {} : { only }),
      ...broken,
    };
  }
  if (given.seeds === undefined) throw new Misuse(usage);
  return {
    what: 'days',
    from: numberOf('from', given.from ?? '1'),
    seeds: numberOf('seeds', given.seeds, 1),
    alone: given.alone !== undefined,
    first: given.first !== undefined,
    ...broken,
  };
}
