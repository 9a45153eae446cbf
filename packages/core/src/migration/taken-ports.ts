/**
 * A transfer that could not begin because something that is no migration of Ferry's uses its port on the target: the
 * next port of the cluster's range is tried, each once. Which ports are free is counted where all migrations are known
 * (room.ts).
 */
import type { TimeMs } from '../model/ids.ts';
import type { Planned } from '../model/migration.ts';
import type { TransferPlan } from '../model/plan.ts';
import { portsOf } from '../planning/ports.ts';
import { noTransfer, performAgain, refusalOf } from './attempts.ts';
import { noted } from './decision-log.ts';
import { end, stayedError } from './finish.ts';
import type { Step } from './protocol.ts';

/**
 * A port of the cluster's range that no migration has is used by somebody else on the target. Which one: QEMU names
 * the server of the disks.
 */
export function portTaken(migration: Planned): number | undefined {
  const refusal = refusalOf(migration) ?? '';
  if (!/address already in use/i.test(refusal)) return undefined;
  const transfer = migration.plan.transfer;
  const [port] = portsOf({
    ...noTransfer,
    ...(transfer?.migrateUri === undefined ? {} : { migrateUri: transfer.migrateUri }),
  });
  return /nbd/i.test(refusal.replaceAll(migration.vm.name, '')) ? transfer?.disksPort : port;
}

/** The port is left alone from now on, by this migration and by others while it lasts. */
export function chooseOtherPorts(migration: Planned, port: number): Step {
  return {
    migration: {
      ...migration,
      evidence: { ...migration.evidence, portsBusy: [...new Set([...(migration.evidence.portsBusy ?? []), port])] },
    },
    effects: [{ type: 'choose-ports' }],
  };
}

export function withOtherPorts(migration: Planned, transfer: TransferPlan | undefined, now: TimeMs): Step {
  const target = migration.to.name;
  const busy = (migration.evidence.portsBusy ?? []).join(', ');
  if (transfer === undefined) {
    const { message } = stayedError(migration, 'stayed') ?? { message: '' };
    return end(migration, 'failed', now, {
      code: 'migration-failed',
      message: `${message} (the ports ${busy} of ${target} are in use by another program there, and the cluster's range has no other)`,
    });
  }
  return performAgain(
    noted(
      migration,
      { do: 'note', what: 'refused' },
      `another program on ${target} uses the port ${busy}: trying again on ${portsOf(transfer).join(' and ')}`,
      now,
    ),
    transfer,
    now,
  );
}
