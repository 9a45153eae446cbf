/** Seeds one after the other on one lab of three hosts with one control plane. */
import { messageOf, shortenPatience, temporaryLab, type LabRef } from '@ferry/lab';
import { controlPlane, type ControlPlane } from '../control-plane.ts';
import { accessTo } from '../fleet.ts';
import { prepareHosts } from './build.ts';
import { execute, type Outcome } from './execute.ts';
import { scenarioOf } from './generate.ts';
import { torturedHosts } from './scenario.ts';

export interface TortureOptions {
  readonly first: number;
  readonly count: number;
  readonly keepGoing: boolean;
  /** Prints each scenario. */
  readonly show: boolean;
  readonly say: (line: string) => void;
}

export async function tortured({
  first,
  count,
  keepGoing,
  show,
  say,
}: TortureOptions): Promise<{ readonly ran: number; readonly faults: number }> {
  await using temporary = await temporaryLab({ hosts: torturedHosts.length });
  await using plane = await tortureReady(temporary.lab, accessTo(temporary), temporary.status.hosts);
  let faults = 0;
  let ran = 0;
  for (let seed = first; ran < count; seed += 1, ran += 1) {
    const began = performance.now();
    if (show) say(JSON.stringify(scenarioOf(seed), undefined, 1));
    const { faults: found, steps } = await outcomeOf(temporary.lab, plane, seed);
    say(
      `seed ${seed}: ${found.length === 0 ? 'holds' : 'DOES NOT HOLD'} ` +
        `(${((performance.now() - began) / 1000).toFixed(1)} s)${steps.map((step) => `\n  ${step}`).join('')}`,
    );
    if (found.length === 0) continue;
    faults += 1;
    say([...found.map((fault) => `  FAULT ${fault}`), `  again: script/torture --seed ${seed}`].join('\n'));
    if (!keepGoing) return { ran: ran + 1, faults };
  }
  return { ran, faults };
}

export async function outcomeOf(lab: LabRef, plane: ControlPlane, seed: number): Promise<Outcome> {
  try {
    return await execute(lab, plane, scenarioOf(seed));
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
