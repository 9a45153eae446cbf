/** Huge pages for the guest's memory: QEMU does not start on a host with too few free ones. Pure. */
import type { FreePages } from '../../model/hardware.ts';
import type { Reason } from '../../model/reasons.ts';
import { type CheckInput, factsOf, memoryNeeded } from '../check-input.ts';
import { cpuSetOf } from '../cpu-set.ts';
import { mib } from '../wait-reasons.ts';
import { hostCheck } from './check.ts';

/** The usual default of the architectures that have one. */
export const usualPageKiB = 2_048;

export const pageSizesOf = (input: CheckInput): readonly number[] => [
  ...new Set((factsOf(input).hardware.hugePages ?? []).map(({ sizeKiB = usualPageKiB }) => sizeKiB)),
];

const freeBytes = (pages: readonly FreePages[], sizeKiB: number, nodes: ReadonlySet<number> | undefined): number =>
  pages
    .filter((each) => each.sizeKiB === sizeKiB && (nodes === undefined || nodes.has(each.node)))
    .reduce((sum, { count }) => sum + count * sizeKiB * 1_024, 0);

/** What must be free: the whole memory where one size backs all of it, else a page of each. */
function missing(input: CheckInput, host: string, pages: readonly FreePages[]): readonly Reason[] {
  const { nodeSets = [] } = factsOf(input).hardware;
  const nodes = nodeSets.length === 0 ? undefined : new Set(nodeSets.flatMap((set) => [...cpuSetOf(set)]));
  const sizes = pageSizesOf(input);
  const [only] = sizes;
  return sizes.flatMap((sizeKiB): readonly Reason[] => {
    const needed = sizes.length === 1 && sizeKiB === only ? input.vm.memoryBytes : sizeKiB * 1_024;
    const free = freeBytes(pages, sizeKiB, nodes);
    if (free >= needed) return [];
    const where = nodes === undefined ? '' : ` on its nodes ${[...nodes].join(', ')}`;
    return [
      {
        code: 'target-huge-pages',
        host,
        message: `${host} has ${mib(free)} MiB free in pages of ${sizeKiB} KiB${where}, and ${input.vm.name} needs ${mib(needed)} MiB.`,
        remedy: `Allocate them there (virsh allocpages ${sizeKiB} COUNT), or choose another host.`,
      },
    ];
  });
}

export const hugePages = hostCheck({
  name: 'huge-pages',
  codes: ['target-huge-pages'],
  find: ({ input, target: { host } }) => {
    const pages = input.pages?.get(host.id);
    return pages === undefined || memoryNeeded(input) === 0 ? [] : missing(input, host.name, pages);
  },
});
