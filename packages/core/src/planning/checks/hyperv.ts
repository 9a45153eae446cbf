import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { versionOf } from '../transfer.ts';
import { hostCheck } from './check.ts';

/** With `passthrough` the guest has what its host's kernel and QEMU know, and libvirt compares nothing. */
export const hyperv = hostCheck({
  name: 'hyperv',
  codes: ['target-hyperv'],
  find: ({ input, target: { host, facts } }) => {
    const source = sourceOf(input);
    const here = source?.facts;
    if (factsOf(input).hardware.hypervPassthrough !== true || source === undefined || here === undefined) return [];
    if (facts === undefined || !carriesGuest(input)) return [];
    if (versionOf(facts.qemuVersion) === versionOf(here.qemuVersion) && facts.cpu.model === here.cpu.model) return [];
    return [
      {
        code: 'target-hyperv',
        host: host.name,
        message:
          `${input.vm.name} has the Hyper-V features of ${source.host.name} as they are (passthrough), and ` +
          `${host.name} may have others.`,
        remedy: `Shut ${input.vm.name} down and name the features in its definition; or choose a host with the same QEMU and CPU.`,
      },
    ];
  },
});
