import type { CpuThere } from '../../model/cpu.ts';
import type { HostView } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { doubt } from '../doubt.ts';
import { moveCheck } from './check.ts';

const remedy = (vm: string, host: string): string =>
  `Choose another host; or shut ${vm} down, set a CPU model that ${host} has too (virsh hypervisor-cpu-baseline), and start it.`;

/** libvirt's own comparison, on the target, of the CPU that the guest was started with. */
function compared(vm: string, host: string, there: CpuThere | undefined): readonly Reason[] {
  switch (there?.answer) {
    case 'fits':
      return [];
    case 'lacks':
      return [
        {
          code: 'target-cpu-lacks',
          host,
          message: `libvirt on ${host} cannot provide the CPU of ${vm}: ${there.why}.`,
          remedy: remedy(vm, host),
        },
      ];
    case 'unknown':
    case undefined:
      return [
        doubt(
          'target-cpu-unknown',
          host,
          `whether ${host} has the CPU of ${vm}: ${there?.why ?? 'libvirt there was not asked'}`,
          `Compare it on ${host}: virsh hypervisor-cpu-compare FILE, with the <cpu> of ${vm}.`,
        ),
      ];
  }
}

const nameOf = ({ facts }: HostView): string => `${facts?.cpu.vendor ?? ''} ${facts?.cpu.model ?? ''}`.trim();

/** `host-passthrough` gives the guest what its host has, and libvirt compares nothing. */
export const cpu = moveCheck({
  name: 'cpu',
  needs: 'cpu',
  codes: ['target-cpu-lacks', 'target-cpu-unknown', 'target-cpu-differs'],
  find: ({ input, target }) => {
    const guest = factsOf(input).cpu;
    const { name } = input.vm;
    const source = sourceOf(input);
    if (guest === undefined || source === undefined || !carriesGuest(input)) return [];
    const host = target.host.name;
    if (!guest.passthrough) return compared(name, host, input.cpus?.get(target.host.id));
    const [here, there] = [nameOf(source), nameOf(target)];
    if (here === there || here === '' || there === '') return [];
    return [
      {
        code: 'target-cpu-differs',
        host,
        message: `${name} has the CPU of ${source.host.name} as it is (host-passthrough), ${here}; that of ${host} is ${there}.`,
        remedy: remedy(name, host),
      },
    ];
  },
});
