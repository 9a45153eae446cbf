/**
 * A day that has a name, as a folder that reads like a document: README.md says what happens and why it matters,
 * fleet.json has the hosts, guests and the link, steps.json the commands and faults, log.txt everything that happened.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { liveDay, type Day } from './day.ts';
import type { DayPlan, Step } from './steps.ts';

/** A folder that is none; the message is one sentence that names the file. */
export class NoScenario extends Error {}

export interface Scenario {
  readonly plan: DayPlan;
  /** What happened when it was recorded. */
  readonly log: string;
}

/** What a step may name. */
interface NamesIn {
  readonly host?: string;
  readonly hosts?: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly vm?: string;
}

const textOf = (folder: string, file: string): string => {
  try {
    return readFileSync(join(folder, file), 'utf8');
  } catch {
    throw new NoScenario(
      `the scenario ${folder} has no ${file}; it needs README.md, fleet.json, steps.json and log.txt.`,
    );
  }
};

const jsonOf = (folder: string, file: string): unknown => {
  const text = textOf(folder, file);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new NoScenario(`${join(folder, file)} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
};

export function readScenario(folder: string): Scenario {
  textOf(folder, 'README.md');
  const fleet = jsonOf(folder, 'fleet.json') as Omit<DayPlan, 'steps'>;
  const steps = jsonOf(folder, 'steps.json') as readonly Step[];
  const hosts = new Set(fleet.hosts.map(({ name }) => name));
  const guests = [...fleet.guests, ...(fleet.later ?? [])];
  const vms = new Set(guests.map(({ name }) => name));
  const must = (known: ReadonlySet<string>, noun: string, name: string | undefined, file: string): void => {
    if (name === undefined || known.has(name)) return;
    const all = [...known].join(', ');
    throw new NoScenario(`${join(folder, file)} names the ${noun} ${name}, and the fleet has only ${all}.`);
  };
  for (const { host } of guests) must(hosts, 'host', host, 'fleet.json');
  for (const step of steps) {
    const { host, hosts: several = [], from, to, vm } = step as NamesIn;
    for (const each of [host, ...several, from, to]) must(hosts, 'host', each, 'steps.json');
    for (const each of [vm, step.when?.vm]) must(vms, 'VM', each, 'steps.json');
  }
  return { plan: { ...fleet, steps }, log: textOf(folder, 'log.txt') };
}

export const liveScenario = ({ plan }: Scenario): Promise<Day> => liveDay(plan, 1);
