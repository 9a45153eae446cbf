import { memoryNeeded } from '../check-input.ts';
import { hostCheck } from './check.ts';

/** Of a guest that runs there. */
export const threads = hostCheck({
  name: 'threads',
  codes: ['target-few-threads'],
  find: ({ input, target: { host, facts } }) => {
    const { name, vcpus } = input.vm;
    if (facts === undefined || memoryNeeded(input) === 0 || vcpus <= facts.cpu.threads) return [];
    return [
      {
        code: 'target-few-threads',
        host: host.name,
        message: `${name} has ${vcpus} virtual CPUs, and ${host.name} has ${facts.cpu.threads} threads: it would be slower there.`,
        remedy: 'Choose a host with more threads.',
      },
    ];
  },
});
