import type { HostView } from '../../model/host.ts';
import type { ReasonCode } from '../../model/reasons.ts';
import { carriesGuest, sourceOf } from '../check-input.ts';
import { versionOf } from '../transfer.ts';
import { hostCheck } from './check.ts';

type Facts = NonNullable<HostView['facts']>;

const programs: readonly (readonly [ReasonCode, string, (facts: Facts) => string | undefined])[] = [
  ['target-older-libvirt', 'libvirt', ({ libvirtVersion }) => libvirtVersion],
  ['target-older-qemu', 'QEMU', ({ qemuVersion }) => qemuVersion],
];

/** Newer versions take the guests of older ones; the other way is not promised by anybody, and works often. */
export const versions = hostCheck({
  name: 'versions',
  codes: ['target-older-libvirt', 'target-older-qemu'],
  find: ({ input, target: { host, facts } }) => {
    const source = sourceOf(input);
    const here = source?.facts;
    if (source === undefined || here === undefined || facts === undefined || !carriesGuest(input)) return [];
    return programs.flatMap(([code, program, of]) => {
      const [from, to] = [of(here), of(facts)];
      if (from === undefined || to === undefined || versionOf(to) >= versionOf(from)) return [];
      return [
        {
          code,
          host: host.name,
          message: `${host.name} has ${program} ${to}, which is older than ${from} on ${source.host.name}: it may not take the guest.`,
          remedy: `Upgrade ${program} on ${host.name}, or choose a host with ${from} or newer.`,
        },
      ];
    });
  },
});
