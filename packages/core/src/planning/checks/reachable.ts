import { notConnectedReason } from '../../fleet/machine.ts';
import { hostCheck } from './check.ts';

export const reachable = hostCheck({
  name: 'reachable',
  codes: ['target-unreachable', 'target-silent', 'target-full', 'host-other-machine'],
  find: ({ input: { silent }, target }) => {
    const why = silent?.get(target.host.id);
    return [
      ...(target.state === 'connected'
        ? []
        : [notConnectedReason(target, 'target-unreachable', 'Restore the connection, or choose another host.')]),
      ...(why === undefined ? [] : [why]),
    ];
  },
});
