import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { hostCheck } from './check.ts';

/** `host-model` and `host-passthrough`: the guest keeps what it was started with, and gets another CPU at its next start. */
export const nextStartCpu = hostCheck({
  name: 'next-start-cpu',
  codes: ['target-cpu-next-start'],
  find: ({ input, target: { host, facts } }) => {
    const guest = factsOf(input).cpu;
    const source = sourceOf(input);
    const [here, there] = [source?.facts?.cpu, facts?.cpu];
    if (guest?.hostModel !== true || source === undefined || here === undefined || there === undefined) return [];
    if (here.model === there.model || here.model === '' || there.model === '' || !carriesGuest(input)) return [];
    return [
      {
        code: 'target-cpu-next-start',
        host: host.name,
        message:
          `${input.vm.name} has the CPU model of its host (host-model): after its next start on ${host.name} it has ` +
          `${there.model} in place of ${here.model}, and may not come back to ${source.host.name} while it runs.`,
        remedy: `Give the VMs a CPU that all hosts have: ferry cluster cpu-baseline ${source.host.cluster}`,
      },
    ];
  },
});
