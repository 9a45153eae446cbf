import type { Host } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import type { CheckInput } from '../check-input.ts';
import { hostCheck } from './check.ts';

/** libvirt has each name once; the VM that has it there loses nothing to one that comes. */
export function nameTaken({ vm, domainsOn }: Pick<CheckInput, 'vm' | 'domainsOn'>, host: Host): readonly Reason[] {
  const other = domainsOn?.(host.id).find((each) => each.name === vm.name && each.uuid !== vm.uuid);
  if (other === undefined) return [];
  return [
    {
      code: 'target-name-taken',
      host: host.name,
      message: `${host.name} has another VM named ${vm.name} (${other.uuid}); this one is ${vm.uuid}.`,
      remedy: `Rename one of them while it is shut off (virsh domrename ${vm.name} NEW-NAME), or choose another host.`,
    },
  ];
}

export const name = hostCheck({
  name: 'name',
  codes: ['target-name-taken'],
  find: ({ input, target }) => nameTaken(input, target.host),
});
