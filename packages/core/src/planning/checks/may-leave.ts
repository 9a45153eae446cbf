import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

/** What libvirt and QEMU say themselves: the reasons by which QEMU blocks a migration now, and a job of a disk. */
export const mayLeave = vmCheck({
  name: 'may-leave',
  codes: ['source-refuses', 'source-refuses-unknown'],
  find: (input) => {
    const said = input.mayLeave;
    if (said === undefined || said.answer === 'may' || !carriesGuest(input) || factsOf(input).saved) return [];
    const { name } = input.vm;
    const from = sourceOf(input)?.host.name ?? 'its host';
    return said.answer === 'refused'
      ? [
          {
            code: 'source-refuses',
            message: `libvirt on ${from} does not let ${name} go while it runs: ${said.why}.`,
            remedy: `Correct that, or shut ${name} down and move it cold.`,
          },
        ]
      : [
          {
            code: 'source-refuses-unknown',
            message: `Ferry cannot tell whether libvirt on ${from} lets ${name} go now: ${said.why}.`,
            remedy: 'The migration asks again; it leaves the VM where it is if libvirt refuses.',
          },
        ];
  },
});
