/** CPUs and NUMA nodes of the host to which a guest is bound, which every host numbers for itself. Pure. */
import type { NumaNode } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import { factsOf, memoryNeeded, sourceOf } from '../check-input.ts';
import { cpuSetOf, cpuSetText } from '../cpu-set.ts';
import { hostCheck } from './check.ts';

const lacking = (sets: readonly string[], there: ReadonlySet<number>): readonly number[] =>
  [...new Set(sets.flatMap((set) => [...cpuSetOf(set)]))].filter((each) => !there.has(each));

const shapeOf = (nodes: readonly NumaNode[]): string => nodes.map(({ id, cpus }) => `${id}: ${cpus}`).join('; ');

export const pinning = hostCheck({
  name: 'pinning',
  codes: ['target-pinning', 'target-numa'],
  find: ({ input, target: { host, facts } }) => {
    const { cpuSets = [], nodeSets = [] } = factsOf(input).hardware;
    const there = facts?.nodes;
    if (there === undefined || memoryNeeded(input) === 0 || cpuSets.length + nodeSets.length === 0) return [];
    const name = input.vm.name;
    const cpus = lacking(cpuSets, new Set(there.flatMap((node) => [...cpuSetOf(node.cpus)])));
    const nodes = lacking(nodeSets, new Set(there.map(({ id }) => id)));
    const reasons: Reason[] = [];
    const lacks = (what: string, missing: readonly number[]): void =>
      void reasons.push({
        code: 'target-pinning',
        host: host.name,
        message: `${name} is bound to the ${what} ${cpuSetText(missing)} of its host, which ${host.name} does not have.`,
        remedy: `Change the binding (virsh vcpupin, virsh numatune), or choose a host that has them.`,
      });
    if (cpus.length > 0) lacks('CPUs', cpus);
    if (nodes.length > 0) lacks('NUMA nodes', nodes);
    const source = sourceOf(input);
    const here = source?.facts?.nodes;
    if (reasons.length === 0 && source !== undefined && here !== undefined && shapeOf(here) !== shapeOf(there))
      reasons.push({
        code: 'target-numa',
        host: host.name,
        message:
          `${name} is bound to CPUs or NUMA nodes, and ${host.name} has other ones (${shapeOf(there)}) than ` +
          `${source.host.name} (${shapeOf(here)}): it may be slower there.`,
        remedy: 'Choose a host with the same NUMA nodes.',
      });
    return reasons;
  },
});
