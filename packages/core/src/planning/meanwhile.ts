/**
 * What happened to a VM, or to the host that was asked for, while its migration waited. Whoever asked for the move did
 * so for the VM as it was then: what somebody else did since is named, and undoes nothing of it. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { Migration } from '../model/migration.ts';
import type { Reason } from '../model/reasons.ts';
import type { Vm } from '../model/vm.ts';
import { sourceReasons } from './rescue.ts';

/** The same for one whose target was chosen; the dead host of a rescue may be back, and run the VM. */
export function changedSinceChoice(
  migration: Pick<Migration, 'vm' | 'from' | 'request'>,
  vm: Vm | undefined,
  hosts: readonly HostView[],
): readonly Reason[] {
  const source = hosts.find(({ host }) => host.id === migration.from.id);
  return [
    ...changedMeanwhile(migration, vm, hosts),
    ...(migration.request.rescue === undefined ? [] : sourceReasons(migration.vm, source)),
  ];
}

/** `vm`: as the hosts show it now; undefined: no host has it. Empty: nothing that matters. */
export function changedMeanwhile(
  { vm: asked, from, request }: Pick<Migration, 'vm' | 'from' | 'request'>,
  vm: Vm | undefined,
  hosts: readonly HostView[],
): readonly Reason[] {
  const reasons: Reason[] = [];
  const again = `If it should still move: ferry vm migrate ${asked.name}`;
  if (vm === undefined) {
    reasons.push({
      code: 'vm-gone',
      host: from.name,
      message:
        `${asked.name} was on ${from.name} when you asked for the move, and no host has it now: it ` +
        'was undefined, or destroyed, while the migration waited.',
      remedy: 'Find out who removed it, and define it again if it should exist.',
    });
  } else if (vm.hostId !== from.id) {
    const now = hosts.find(({ host }) => host.id === vm.hostId)?.host.name ?? vm.hostId;
    reasons.push({
      code: 'vm-moved',
      host: now,
      message:
        `${asked.name} was on ${from.name} when you asked for the move, and is on ${now} now: something ` +
        'else moved it while the migration waited.',
      remedy: again,
    });
  }
  if (request.to !== undefined && !hosts.some(({ host }) => host.name === request.to || host.id === request.to))
    reasons.push({
      code: 'target-removed',
      host: request.to,
      message: `${request.to} was removed from the fleet while the migration waited.`,
      remedy: `Add it again, or name another host: ferry vm migrate ${asked.name} --to HOST`,
    });
  return reasons;
}
