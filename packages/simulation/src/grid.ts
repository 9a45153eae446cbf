/**
 * Every policy on a grid of busy guests: working sets from what the link carries in a twentieth of a second up to all
 * of memory, dirtied at a tenth to four times what the link carries. Pure. virsh is modelled as a policy, so that all
 * contenders use the same model and the same samples.
 */
import { presets, type PolicyContent } from '@ferry/core';
import { steadyLink } from './link.ts';
import { run, type Run } from './run.ts';

const mib = 1_048_576;
/**
 * Bandwidth limit of each contender, and capacity of the link: QEMU does not limit the last pass, and virsh does not
 * limit post-copy.
 */
export const bandwidthMiB = 100;
export const linkMiB = 110;
export const memoryMiB = 4_096;
/** Time limit of a run, ms. */
const watchMs = 3_600_000;

export interface Cell {
  /** In seconds of the bandwidth. */
  readonly setSeconds: number;
  /** In multiples of the bandwidth. */
  readonly dirty: number;
}

export const setSizes: readonly number[] = [0.05, 0.1, 0.2, 0.35, 0.5, 1, 2, 4, 10, 20, memoryMiB / bandwidthMiB];
export const dirtyRates: readonly number[] = [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.25, 1.5, 2, 3, 4];
export const gridCells: readonly Cell[] = setSizes.flatMap((setSeconds) =>
  dirtyRates.map((dirty) => ({ setSeconds, dirty })),
);

const plain: PolicyContent = {
  description: 'What virsh does by itself.',
  downtime: { initialMs: 300, limitMs: 300 },
  steps: [],
  postCopy: 'never',
  singleCopy: 'guard',
  twoCopies: 'alarm',
  unknownSharing: 'refuse',
};
const twoPassesMs = (2 * memoryMiB * 1_000) / bandwidthMiB;

/** Ferry as it comes. */
export const ours = 'ferry';
export const contenders: ReadonlyMap<string, PolicyContent> = new Map<string, PolicyContent>([
  ['virsh', plain],
  ['virsh-auto-converge', { ...plain, throttle: { initialPercent: 20, incrementPercent: 10 } }],
  [
    'virsh-post-copy',
    { ...plain, postCopy: 'allowed', steps: [{ when: 'elapsed', ms: twoPassesMs, do: 'post-copy' }] },
  ],
  ...[...presets].map(([name, preset]): [string, PolicyContent] => [
    name === 'default' ? ours : `ferry:${name}`,
    preset,
  ]),
]);

/**
 * They pause for the switchover and go to post-copy, as Ferry's default may; they neither throttle, pause nor power
 * off.
 */
export const isEqual = ({ throttle, steps }: PolicyContent): boolean =>
  throttle === undefined && steps.every((step) => step.do !== 'pause' && step.do !== 'power-off');

export type Outcome = Pick<Run, 'end' | 'totalMs' | 'downtimeMs' | 'highestThrottle'> & { readonly finished: boolean };

export function runCell({ setSeconds, dirty }: Cell, content: PolicyContent, unlimitedPostCopy = false): Outcome {
  const memory = {
    totalBytes: memoryMiB * mib,
    sets: [
      { bytes: Math.min(memoryMiB, setSeconds * bandwidthMiB) * mib, dirtyBytesPerSecond: dirty * bandwidthMiB * mib },
    ],
  };
  const { end, totalMs, downtimeMs, highestThrottle } = run({
    guest: { memory },
    link: steadyLink(linkMiB * mib),
    policy: { ...content, bandwidthMiBPerSecond: bandwidthMiB },
    recoverable: true,
    watchMs,
    ...(unlimitedPostCopy ? { unlimitedPostCopy } : {}),
  });
  return { end, totalMs, downtimeMs, highestThrottle, finished: end !== 'given-up' && end !== 'unfinished' };
}

export type Grid = ReadonlyMap<string, readonly { readonly cell: Cell; readonly outcome: Outcome }[]>;

export const runGrid = (cells: readonly Cell[] = gridCells, names: readonly string[] = [...contenders.keys()]): Grid =>
  new Map(
    names.map((name) => {
      const content = contenders.get(name);
      if (content === undefined) throw new Error(`there is no contender ${name}`);
      return [name, cells.map((cell) => ({ cell, outcome: runCell(cell, content, name.startsWith('virsh')) }))];
    }),
  );

export interface Verdict {
  /** Cells that Ferry's default does not finish. */
  readonly unfinished: readonly Cell[];
  /** Equals that are more than 5 % better in time and in downtime at once. */
  readonly better: readonly {
    readonly cell: Cell;
    readonly name: string;
    readonly theirs: Outcome;
    readonly ours: Outcome;
  }[];
}

const margin = 0.95;

export function judgeGrid(grid: Grid): Verdict {
  const own = grid.get(ours) ?? [];
  const better = [...grid]
    .filter(([name]) => name !== ours && isEqual(contenders.get(name) ?? plain))
    .flatMap(([name, cells]) =>
      cells.flatMap(({ cell, outcome: theirs }, index) => {
        const mine = own[index]?.outcome;
        return mine !== undefined &&
          theirs.finished &&
          theirs.totalMs < margin * mine.totalMs &&
          theirs.downtimeMs < margin * mine.downtimeMs
          ? [{ cell, name, theirs, ours: mine }]
          : [];
      }),
    );
  return { unfinished: own.filter(({ outcome }) => !outcome.finished).map(({ cell }) => cell), better };
}
