import { needsIn, sourceOf } from '../check-input.ts';
import { machineReasons } from '../machine-type.ts';
import { hostCheck } from './check.ts';

export const machine = hostCheck({
  name: 'machine',
  codes: ['target-no-qemu', 'target-arch', 'target-no-kvm', 'target-machine-unknown'],
  find: ({ input, target }) => machineReasons(input.vm.name, needsIn(input).machines, sourceOf(input), target),
});
