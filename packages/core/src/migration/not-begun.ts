/**
 * A transfer that libvirt has not begun although Ferry requested it. It waits inside libvirt for the target's daemon,
 * which accepts no more clients or hangs. Neither an abort nor a policy ends that wait, because there is no job yet.
 * Ferry says what it waits for, and who can end it. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Planned } from '../model/migration.ts';
import type { InstanceView } from '../model/vm.ts';

/** libvirt begins within a second or two where both daemons answer. */
const notBegunMs = 15_000;
const opening = 'libvirt has not begun to send';

/** With the sentence for the operator, while it holds. `target`: what its host said just now. */
export function withNotBegun(migration: Planned, target: InstanceView, now: TimeMs): Planned {
  const { phase, phases, evidence, attention, transferHistory, plan } = migration;
  const since = phases.findLast((each) => each.phase === 'transferring')?.at ?? now;
  const waits =
    phase === 'transferring' &&
    // the connections of a direct move are Ferry's own, and bounded
    plan.transfer?.mode !== 'direct' &&
    evidence.performEnded === undefined &&
    (transferHistory?.passes.length ?? 0) === 0 &&
    now - since >= notBegunMs;
  if (waits) return { ...migration, attention: textOf(migration, target) };
  return attention?.startsWith(opening) === true ? without(migration) : migration;
}

/** Nothing of libvirt's ends the wait from the source: its connection has no limit in time until it is made. */
function textOf({ from, to, vm, vmIsNow, abortRequestedAt, evidence }: Planned, target: InstanceView): string {
  const host = to.name;
  const stopping = abortRequestedAt !== undefined || evidence.gaveUp !== undefined;
  const [why, remedy] =
    target.kind === 'unreachable'
      ? [`does not answer Ferry either (${target.message.replace(/\.$/, '')})`, 'repair it, or restart its libvirtd']
      : [
          'answers Ferry, but not this connection: most likely it has as many clients as it allows (max_clients)',
          '"virt-admin server-clients-list libvirtd" shows them, and "virt-admin server-clients-set libvirtd ' +
            '--max-clients 5000" makes room at once',
        ];
  return (
    `${opening}: ${from.name} waits for the libvirt daemon of ${host}, which ${why}. ` +
    `${vm.name} stays ${vmIsNow?.state ?? 'as it is'} on ${from.name}. ` +
    (stopping
      ? 'libvirt keeps the abort until that connection is made, and ends the move then'
      : 'An abort does not end this wait: libvirt keeps it until that connection is made') +
    `. Only ${host} can end it: ${remedy}.`
  );
}

function without(migration: Planned): Planned {
  const { attention: _, ...rest } = migration;
  return rest;
}
