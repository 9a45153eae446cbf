import { hostCheck } from './check.ts';

/** Of a plan that is made of a file, with no host in reach. */
export const recordedOnly = hostCheck({
  name: 'recorded-only',
  codes: ['target-not-asked'],
  find: ({ input: { vm, recordedOnly: isRecord }, target: { host } }) =>
    isRecord !== true
      ? []
      : [
          {
            code: 'target-not-asked',
            host: host.name,
            message: `The file does not say whether ${host.name} has the disks, networks, devices and CPU that ${vm.name} needs.`,
            remedy: `Where the control plane is in reach: ferry vm plan ${vm.name}`,
          },
        ],
});
