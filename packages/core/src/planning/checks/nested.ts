import { carriesGuest, factsOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

const features: readonly string[] = ['vmx', 'svm'];

/** Where its definition asks for it by name: every guest with the CPU model of its host has the feature, used or not. */
export const nested = vmCheck({
  name: 'nested',
  codes: ['vm-nested'],
  find: (input) => {
    const feature = factsOf(input).cpu?.asked?.find((name) => features.includes(name));
    const { name } = input.vm;
    return feature === undefined || !carriesGuest(input)
      ? []
      : [
          {
            code: 'vm-nested',
            message:
              `The definition of ${name} asks for virtualisation inside the guest (${feature}); guests ` +
              'that run inside it move only where both kernels support that.',
            remedy: `Stop the guests inside ${name} first, unless you have tried such a move between these hosts.`,
          },
        ];
  },
});
