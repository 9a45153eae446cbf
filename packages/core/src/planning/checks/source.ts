import { notConnectedReason } from '../../fleet/machine.ts';
import { sourceOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

export const source = vmCheck({
  name: 'source',
  codes: ['source-unreachable', 'host-other-machine'],
  find: (input) => {
    const host = sourceOf(input);
    const remedy = 'Wait until the host answers, or restore the connection.';
    if (host === undefined)
      return [
        { code: 'source-unreachable', message: `The host of ${input.vm.name} is no longer in the fleet.`, remedy },
      ];
    return host.state === 'connected' ? [] : [notConnectedReason(host, 'source-unreachable', remedy)];
  },
});
