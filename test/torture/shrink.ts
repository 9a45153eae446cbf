/**
 * A scenario with less in it: its parts by name, so that a few of them can be kept on a command line, and the search
 * for the few without which it does not fail any more. Who judges is an argument.
 */
import { chainOf, type Disk, type Image, type Scenario, type Step } from './scenario.ts';

/** A part that may be removed, with the part that it belongs to. */
interface Part {
  readonly name: string;
  readonly of?: string;
}

/** In the order in which it is tried: large things first. */
function partsOf({ vm, others, foreign, steps, small }: Scenario): readonly Part[] {
  const numbered = (what: string, list: readonly unknown[]): readonly Part[] =>
    list.map((_, index) => ({ name: `${what}${index + 1}` }));
  const given = (name: string, is: boolean): readonly Part[] => (is ? [{ name }] : []);
  return [
    ...numbered('step', steps).toReversed(),
    ...numbered('other', others),
    ...numbered('foreign', foreign),
    ...vm.disks.map(({ target }) => ({ name: target })),
    ...vm.media.map(({ device }) => ({ name: device })),
    ...steps.flatMap((step, index) =>
      stepParts(step).map((part) => ({ name: `${part}${index + 1}`, of: `step${index + 1}` })),
    ),
    ...given('nvram', vm.nvram !== undefined),
    ...given('tpm', vm.tpm === true),
    ...given('snapshot', vm.snapshot),
    ...given('share', vm.share),
    ...given('autostart', vm.autostart),
    ...given('small', small !== undefined),
    ...vm.disks.flatMap((disk) => diskParts(disk).map((part) => ({ name: `${disk.target}-${part}`, of: disk.target }))),
  ];
}

export const namesOf = (scenario: Scenario): readonly string[] => partsOf(scenario).map(({ name }) => name);

/** Of a step beside that it is one; each becomes a name with the step's number. */
const stepParts = (step: Step): readonly string[] => [
  ...(step.fault === undefined ? [] : ['fault']),
  ...(step.unmountShared === true ? ['unmounted'] : []),
  ...(step.bring === undefined ? [] : ['bring']),
  ...(step.dryRunFirst ? ['dry-run'] : []),
  ...(step.purge ? ['purge'] : []),
  ...optionsOf(step).map(([name = '']) => name.slice(2)),
];

/** An option and what belongs to it. */
function optionsOf({ options }: Pick<Step, 'options'>): readonly (readonly string[])[] {
  const groups: string[][] = [];
  for (const option of options)
    if (option.startsWith('--')) groups.push([option]);
    else groups.at(-1)?.push(option);
  return groups;
}

const diskParts = ({ image, chainWritten, spelled, in: where }: Disk): readonly string[] => [
  ...(image.base === undefined ? [] : ['base']),
  ...(chainWritten ? ['chain'] : []),
  ...(spelled === 'plain' ? [] : ['spelled']),
  ...(image.create.length === 0 ? [] : ['create']),
  ...(where === 'both' ? [] : ['in']),
];

/** What is left when only these parts are kept. Rejects a name that is no part of it. */
export function only(scenario: Scenario, kept: readonly string[]): Scenario {
  const known = namesOf(scenario);
  const strange = kept.filter((part) => !known.includes(part));
  if (strange.length > 0)
    throw new Error(`seed ${scenario.seed} has no ${strange.join(', ')}; it has: ${known.join(', ')}`);
  const has = (part: string): boolean => kept.includes(part);
  const { vm, small, ...rest } = scenario;
  const { nvram, tpm, ...bare } = vm;
  return {
    ...rest,
    others: scenario.others.filter((_, index) => has(`other${index + 1}`)),
    foreign: scenario.foreign.filter((_, index) => has(`foreign${index + 1}`)),
    steps: scenario.steps.flatMap((step, index) => (has(`step${index + 1}`) ? [lessOf(step, index + 1, has)] : [])),
    ...(small === undefined || !has('small') ? {} : { small }),
    vm: {
      ...bare,
      disks: vm.disks.filter(({ target }) => has(target)).map((disk) => plainer(disk, has)),
      media: vm.media.filter(({ device }) => has(device)),
      snapshot: vm.snapshot && has('snapshot'),
      share: vm.share && has('share'),
      autostart: vm.autostart && has('autostart'),
      ...(nvram === undefined || !has('nvram') ? {} : { nvram }),
      ...(tpm === undefined || !has('tpm') ? {} : { tpm }),
    },
  };
}

function lessOf({ fault, unmountShared, bring, ...step }: Step, number: number, has: (part: string) => boolean): Step {
  return {
    ...step,
    options: optionsOf(step)
      .filter(([name = '']) => has(`${name.slice(2)}${number}`))
      .flat(),
    dryRunFirst: step.dryRunFirst && has(`dry-run${number}`),
    purge: step.purge && has(`purge${number}`),
    ...(fault === undefined || !has(`fault${number}`) ? {} : { fault }),
    ...(unmountShared === undefined || !has(`unmounted${number}`) ? {} : { unmountShared }),
    ...(bring === undefined || !has(`bring${number}`) ? {} : { bring }),
  };
}

function plainer(disk: Disk, has: (part: string) => boolean): Disk {
  const keeps = (part: string): boolean => has(`${disk.target}-${part}`);
  const { base, ...alone } = disk.image;
  const image: Image = {
    ...alone,
    create: keeps('create') ? alone.create : [],
    ...(base === undefined || !keeps('base') ? {} : { base }),
  };
  return {
    ...disk,
    image,
    chainWritten: disk.chainWritten && keeps('chain') && chainOf(image).length > 1,
    spelled: keeps('spelled') ? disk.spelled : 'plain',
    in: keeps('in') ? disk.in : 'both',
  };
}

/** Faults of one kind differ in names, paths and numbers only. */
export const kindOf = (fault: string): string =>
  fault
    .split(': ')
    .slice(0, 2)
    .join(': ')
    .replaceAll(/\S*[/0-9]\S*/g, '…')
    .slice(0, 60);

export interface Shrunk {
  /** Parts that are left. */
  readonly kept: readonly string[];
  readonly faults: readonly string[];
  readonly tries: number;
}

/**
 * Drops one part after the other for as long as a fault of one of these kinds is still found, over and over until
 * nothing more goes, in at most `most` tries. `judge`: the faults of a scenario.
 */
export async function shrink(
  scenario: Scenario,
  faults: readonly string[],
  judge: (scenario: Scenario) => Promise<readonly string[]>,
  most: number,
): Promise<Shrunk> {
  const kinds = new Set(faults.map(kindOf));
  const parts = partsOf(scenario);
  let best: Omit<Shrunk, 'tries'> = { kept: namesOf(scenario), faults };
  let tries = 0;
  for (let dropped = true; dropped;) {
    dropped = false;
    for (const { name } of parts.filter((part) => best.kept.includes(part.name))) {
      // gone with what it was of
      if (!best.kept.includes(name)) continue;
      const kept = best.kept.filter((each) => each !== name && parts.find((part) => part.name === each)?.of !== name);
      const less = only(scenario, kept);
      if (less.vm.disks.length + less.vm.media.length === 0 || less.steps.length === 0) continue;
      if (tries === most) return { ...best, tries };
      tries += 1;
      const found = await judge(less);
      if (!found.some((fault) => kinds.has(kindOf(fault)))) continue;
      best = { kept, faults: found };
      dropped = true;
    }
  }
  return { ...best, tries };
}
