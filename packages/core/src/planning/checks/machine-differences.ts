/**
 * Differences of two machines below what libvirt compares: exact CPU model, microcode, firmware. They seldom matter to a
 * guest with a CPU model of its own, and support contracts ask for them to be the same. Pure.
 */
import type { HostFacts } from '../../model/host.ts';
import type { ReasonCode } from '../../model/reasons.ts';
import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { hostCheck } from './check.ts';

interface Difference {
  readonly code: ReasonCode;
  readonly what: string;
  readonly of: (facts: HostFacts) => string | undefined;
}

const cpuName = ({ cpu: { vendor, model, signature } }: HostFacts): string | undefined =>
  model === '' ? undefined : `${vendor} ${model}${signature === undefined ? '' : ` (${signature})`}`.trim();

const differences: readonly Difference[] = [
  { code: 'target-cpu-model', what: 'CPU', of: cpuName },
  { code: 'target-microcode', what: 'CPU microcode', of: ({ cpu }) => cpu.microcode },
  { code: 'target-firmware', what: 'firmware', of: ({ firmware }) => firmware },
];

export const machineDifferences = hostCheck({
  name: 'machine-differences',
  codes: ['target-cpu-model', 'target-microcode', 'target-firmware'],
  find: ({ input, target: { host, facts } }) => {
    const source = sourceOf(input);
    const here = source?.facts;
    if (source === undefined || here === undefined || facts === undefined || !carriesGuest(input)) return [];
    const otherCpu = cpuName(here) !== cpuName(facts);
    // what has the host's own CPU has a reason of its own (target-cpu-differs); another CPU has another microcode
    const silent: readonly ReasonCode[] = [
      ...(factsOf(input).cpu?.passthrough === true ? ['target-cpu-model' as const] : []),
      ...(otherCpu ? ['target-microcode' as const] : []),
    ];
    return differences.flatMap(({ code, what, of }) => {
      const [from, to] = [of(here), of(facts)];
      if (from === undefined || to === undefined || from === to || silent.includes(code)) return [];
      return [
        {
          code,
          host: host.name,
          message: `The ${what} of ${host.name} is ${to}, that of ${source.host.name} is ${from}.`,
          remedy: 'Choose a host with the same; or go on, if libvirt finds the CPU of the guest there.',
        },
      ];
    });
  },
});
