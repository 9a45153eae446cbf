import { carriesGuest } from '../check-input.ts';
import { vmCheck } from './check.ts';

export const arrivedPaused = vmCheck({
  name: 'arrived-paused',
  codes: ['vm-arrived-paused'],
  find: (input) =>
    input.arrivedPaused === true && carriesGuest(input)
      ? [
          {
            code: 'vm-arrived-paused',
            message:
              `${input.vm.name} arrived paused and has not been resumed since; ` +
              'another move would kill its QEMU and lose its memory.',
            remedy: 'Resume it first; you may pause it again at once.',
          },
        ]
      : [],
});
