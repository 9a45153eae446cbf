import type { Reason } from '../../model/reasons.ts';
import { type CheckInput, sourceOf } from '../check-input.ts';
import { vmCheck } from './check.ts';

export const savedMemory = vmCheck({
  name: 'saved-memory',
  codes: ['saved-memory-unread', 'saved-memory-xml'],
  find: (input) => savedReasons(input, sourceOf(input)?.host.name),
});

/** The guest comes back with the definition inside its saved memory, and not with the VM's. */
function savedReasons({ vm, facts, ownXml }: CheckInput, from = 'its host'): readonly Reason[] {
  if (facts?.saved !== true) return [];
  const start = `Start ${vm.name} (virsh start ${vm.name}) and shut it down first`;
  if (facts.savedUnread !== undefined)
    return [
      {
        code: 'saved-memory-unread',
        message: `What disks the saved memory of ${vm.name} on ${from} needs cannot be read: ${facts.savedUnread}`,
        remedy: `${start}; or, to lose that memory: virsh managedsave-remove ${vm.name}`,
      },
    ];
  return ownXml === undefined
    ? []
    : [
        {
          code: 'saved-memory-xml',
          message: `${vm.name} is saved, and its memory has a definition of its own that one given with --xml cannot replace.`,
          remedy: `${start}; or use --map-network, --map-pool and --map-path, which change both.`,
        },
      ];
}
