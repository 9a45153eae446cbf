import { carriesGuest, factsOf } from '../check-input.ts';
import { hostCheck } from './check.ts';

/** KVM takes a frequency that is this much off for the same. */
const tolerance = 250e-6;
const mhz = (hz: number): string => `${(hz / 1e6).toFixed(3)} MHz`;

/** Of a guest that was promised a frequency. */
export const tsc = hostCheck({
  name: 'tsc',
  codes: ['target-tsc'],
  find: ({ input, target: { host, facts } }) => {
    const wanted = factsOf(input).hardware.tscHz;
    const there = facts?.cpu.tsc;
    if (wanted === undefined || there === undefined || !carriesGuest(input)) return [];
    if (there.scaling || Math.abs(there.hz - wanted) <= wanted * tolerance) return [];
    return [
      {
        code: 'target-tsc',
        host: host.name,
        message: `The time stamp counter of ${host.name} has ${mhz(there.hz)} and cannot be scaled; ${input.vm.name} has ${mhz(wanted)}.`,
        remedy: 'Choose a host whose counter has that frequency, or can be scaled.',
      },
    ];
  },
});
