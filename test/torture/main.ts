/**
 * `script/torture`: scenarios from seeds, on three real hosts, until all are done or the first failure (with
 * `--keep-going`, past failures). A failure is printed with the command that reproduces it.
 */
import { parseArgs } from 'node:util';
import { tortured } from './run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string', multiple: true },
    only: { type: 'string' },
    'no-shrink': { type: 'boolean' },
    full: { type: 'boolean' },
    'keep-going': { type: 'boolean' },
    show: { type: 'boolean' },
  },
});
const whole = (name: string, text: string): number => {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) {
    process.stderr.write(`script/torture: --${name} takes a whole number, not "${text}".\n`);
    process.exit(2);
  }
  return number;
};
const named = (values.seed ?? []).map((text) => whole('seed', text));
const count =
  values.seeds !== undefined ? whole('seeds', values.seeds) : values.full === true ? Number.POSITIVE_INFINITY : 20;
const first = named[0] ?? Math.floor(Math.random() * 2 ** 31);
const inTurn = values.seeds !== undefined || values.full === true || named.length === 0;
const { faults } = await tortured({
  ...(values.only === undefined ? {} : { only: values.only.split(',') }),
  // a try takes some seconds
  tries: values['no-shrink'] === true ? 0 : 40,
  seeds: inTurn ? from(first, count) : named,
  keepGoing: values['keep-going'] === true || values.full === true,
  show: values.show === true,
  say: (line) => process.stdout.write(`${line}\n`),
});
process.exitCode = faults === 0 ? 0 : 1;

function* from(seed: number, count: number): Iterable<number> {
  for (let ran = 0; ran < count; ran += 1) yield seed + ran;
}
