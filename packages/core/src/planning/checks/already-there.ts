import { hostCheck } from './check.ts';

export const alreadyThere = hostCheck({
  name: 'already-there',
  codes: ['target-is-source'],
  find: ({ input: { vm }, target: { host } }) =>
    host.id === vm.hostId
      ? [
          {
            code: 'target-is-source',
            host: host.name,
            message: `${vm.name} is already on ${host.name}.`,
            remedy: 'Name another host.',
          },
        ]
      : [],
});
