import { carriesGuest, factsOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

/** libvirt refuses it, since the guest would count on a frequency that the target need not have. */
export const invtsc = vmCheck({
  name: 'invtsc',
  codes: ['vm-invtsc'],
  find: (input) => {
    const { cpu, hardware, saved } = factsOf(input);
    if (cpu?.invtsc !== true || hardware.tscHz !== undefined || saved || !carriesGuest(input)) return [];
    const { name } = input.vm;
    return [
      {
        code: 'vm-invtsc',
        message:
          `${name} has an invariant time stamp counter (invtsc) and no frequency for it, and libvirt moves ` +
          'no such guest while it runs.',
        remedy: `Shut ${name} down, give its definition <timer name='tsc' frequency='...'/> or no invtsc, and start it; or move it cold.`,
      },
    ];
  },
});
