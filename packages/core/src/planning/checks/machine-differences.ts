/**
 * Differences of two machines below what libvirt compares: exact CPU model, microcode, firmware. They seldom matter to a
 * guest with a CPU model of its own, and support contracts ask for them to be the same. Pure.
 */
import type { HostFacts } from '../../model/host.ts';
import type { Reason, ReasonCode } from '../../model/reasons.ts';
import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { hostCheck } from './check.ts';

interface Difference {
  readonly code: ReasonCode;
  readonly what: string;
  readonly of: (facts: HostFacts) => string | undefined;
}

const cpuName = ({ cpu: { vendor, model, signature } }: HostFacts): string | undefined =>
  model === '' ? undefined : `${vendor} ${model}${signature === undefined ? '' : ` (${signature})`}`.trim();

/** Each libvirt names one CPU by the nearest model that it knows; what the CPU says of itself is the same to all. */
const cpuKey = ({ cpu: { vendor, model, signature } }: HostFacts): string => `${vendor} ${signature ?? model}`;

const sameCpu = (here: HostFacts, there: HostFacts): boolean =>
  here.cpu.signature === undefined || there.cpu.signature === undefined
    ? here.cpu.model === there.cpu.model
    : cpuKey(here) === cpuKey(there);

const differences: readonly Difference[] = [
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
    const say = (code: ReasonCode, what: string, from: string | undefined, to: string | undefined): readonly Reason[] =>
      from === undefined || to === undefined
        ? []
        : [
            {
              code,
              host: host.name,
              message: `The ${what} of ${host.name} is ${to}, that of ${source.host.name} is ${from}.`,
              remedy: 'Choose a host with the same; or go on, if libvirt finds the CPU of the guest there.',
            },
          ];
    const same = sameCpu(here, facts);
    // what has the host's own CPU has a reason of its own (target-cpu-differs)
    const cpu =
      same || factsOf(input).cpu?.passthrough === true
        ? []
        : say('target-cpu-model', 'CPU', cpuName(here), cpuName(facts));
    return [
      ...cpu,
      ...differences
        // another CPU has another microcode
        .filter(({ code, of }) => of(here) !== of(facts) && (same || code !== 'target-microcode'))
        .flatMap(({ code, what, of }) => say(code, what, of(here), of(facts))),
    ];
  },
});
