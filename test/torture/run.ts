/** Seeds one after the other on one lab of three hosts with one control plane. */
import { messageOf, shortenPatience, temporaryLab, whenStopped, type LabRef } from '@ferry/lab';
import { controlPlane, type ControlPlane } from '../control-plane.ts';
import { accessTo } from '../fleet.ts';
import { prepareHosts } from './build.ts';
import { execute, type Outcome } from './execute.ts';
import { scenarioOf } from './generate.ts';
import { torturedHosts, type Scenario } from './scenario.ts';
import { only, shrink } from './shrink.ts';

export interface TortureOptions {
  readonly seeds: Iterable<number>;
  /** Of each of them; absent: all. */
  readonly only?: readonly string[];
  /** So many tries to find the least that still fails. */
  readonly tries: number;
  readonly keepGoing: boolean;
  /** Prints each scenario. */
  readonly show: boolean;
  readonly say: (line: string) => void;
}

export async function tortured({
  seeds,
  only: kept,
  tries,
  keepGoing,
  show,
  say,
}: TortureOptions): Promise<{ readonly ran: number; readonly faults: number }> {
  // the lab goes at once then, and what is missed in it is no fault
  using stopping = whenStopped(() => undefined);
  await using temporary = await temporaryLab({ hosts: torturedHosts.length });
  await using plane = await tortureReady(temporary.lab, accessTo(temporary), temporary.status.hosts);
  let faults = 0;
  let ran = 0;
  for (const seed of seeds) {
    ran += 1;
    const began = performance.now();
    const scenario = kept === undefined ? scenarioOf(seed) : only(scenarioOf(seed), kept);
    if (show) say(JSON.stringify(scenario, undefined, 1));
    const { faults: found, steps } = await outcomeOf(temporary.lab, plane, scenario);
    if (stopping.signal.aborted) break;
    say(
      `seed ${seed}: ${found.length === 0 ? 'holds' : 'DOES NOT HOLD'} ` +
        `(${((performance.now() - began) / 1000).toFixed(1)} s)${steps.map((step) => `\n  ${step}`).join('')}`,
    );
    if (found.length === 0) continue;
    faults += 1;
    say([...found.map((fault) => `  FAULT ${fault}`), `  again: ${again(seed, kept)}`].join('\n'));
    if (kept === undefined && tries > 0) {
      const least = await shrink(
        scenario,
        found,
        async (less) => (await outcomeOf(temporary.lab, plane, less)).faults,
        tries,
      );
      say(
        [
          `  the least of it (${least.tries} tries): ${again(seed, least.kept)}`,
          ...least.faults.map((fault) => `  FAULT ${fault}`),
        ].join('\n'),
      );
    }
    if (!keepGoing) return { ran, faults };
  }
  return { ran, faults };
}

const again = (seed: number, kept: readonly string[] | undefined): string =>
  `script/torture --seed ${seed}${kept === undefined ? '' : ` --only ${kept.join(',')}`}`;

export async function outcomeOf(lab: LabRef, plane: ControlPlane, scenario: Scenario): Promise<Outcome> {
  try {
    return await execute(lab, plane, scenario);
  } catch (error) {
    return { faults: [`it could not be carried out: ${lastOf(messageOf(error))}`], steps: [] };
  }
}

export async function tortureReady(
  lab: LabRef,
  access: readonly string[],
  hosts: readonly { readonly uri: string; readonly name: string }[],
): Promise<ControlPlane> {
  for (const host of torturedHosts) await shortenPatience(lab, host);
  await prepareHosts(lab);
  const plane = await controlPlane(...access);
  for (const { uri, name } of hosts) await plane.json('host', 'add', uri, '--name', name);
  return plane;
}

/** A script that failed is shown by its end, where it says why. */
const lastOf = (message: string): string => (message.length > 600 ? `… ${message.slice(-500)}` : message);
