import { sourceOf } from '../check-input.ts';
import { hostCheck } from './check.ts';

export const architecture = hostCheck({
  name: 'architecture',
  codes: ['target-arch'],
  find: ({ input, target: { host, facts } }) => {
    const here = sourceOf(input)?.facts;
    if (facts === undefined || here === undefined || facts.cpu.arch === here.cpu.arch) return [];
    return [
      {
        code: 'target-arch',
        host: host.name,
        message: `${host.name} is ${facts.cpu.arch}, the source is ${here.cpu.arch}.`,
        remedy: 'Choose a host of the same architecture.',
      },
    ];
  },
});
