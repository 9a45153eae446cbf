import type { HostView } from '../../model/host.ts';
import type { ReasonCode } from '../../model/reasons.ts';
import { carriesGuest, sourceOf } from '../check-input.ts';
import { versionOf } from '../transfer.ts';
import { hostCheck } from './check.ts';

type Facts = NonNullable<HostView['facts']>;

interface Program {
  readonly name: string;
  readonly older: ReasonCode;
  readonly newer: ReasonCode;
  readonly of: (facts: Facts) => string | undefined;
}

const programs: readonly Program[] = [
  {
    name: 'libvirt',
    older: 'target-older-libvirt',
    newer: 'target-newer-libvirt',
    of: ({ libvirtVersion }) => libvirtVersion,
  },
  { name: 'QEMU', older: 'target-older-qemu', newer: 'target-newer-qemu', of: ({ qemuVersion }) => qemuVersion },
];

/** Without the last part, of which nothing of a guest depends on the way up. */
const release = (version: string): number => Math.floor(versionOf(version) / 1_000);

/**
 * Newer versions take the guests of older ones; the other way is not promised by anybody, and works often. A newer one is
 * spoken of where the policy does: every upgrade goes that way.
 */
export const versions = hostCheck({
  name: 'versions',
  codes: ['target-older-libvirt', 'target-older-qemu', 'target-newer-libvirt', 'target-newer-qemu'],
  find: ({ input, target: { host, facts } }) => {
    const source = sourceOf(input);
    const here = source?.facts;
    if (source === undefined || here === undefined || facts === undefined || !carriesGuest(input)) return [];
    return programs.flatMap(({ name, older, newer, of }) => {
      const [from, to] = [of(here), of(facts)];
      if (from === undefined || to === undefined) return [];
      if (versionOf(to) < versionOf(from))
        return [
          {
            code: older,
            host: host.name,
            message: `${host.name} has ${name} ${to}, which is older than ${from} on ${source.host.name}: it may not take the guest.`,
            remedy: `Upgrade ${name} on ${host.name}, or choose a host with ${from} or newer.`,
          },
        ];
      if (release(to) === release(from) || input.policy?.checks?.[newer] === undefined) return [];
      return [
        {
          code: newer,
          host: host.name,
          message:
            `${host.name} has ${name} ${to}, which is newer than ${from} on ${source.host.name}: the guest ` +
            'may not come back while it runs.',
          remedy: `Upgrade ${name} on the other hosts before you count on the way back.`,
        },
      ];
    });
  },
});
