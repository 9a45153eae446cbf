import type { Reason } from '../../model/reasons.ts';
import { type CheckInput, sourceOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

export const parked = vmCheck({
  name: 'parked',
  codes: ['vm-parked'],
  find: (input) => parkedReasons(input, sourceOf(input)?.host.name),
});

/**
 * A definition that was kept on purpose is the VM again once the other one is gone. While a host does not answer, that
 * is not known.
 */
function parkedReasons({ vm, hosts, parkedOn }: CheckInput, from = 'its host'): readonly Reason[] {
  const silent = hosts.filter(({ host, state }) => host.id !== vm.hostId && state !== 'connected');
  if (parkedOn?.has(vm.hostId) !== true || silent.length === 0) return [];
  const names = silent.map(({ host }) => host.name);
  const some = names.length <= 3 ? names.join(', ') : `one of ${names.length} hosts that do not answer`;
  return [
    {
      code: 'vm-parked',
      message: `The definition of ${vm.name} on ${from} was kept there when ${vm.name} moved away, and ${vm.name} may be on ${some}.`,
      remedy:
        `Wait until those hosts answer. If the definition on ${from} is to be the VM from now on: ` +
        `ferry vm settle ${vm.name} --keep ${from}`,
    },
  ];
}
