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
import { noted } from './decision-log.ts';
import type { MigrationEffect } from './protocol.ts';

/**
 * A copy to a target that does not answer is ended after this time without progress. It survives shorter
 * interruptions; libvirt's daemons drop each other after 30 s.
 */
export const silentCopyMs = 18_000;
/** A copy on its way moves within such a time. */
const movesWithinMs = 3_000;
/** Time that libvirt has to end the job after an abort. */
export const abortPatienceMs = 5_000;

const stillMs = ({ transferHistory, plan }: Migration): number =>
  transferHistory === undefined || !hasCopies(plan) ? 0 : stoodStillMs(transferHistory);

/** How a transfer is ended. */
export const stopTransfer = (migration: Migration): MigrationEffect => ({
  type: stillMs(migration) >= movesWithinMs ? 'cut-copies' : 'abort-job',
});

/** It has stood still long enough that the target must be checked now. */
export const fellSilent = (before: Migration, after: Migration): boolean =>
  stillMs(before) < silentCopyMs && stillMs(after) >= silentCopyMs;

/**
 * The copy goes into the incoming half. A target that was restarted answers and has none. The source may then wait for
 * a reply for ever: all that it has sent was acknowledged.
 */
const holdsCopy = (target: InstanceView): boolean =>
  target.kind === 'present' && target.state !== 'shut-off' && target.state !== 'crashed';
/** When the target's QEMU fails, libvirt ends the move within this time, and its error says more than Ferry's. */
const lostHalfMs = 1_000;

/** The looks at both hosts, as far as a copy can be seen to be dead by them. */
interface Look {
  readonly source: InstanceView;
  readonly target: InstanceView;
}

/** What can end a copy that is to end: its connections; or, where QEMU accepts no call any more, the helper's process. */
const cutting = ({ plan, evidence, abortRequestedAt }: Planned, { source }: Look, now: TimeMs): MigrationEffect => ({
  type:
    plan.helper !== undefined &&
    isStuck(source) &&
    now - (abortRequestedAt ?? evidence.gaveUp?.at ?? now) >= abortPatienceMs
      ? 'end-helper'
      : 'cut-copies',
});

/** With the time since which the copy goes nowhere, by what both hosts show; without one while it may go on. */
export function withLostCopy(before: Planned, { source, target }: Look, now: TimeMs): Planned {
  const { copyLostSince, ...evidence } = before.evidence;
  const isLost =
    isCopying(before, source) &&
    (before.transferHistory?.passes.length ?? 0) > 0 &&
    !holdsCopy(target) &&
    (target.kind !== 'unreachable' || isStuck(source));
  const migration = isStuck(source) ? before : withoutStuckGuest(before);
  if (isLost) return { ...migration, evidence: { ...evidence, copyLostSince: copyLostSince ?? now } };
  return copyLostSince === undefined ? migration : { ...migration, evidence };
}

const isStuck = (source: InstanceView): boolean => source.kind === 'present' && source.stuck === true;

const isCopying = ({ phase, plan }: Planned, source: InstanceView): source is InstanceView & { kind: 'present' } =>
  phase === 'transferring' && hasCopies(plan) && source.kind === 'present' && source.migrating;

/** How a copy is ended that has a dead connection, and when to look again; undefined while there is none. */
export function withDeadCopy(
  migration: Planned,
  look: Look,
  now: TimeMs,
): { readonly migration: Planned; readonly effects: readonly MigrationEffect[] } | undefined {
  const { source, target } = look;
  const { plan, evidence, abortRequestedAt } = migration;
  if (!isCopying(migration, source)) return undefined;
  const toldAt = abortRequestedAt ?? evidence.gaveUp?.at;
  if (toldAt !== undefined) {
    if (now - toldAt < abortPatienceMs) return undefined;
    return {
      migration: isStuck(source) && plan.helper === undefined ? withStuckGuest(migration) : migration,
      effects: [cutting(migration, look, now)],
    };
  }
  const why = whyDead(migration, target, now);
  if (why === undefined)
    return evidence.copyLostSince === undefined && target.kind !== 'unreachable'
      ? undefined
      : { migration, effects: [] };
  const text = `${why}, aborting`;
  const decided = noted(migration, { do: 'abort' }, text, now);
  return {
    migration: { ...decided, evidence: { ...decided.evidence, gaveUp: { text, at: now, targetSilent: true } } },
    effects: [{ type: 'cut-copies' }],
  };
}

function whyDead(migration: Planned, target: InstanceView, now: TimeMs): string | undefined {
  const { from, to, evidence } = migration;
  const lostMs = now - (evidence.copyLostSince ?? now);
  if (target.kind !== 'unreachable')
    return lostMs >= lostHalfMs ? `${to.name} no longer holds the incoming half` : undefined;
  const silentMs = stillMs(migration);
  if (silentMs >= silentCopyMs)
    return `nothing has moved for ${Math.round(silentMs / 1_000)} s and ${to.name} does not answer`;
  // there are no samples to count: libvirt answers for no job. A daemon that is only slow does so, too
  return lostMs >= silentCopyMs
    ? `libvirt on ${from.name} waits for the copy inside QEMU, and ${to.name} does not answer`
    : undefined;
}

/** Nothing of libvirt's reaches such a QEMU: its own host's kernel can drop the connection. */
const withStuckGuest = (migration: Planned): Planned => ({
  ...migration,
  attention:
    `${stuckOpening}, and accepts no call: ${migration.vm.name} stands still until the kernel of ` +
    `${migration.from.name} drops that connection, after 15 minutes by default. To end it now, on ` +
    `${migration.from.name}: ss -K dst ADDRESS, with the migration address of ${migration.to.name}.`,
});
const stuckOpening = 'libvirt waits inside QEMU for a copy whose connection is dead';

const withoutStuckGuest = (migration: Planned): Planned => {
  const { attention, ...rest } = migration;
  return attention?.startsWith(stuckOpening) === true ? rest : migration;
};
