/**
 * What is said of a step that failed after the transfer, or in place of one. The engine names the step and what the
 * host said; whether the VM has moved all the same, `finish.ts` decides. Pure.
 */
import type { Planned } from '../model/migration.ts';

export type MoveFailure =
  /** UEFI variables, TPM state or saved memory. */
  | 'state-not-copied'
  | 'saved-memory-unchanged'
  | 'file-gone'
  | 'file-not-whole'
  | 'place-taken'
  /** Something of the VM is active where it is to be taken back. */
  | 'target-active'
  | 'definition-refused'
  | 'definition-differs'
  | 'source-keeps-definition'
  | 'moved-not-started'
  | 'arrived-otherwise'
  /** The VM of a dead host. */
  | 'stored-definition-gone'
  | 'stored-not-started'
  | 'source-active';

/** `said`: what the host answered, or in which state the VM is. Of a file: its path, and why it is in the way. */
export function moveFailureText(
  { vm, from, to }: Pick<Planned, 'vm' | 'from' | 'to'>,
  what: MoveFailure,
  said = '',
  why = '',
): string {
  switch (what) {
    case 'state-not-copied':
      return `what belongs to it could not be copied to ${to.name}: ${said}`;
    case 'saved-memory-unchanged':
      return `libvirt on ${to.name} did not put other disks or networks into its saved memory`;
    case 'file-gone':
      return `${said} is no longer on ${from.name}.`;
    case 'file-not-whole':
      return `${said} did not arrive whole on ${to.name}.`;
    case 'place-taken':
      return `${said} on ${to.name} is in the way: ${why}.`;
    case 'target-active':
      return `${vm.name} is ${said} on ${to.name}`;
    case 'definition-refused':
      return `${to.name} refuses its definition: ${said}`;
    case 'definition-differs':
      return `${to.name} has other disks or networks in its definition than were planned.`;
    case 'source-keeps-definition':
      return `${from.name} keeps its definition: ${said}`;
    case 'moved-not-started':
      return `it was moved to ${to.name} and did not start there: ${said}`;
    case 'arrived-otherwise':
      return `it was moved to ${to.name}, where ${said}.`;
    case 'stored-definition-gone':
      return 'its stored definition is gone.';
    case 'stored-not-started':
      return `it did not start on ${to.name}: ${said}`;
    case 'source-active':
      return `it was not started on ${to.name}: ${from.name} is back, and it is ${said} there.`;
  }
}
