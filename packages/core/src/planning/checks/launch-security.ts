import { carriesGuest, factsOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

const words: Readonly<Record<string, string>> = {
  sev: 'AMD SEV',
  'sev-snp': 'AMD SEV-SNP',
  tdx: 'Intel TDX',
  's390-pv': 'IBM Secure Execution',
};

/** The host cannot read the memory of such a guest, and QEMU moves none of them. */
export const launchSecurity = vmCheck({
  name: 'launch-security',
  codes: ['vm-launch-security', 'launch-security-unknown'],
  find: (input) => {
    const { hardware, saved } = factsOf(input);
    const type = hardware.launchSecurity;
    if (type === undefined || input.request.kind === 'configuration') return [];
    const { name } = input.vm;
    const what = words[type] ?? type;
    if (carriesGuest(input) && !saved)
      return [
        {
          code: 'vm-launch-security',
          message: `The memory of ${name} is encrypted against its host (${what}), and QEMU moves no such guest while it runs.`,
          remedy: `Shut ${name} down and move it cold, to a host with ${what}.`,
        },
      ];
    return [
      {
        code: 'launch-security-unknown',
        message: `Ferry cannot tell whether a target has ${what}, without which ${name} does not start.`,
        remedy: 'On the target: virsh domcapabilities, the element <launchSecurity> or <sev>.',
      },
    ];
  },
});
