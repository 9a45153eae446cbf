/**
 * What follows from a look at both hosts: the verdict of judge.ts, how long it has held, and whether anything can still
 * come of the call that moves the VM. Each case is one rule; the safety rules of the design outrank all of them.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import type { CompletedJob, InstanceView } from '../model/vm.ts';
import { directInstead, goDirect, mayShutDown, preCopyInstead, shutDown, withoutPostCopy } from './attempts.ts';
import { stopTransfer, withDeadCopy, withLostCopy } from './dead-copy.ts';
import { end, failureText, finish, stayedError, withoutAttention, withPlace } from './finish.ts';
import { observeEveryMs, observeTransferEveryMs } from './intervals.ts';
import { handoverOf, judge, type Verdict } from './judge.ts';
import { withNotBegun } from './not-begun.ts';
import { enterPhase } from './phase.ts';
import { isGone, lostText, resumePostCopy } from './post-copy-recovery.ts';
import type { MigrationEffect, Step } from './protocol.ts';
import { goneText, keepsDefinition, stoppedAfterMove, tookOver } from './stopped-there.ts';
import { chooseOtherPorts, portTaken } from './taken-ports.ts';

/**
 * How long the target must have been running, with the source still paused for the switch, before the source counts as
 * stale. libvirt itself needs up to 2 s to end it; a source resumes on its own after its keepalive time (30 s by
 * default).
 */
export const staleSourceAfterMs = 2_500;
/** After the order to run on the target. */
const releaseLookMs = 100;
/** How long a verdict that ends a migration badly must hold: libvirt removes an incoming half within about 2 s. */
export const settleMs = 3_000;

/** A guest that Ferry had paused is resumed this long after a move that did not come about. */
export const resumingMs = 30_000;

const stay = (migration: Migration, ...effects: MigrationEffect[]): Step => ({ migration, effects });

export function observed(
  before: Planned,
  { source, target }: { readonly source: InstanceView; readonly target: InstanceView },
  now: TimeMs,
): Step {
  const verdict = judge(source, target, {
    held: before.plan.transfer?.handover === true && before.evidence.releasedAt === undefined,
  });
  const verdictSince =
    before.evidence.verdictSince?.verdict === verdict.kind
      ? before.evidence.verdictSince
      : { verdict: verdict.kind, at: now };
  const targetRuns = ['moved', 'stale-source', 'two-copies'].includes(verdict.kind);
  const evidence = {
    ...before.evidence,
    verdictSince,
    ...(targetRuns && before.evidence.targetRunningSince === undefined ? { targetRunningSince: now } : {}),
  };
  const migration = withLostCopy(withNotBegun({ ...before, evidence }, target, now), { source, target }, now);
  const dead = withDeadCopy(migration, { source, target }, now);
  if (dead !== undefined) return stay(dead.migration, ...dead.effects, { type: 'observe', afterMs: observeEveryMs });
  return decide(
    migration,
    verdict,
    {
      held: now - verdictSince.at,
      ended: evidence.performEnded !== undefined,
      completed: completedOf(target) ?? completedOf(source),
      target,
      source,
    },
    now,
  );
}

/**
 * The call that performs the move was lost with its connection, and the hosts go on without it: the transfer has to be
 * steered on, or a guest that does not converge would be on its way for ever, and a dead copy would never be cut.
 */
const outlivesItsCall = ({ phase, evidence: { performEnded } }: Planned, { source }: Look, now: TimeMs): boolean =>
  phase === 'verifying' &&
  performEnded?.failure?.outcome === 'unknown' &&
  now - performEnded.at >= settleMs &&
  source.kind === 'present' &&
  source.migrating &&
  source.state !== 'paused';

/** What follows a move that happened. `at`: where the VM is. */
function cleanUp(migration: Planned, at: 'source' | 'target', look: Look, now: TimeMs): Step {
  const ended = { ...migration, ...look.completed, ...pauseOf(migration, look.completed, now) };
  // a helper carried the disks; the VM itself follows in the clean-up
  const moved =
    migration.plan.helper === undefined ? withPlace(ended, look[at], at === 'target') : { ...ended, downtimeMs: 0 };
  return stay(enterPhase(moved, 'cleaning', now), { type: 'clean' });
}

const completedOf = (view: InstanceView): CompletedJob | undefined =>
  view.kind === 'present' ? view.completed : undefined;

interface Look {
  /** ms for which this verdict has held. */
  readonly held: number;
  /** The performing call has ended: nothing more comes from it. */
  readonly ended: boolean;
  readonly completed: CompletedJob | undefined;
  readonly source: InstanceView;
  readonly target: InstanceView;
}

function decide(migration: Planned, verdict: Verdict, look: Look, now: TimeMs): Step {
  /** We still wait for the performing call: it ends the transfer, not a look in between. */
  const performing = !look.ended && migration.adopted !== true;
  const aborting = migration.abortRequestedAt !== undefined || migration.evidence.gaveUp !== undefined;
  const afterMs =
    performing && migration.phase === 'transferring' && !aborting ? observeTransferEveryMs : observeEveryMs;
  const again = (...effects: MigrationEffect[]) => stay(migration, ...effects, { type: 'observe', afterMs });
  /** libvirt answered the call, so nothing of it can still be on its way. */
  const known = look.ended && migration.evidence.performEnded?.failure?.outcome !== 'unknown';
  switch (verdict.kind) {
    case 'unknown':
      return again();
    case 'in-progress':
      if (outlivesItsCall(migration, look, now))
        return stay(enterPhase(migration, 'transferring', now), { type: 'observe', afterMs });
      // the first abort may have come before libvirt had begun its job, and libvirt does not remember it
      return aborting && migration.phase === 'transferring' ? again(stopTransfer(migration)) : again();
    case 'post-copy':
      return stay(enterPhase(withoutAttention(migration), 'post-copy', now), {
        type: 'observe',
        afterMs: observeEveryMs,
      });
    case 'post-copy-interrupted':
      if ((isGone(look.target) || isGone(look.source)) && look.held >= settleMs)
        return finish(
          withPlace(migration, isGone(look.source) ? look.target : look.source, isGone(look.source)),
          'failed',
          now,
          { code: 'post-copy-lost', message: lostText(migration, look.source) },
        );
      return resumePostCopy(migration, look.ended || migration.adopted === true, now);
    case 'post-copy-arrived': {
      if (performing || look.held < settleMs) return again();
      const { attention: _, ...arrived } = migration;
      return cleanUp({ ...arrived, evidence: { ...migration.evidence, sourceHalfLeft: true } }, 'target', look, now);
    }
    case 'arrived-held':
      // stored before it is done; repeated until it runs
      return look.ended || migration.adopted === true
        ? stay(
            { ...migration, evidence: { ...migration.evidence, releasedAt: now } },
            { type: 'release-target' },
            { type: 'observe', afterMs: releaseLookMs },
          )
        : again();
    case 'moved': {
      if (performing && look.held < settleMs) return again();
      const state = look.target.kind === 'present' ? look.target.state : 'unknown';
      // ordered to run, and it did not: the order is repeated
      if (
        (migration.evidence.releasedAt ?? migration.evidence.pausedAt) !== undefined &&
        state === 'paused' &&
        migration.plan.live
      )
        return again({ type: 'release-target' });
      return cleanUp(migration, 'target', look, now);
    }
    case 'stale-source':
      // Rule 1 of the safety rules: the guard. Only pre-copy comes here, and the target is seen running.
      return look.held >= staleSourceAfterMs || look.ended ? again({ type: 'remove-source-process' }) : again();
    case 'leftover-target':
      return !performing && look.held >= settleMs ? again({ type: 'remove-target-process' }) : again();
    case 'stayed':
    case 'stopped-on-source': {
      const stopped = verdict.kind === 'stopped-on-source' ? stoppedAfterMove(migration, look) : undefined;
      if (stopped !== undefined)
        return performing && look.held < settleMs ? again() : cleanUp(migration, stopped, look, now);
      if (performing) return again();
      if (verdict.kind === 'stayed' && directInstead(migration)) return goDirect(migration, now);
      if (verdict.kind === 'stayed' && preCopyInstead(migration)) return withoutPostCopy(migration, now);
      const taken = verdict.kind === 'stayed' ? portTaken(migration) : undefined;
      if (taken !== undefined) return chooseOtherPorts(migration, taken);
      if (!known && look.held < settleMs) return again();
      if (isPausedForMove(migration, look.source, now))
        return stay(
          { ...migration, evidence: { ...migration.evidence, resumingSince: migration.evidence.resumingSince ?? now } },
          { type: 'resume-source' },
          { type: 'observe', afterMs },
        );
      if (verdict.kind === 'stayed' && mayShutDown(migration, now)) return shutDown(migration, now);
      return end(
        withPlace(migration, look.source),
        migration.abortRequestedAt === undefined ? 'failed' : 'cancelled',
        now,
        stayedError(migration, verdict.kind),
      );
    }
    case 'paused-on-source':
      if (performing || look.held < settleMs) return again();
      if (mayResumeSource(migration, look.target)) return again({ type: 'resume-source' });
      // both may be the VM: nothing is taken back, and nothing is ended
      if (tookOver(migration, look.target))
        return finish(withPlace(migration, look.source), 'failed', now, {
          code: 'vm-lost',
          message:
            `${migration.vm.name} is paused on ${migration.from.name}, and shut off on ${migration.to.name}, where ` +
            `it may have run. Resume it on ${migration.from.name} only if it has not.`,
        });
      return end(withPlace(migration, look.source), 'failed', now, {
        code: 'migration-failed',
        message: `${migration.vm.name} is paused on ${migration.from.name} and was not moved: ${failureText(migration)}`,
      });
    case 'two-copies':
      // a helper holds no guest: it is taken away from both hosts, and the VM is where it was
      if (migration.plan.helper !== undefined)
        return performing || look.held < settleMs ? again() : withoutHelper(migration, now);
      // one host may have answered before the switch and the other after it: only a second look proves two
      if (look.held === 0 || (look.held < settleMs && !look.ended)) return again();
      if (migration.policy?.twoCopies === 'suspend-both' && migration.attention === undefined)
        return stay(
          {
            ...migration,
            attention: 'Two copies were running; both are paused until you settle which one is right.',
          },
          { type: 'suspend-both' },
          { type: 'observe', afterMs: observeEveryMs },
        );
      return finish(migration, 'failed', now, {
        code: 'vm-two-copies',
        message: `${migration.vm.name} is active on ${migration.from.name} and on ${migration.to.name}.`,
      });
    case 'gone':
      if (look.held < settleMs) return again();
      if (stoppedAfterMove(migration, look) !== undefined) return cleanUp(migration, 'target', look, now);
      if (migration.plan.helper !== undefined) return withoutHelper(migration, now);
      return finish(withPlace(nowhere(migration), look.target, true), 'failed', now, {
        code: 'vm-lost',
        message: goneText(migration, look),
      });
  }
}

/**
 * libvirt lets a guest that is paused on its way run again when the move ends early, but not one whose pause came after
 * that: the call was slow, or was repeated by a control plane that was restarted. One that QEMU paused, such as for an
 * error of its disk, is not resumed, and one that does not stay resumed is left as it is in the end.
 */
const isPausedForMove = ({ plan, evidence }: Planned, source: InstanceView, now: TimeMs): boolean =>
  plan.live &&
  evidence.pausedAt !== undefined &&
  now - (evidence.resumingSince ?? now) < resumingMs &&
  source.kind === 'present' &&
  source.state === 'paused' &&
  source.reason === 'user';

/** The VM itself is where it was; what is there of the helper is taken away. */
const withoutHelper = (migration: Planned, now: TimeMs): Step =>
  end(
    migration,
    migration.abortRequestedAt === undefined ? 'failed' : 'cancelled',
    now,
    stayedError(migration, 'stayed'),
  );

function nowhere(migration: Planned): Planned {
  const { vmIsNow: _, ...rest } = migration;
  return rest;
}

/**
 * libvirt leaves a source paused if its client or its daemon is lost around the switchover. In a direct move only Ferry
 * starts the guest on the target, and stores that first. In other moves, or after that order, a target without the VM
 * has not run it if its definition would have stayed there.
 */
function mayResumeSource({ plan, evidence, vmIsNow }: Planned, target: InstanceView): boolean {
  if (plan.transfer === undefined) return false;
  if (plan.transfer.handover === true) return evidence.releasedAt === undefined && target.kind === 'absent';
  if (!plan.live && vmIsNow?.state !== 'running') return false;
  if (plan.transfer.mode === 'direct' && evidence.handedOverAt === undefined) return true;
  return handoverOf(target, { answered: false, keepsDefinition: keepsDefinition(plan) }) === 'stayed';
}

/**
 * QEMU's own figure counts the switch only: not the pause of a guest that moves suspended, is paused on the way, or
 * waits to be released.
 */
function pauseOf(
  { plan, vmIsNow, phases, evidence: { pausedAt, releasedAt, seen } }: Planned,
  completed: CompletedJob | undefined,
  now: TimeMs,
): { readonly downtimeMs?: number } {
  if (pausedAt !== undefined) return { downtimeMs: now - pausedAt };
  const switching = phases.findLast(({ phase }) => phase === 'switching')?.at;
  if (releasedAt !== undefined && switching !== undefined) return { downtimeMs: Math.max(0, now - switching) };
  const since = phases.findLast(({ phase }) => phase === 'transferring')?.at;
  if (plan.how === 'guest' && !plan.live && vmIsNow?.state === 'running' && since !== undefined)
    return { downtimeMs: now - since };
  // libvirt keeps no figure of a post-copy; its events have it
  return completed === undefined && seen?.pausedAt !== undefined && seen.runsAt !== undefined
    ? { downtimeMs: Math.max(0, seen.runsAt - seen.pausedAt) }
    : {};
}
