/**
 * Disks that are being copied over a connection that is dead. A guest's write waits until the copy has it, too, so the
 * guest stands still with the copy. libvirt cannot end that before the source's kernel gives the connection up (15
 * minutes by default): it waits within QEMU, and nobody can ask that QEMU for anything any more. So the connections are
 * cut before libvirt is told to end, and before it gives up by itself.
 */
import { stoodStillMs } from '../convergence/transfer-history.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import { hasCopies } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import { told } from './decision-log.ts';
import type { MigrationEffect } from './protocol.ts';

/**
 * A copy that stands still for so long, to a target that does not answer, is given up. Shorter cuts are outlasted;
 * libvirt's daemons give each other up after 30 s.
 */
export const silentCopyMs = 18_000;
/** A copy on its way moves within such a time. */
const movesWithinMs = 3_000;
/** libvirt has so long to end what it was told to end. */
export const abortPatienceMs = 5_000;

const stillMs = ({ course, plan }: Migration): number =>
  course === undefined || !hasCopies(plan) ? 0 : stoodStillMs(course);

/** How a transfer is told to end. */
export const stopTransfer = (migration: Migration): MigrationEffect => ({
  type: stillMs(migration) >= movesWithinMs ? 'cut-copies' : 'abort-job',
});

/** It has just stood still for so long that the target should be looked at now. */
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
