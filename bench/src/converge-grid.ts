// What `script/bench converge` runs and how it judges: six busy guests, the contenders, and who of them may do as much
// as Ferry's default. Pure: no lab, no clock.
import { median } from './report.ts';

/** Bandwidth limit of each contender, MiB/s. */
export const BANDWIDTH = 32;
/** The hosts' links, a little above, so that the last pass and post-copy, which QEMU does not cap, are bounded too. */
export const LINK_MBIT = 300;
export const FILLED_MIB = 256;

/** Rates are multiples of the link: 0.1 to 4. */
const cellLoads = {
  calm: 'W=64,D=3.2',
  half: 'W=128,D=16',
  near: 'W=192,D=28.8',
  // what is left in the end is the hot set: more than 100 ms of the link, less than 300
  'small-hot-set': 'W=8,D=64,C=64,E=3.2',
  'hot-set': 'W=64,D=64',
  flood: 'W=192,D=128',
} as const;
export type CellName = keyof typeof cellLoads;
export const cellNames = Object.keys(cellLoads) as CellName[];
export const workloadOf = (cell: CellName): string => `sector:V=${FILLED_MIB},${cellLoads[cell]}`;

const presets = [
  'harvester',
  'kubevirt',
  'nova',
  'ovirt-minimal-downtime',
  'ovirt-post-copy',
  'ovirt-suspend',
  'ovirt-very-large',
  'cloudpods',
  'proxmox',
  'vmmanager',
  'rhel-postcopy',
] as const;
const virshFlags: Readonly<Record<string, readonly string[]>> = {
  virsh: [],
  'virsh-auto-converge': ['--auto-converge'],
  // two first passes
  'virsh-post-copy': ['--postcopy', '--timeout', '16', '--timeout-postcopy'],
};
/** Ferry as it comes. */
export const DEFAULT = 'ferry';
export const contenderNames: readonly string[] = [
  ...Object.keys(virshFlags),
  DEFAULT,
  ...presets.map((name) => `ferry:${name}`),
];

export type How =
  | { readonly tool: 'virsh'; readonly flags: readonly string[] }
  | { readonly tool: 'ferry'; readonly policy?: string };

export function howOf(contender: string): How {
  const flags = virshFlags[contender];
  if (flags !== undefined) return { tool: 'virsh', flags };
  const policy = contender.split(':')[1];
  return { tool: 'ferry', ...(policy === undefined ? {} : { policy }) };
}

/**
 * They pause for the switchover up to a limit and go to post-copy, as Ferry's default does; they neither throttle,
 * pause nor power off.
 */
const EQUALS: readonly string[] = [
  'virsh',
  'virsh-post-copy',
  'ferry:harvester',
  'ferry:kubevirt',
  'ferry:nova',
  'ferry:rhel-postcopy',
];

/** What the quick run takes of both. */
export const quickCells: readonly CellName[] = ['calm', 'hot-set'];
export const quickContenders: readonly string[] = ['virsh', 'virsh-post-copy', DEFAULT];

export interface Run {
  /** The guest runs on the target and the tool said so, within the limit. */
  readonly finished: boolean;
  readonly totalMs: number;
  /** libvirt's figure; NaN where it has none. */
  readonly downtimeMs: number;
  /** The longest silence of the guest's serial line. */
  readonly silenceMs: number;
  /** Share of its pace that the guest lost while it was moved, 0 to 1. */
  readonly slowdown: number;
  readonly restarted: boolean;
  readonly damagedPages: number;
}

export type Runs = ReadonlyMap<CellName, ReadonlyMap<string, readonly Run[]>>;

export interface Summary {
  readonly share: number;
  /** Medians of the runs that finished; NaN without any. */
  readonly totalMs: number;
  readonly downtimeMs: number;
  readonly silenceMs: number;
  /** Of all runs: one that does not finish slows the guest too. */
  readonly slowdown: number;
  readonly restarted: number;
  readonly damagedPages: number;
}

export function summaryOf(runs: readonly Run[]): Summary {
  const finished = runs.filter((run) => run.finished);
  const of = (key: 'totalMs' | 'downtimeMs' | 'silenceMs', from: readonly Run[]): number =>
    median(from.map((run) => run[key]));
  return {
    share: finished.length / runs.length,
    totalMs: of('totalMs', finished),
    downtimeMs: of('downtimeMs', finished),
    silenceMs: of('silenceMs', finished),
    slowdown: median(runs.map(({ slowdown }) => slowdown)),
    restarted: runs.filter(({ restarted }) => restarted).length,
    damagedPages: runs.reduce((sum, { damagedPages }) => sum + damagedPages, 0),
  };
}

export interface Verdict {
  /** Cells that an equal finishes more often than Ferry's default. */
  readonly unfinished: readonly string[];
  /** Equals that are more than 5 % better in time and in the guest's silence at once. */
  readonly better: readonly string[];
}

const MARGIN = 0.95;

/** Undefined when the default or all of its equals did not run. */
export function judge(runs: Runs): Verdict | undefined {
  const unfinished: string[] = [];
  const better: string[] = [];
  let compared = 0;
  for (const [cell, contenders] of runs) {
    const own = contenders.get(DEFAULT);
    if (own === undefined) continue;
    const ours = summaryOf(own);
    for (const equal of EQUALS) {
      const their = contenders.get(equal);
      if (their === undefined) continue;
      compared += 1;
      const theirs = summaryOf(their);
      if (theirs.share > ours.share) unfinished.push(`${cell}: ${equal} finishes ${theirs.share}, Ferry ${ours.share}`);
      if (theirs.totalMs < MARGIN * ours.totalMs && theirs.silenceMs < MARGIN * ours.silenceMs)
        better.push(
          `${cell}: ${equal} ${Math.round(theirs.totalMs)} ms and ${Math.round(theirs.silenceMs)} ms, ` +
            `Ferry ${Math.round(ours.totalMs)} ms and ${Math.round(ours.silenceMs)} ms`,
        );
    }
  }
  return compared === 0 ? undefined : { unfinished, better };
}
