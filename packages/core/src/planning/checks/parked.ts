import type { Reason } from '../../model/reasons.ts';
import { type CheckInput, sourceOf } from '../check-input.ts';
import { namesOf } from '../wait-reasons.ts';
import { vmCheck } from './check.ts';

export const parked = vmCheck({
  name: 'parked',
  codes: ['vm-parked'],
  find: (input) => parkedReasons(input, sourceOf(input)?.host.name),
});

/**
 * A definition that was kept on purpose is the VM again once the other one is gone. That is not known while a host does
 * not answer, or where the host that the VM was on is no longer in the fleet.
 */
function parkedReasons({ vm, hosts, parkedOn, goneWith = [] }: CheckInput, from = 'its host'): readonly Reason[] {
  if (parkedOn?.has(vm.hostId) !== true) return [];
  const kept = `The definition of ${vm.name} on ${from} was kept there when ${vm.name} moved away, and ${vm.name} may be on`;
  const settle = `If the definition on ${from} is to be the VM from now on: ferry vm settle ${vm.name} --keep ${from}`;
  if (goneWith.length > 0) {
    const removed = namesOf(goneWith);
    return [
      {
        code: 'vm-parked',
        message: `${kept} ${removed}, which was removed from Ferry.`,
        remedy: `Add ${removed} again. ${settle}`,
      },
    ];
  }
  const silent = hosts.filter(({ host, state }) => host.id !== vm.hostId && state !== 'connected');
  if (silent.length === 0) return [];
  const names = silent.map(({ host }) => host.name);
  const some = names.length <= 3 ? names.join(', ') : `one of ${names.length} hosts that do not answer`;
  return [{ code: 'vm-parked', message: `${kept} ${some}.`, remedy: `Wait until those hosts answer. ${settle}` }];
}
