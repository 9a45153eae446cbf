/**
 * Disks that are being copied over a connection that is dead. A guest's write waits until the copy has it too, so the
 * guest hangs with the copy. libvirt cannot end that before the source's kernel drops the connection (after 15 minutes
 * by default): it waits inside QEMU, and that QEMU answers nobody. So Ferry cuts the connections before it aborts the
 * job, and before libvirt gives up on its own.
 */
import { stoodStillMs } from '../convergence/transfer-history.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import { hasCopies } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import { told } from './decision-log.ts';
import type { MigrationEffect } from './protocol.ts';

/**
 * A copy to a target that does not answer is ended after this time without progress. It survives shorter interruptions;
 * libvirt's daemons drop each other after 30 s.
 */
export const silentCopyMs = 18_000;
/** A copy on its way moves within such a time. */
const movesWithinMs = 3_000;
/** Time that libvirt has to end the job after an abort. */
export const abortPatienceMs = 5_000;

const stillMs = ({ course, plan }: Migration): number =>
  course === undefined || !hasCopies(plan) ? 0 : stoodStillMs(course);

/** How a transfer is ended. */
export const stopTransfer = (migration: Migration): MigrationEffect => ({
  type: stillMs(migration) >= movesWithinMs ? 'cut-copies' : 'abort-job',
});

/** It has made no progress for so long that the target must be checked now. */
export const fellSilent = (before: Migration, after: Migration): boolean =>
  stillMs(before) < silentCopyMs && stillMs(after) >= silentCopyMs;

/** The migration whose copy is to be cut now; undefined while there is none. */
export function withDeadCopy(
  migration: Planned,
  { source, target }: { readonly source: InstanceView; readonly target: InstanceView },
  now: TimeMs,
): Planned | undefined {
  const { phase, plan, evidence, abortRequestedAt } = migration;
  if (phase !== 'transferring' || !hasCopies(plan) || source.kind !== 'present' || !source.migrating) return undefined;
  const toldAt = abortRequestedAt ?? evidence.gaveUp?.at;
  if (toldAt !== undefined) return now - toldAt < abortPatienceMs ? undefined : migration;
  const silentMs = stillMs(migration);
  if (target.kind !== 'unreachable' || silentMs < silentCopyMs) return undefined;
  const text = `nothing has moved for ${Math.round(silentMs / 1_000)} s and ${migration.to.name} does not answer, aborting`;
  const decided = told(migration, { do: 'abort' }, text, now);
  return { ...decided, evidence: { ...decided.evidence, gaveUp: { text, at: now, targetSilent: true } } };
}
