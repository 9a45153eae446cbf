/** Huge pages for the guest's memory: QEMU does not start on a host with too few free ones. Pure. */
import type { FreePages } from '../../model/hardware.ts';
import type { Reason } from '../../model/reasons.ts';
import { type CheckInput, factsOf, memoryNeeded } from '../check-input.ts';
import { cpuSetOf } from '../cpu-set.ts';
import { doubt } from '../doubt.ts';
import { mib } from '../wait-reasons.ts';
import { hostCheck } from './check.ts';

const pagesOf = (input: CheckInput) => factsOf(input).hardware.hugePages ?? [];

/** Those that the definition names: no host says what its default is. */
export const pageSizesOf = (input: CheckInput): readonly number[] => [
  ...new Set(pagesOf(input).flatMap(({ sizeKiB }) => sizeKiB ?? [])),
];

const freeBytes = (pages: readonly FreePages[], sizeKiB: number, nodes: ReadonlySet<number> | undefined): number =>
  pages
    .filter((each) => each.sizeKiB === sizeKiB && (nodes === undefined || nodes.has(each.node)))
    .reduce((sum, { count }) => sum + count * sizeKiB * 1_024, 0);

/** What must be free: the whole memory where one size backs all of it, else a page of each. */
function missing(input: CheckInput, host: string, pages: readonly FreePages[]): readonly Reason[] {
  const { strictNodes = [] } = factsOf(input).hardware;
  const nodes = strictNodes.length === 0 ? undefined : new Set(strictNodes.flatMap((set) => [...cpuSetOf(set)]));
  const [first, ...others] = pagesOf(input);
  const backsAll = others.length === 0 && first?.part !== true;
  return pageSizesOf(input).flatMap((sizeKiB): readonly Reason[] => {
    const needed = backsAll ? input.vm.memoryBytes : sizeKiB * 1_024;
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
  codes: ['target-huge-pages', 'target-huge-pages-unknown'],
  find: ({ input, target: { host } }) => {
    if (memoryNeeded(input) === 0) return [];
    const pages = input.pages?.get(host.id);
    const unnamed = pagesOf(input).some(({ sizeKiB }) => sizeKiB === undefined);
    return [
      ...(pages === undefined ? [] : missing(input, host.name, pages)),
      ...(unnamed
        ? [
            doubt(
              'target-huge-pages-unknown',
              host.name,
              `whether ${host.name} has enough free huge pages for ${input.vm.name}, whose definition names no size for them`,
              `On ${host.name}: grep Huge /proc/meminfo`,
            ),
          ]
        : []),
    ];
  },
});
