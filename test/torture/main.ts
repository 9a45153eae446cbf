/**
 * `script/torture`: scenarios out of seeds, on three real hosts, until all are done or the first fault (`--keep-going`:
 * all the same). A fault is printed with the command that shows it again.
 */
import { parseArgs } from 'node:util';
import { tortured } from './run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
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
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : whole('seed', values.seed);
const count =
  values.seeds !== undefined
    ? whole('seeds', values.seeds)
    : values.full === true
      ? Number.POSITIVE_INFINITY
      : values.seed === undefined
        ? 20
        : 1;
const { faults } = await tortured({
  first,
  count,
  keepGoing: values['keep-going'] === true || values.full === true,
  show: values.show === true,
  say: (line) => process.stdout.write(`${line}\n`),
});
process.exitCode = faults === 0 ? 0 : 1;
