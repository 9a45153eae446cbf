/**
 * The life of a migration as a pure function: `(migration, event, now) -> { migration, effects }`. The engine stores a
 * changed phase before it carries out the effects, so a restart in any phase finds what was about to happen and asks
 * both hosts; an action whose outcome is unknown is never repeated. What libvirt says of the instances decides
 * (judge.ts); the end of the performing call only prompts the look.
 */
import { errorReport, type ErrorCode, type Reason } from '../errors.ts';
import type { TimeMs } from '../ids.ts';
import type { CallFailure, Migration, MigrationOutcome, MigrationPhase, MigrationRequest } from '../model.ts';
import type { CheckResult } from './checks.ts';
import { handoverOf, judge, type CompletedJob, type InstanceView, type Verdict } from './judge.ts';
import type { MigrationPlan } from './plan.ts';
import { finalProgress } from './progress.ts';
import type { Outlook } from '../convergence/outlook.ts';
import type { JobSample } from '../convergence/sample.ts';
import { directInstead, goDirect, nextAttempt, preCopyInstead, shutDown, withoutPostCopy } from './attempts.ts';
import { isGone, lostText, measureRefused, recoverEnded, resumeBroken } from './broken.ts';
import { enterPhase } from './phase.ts';
import { foretold, sampled, told, withLimits } from './steer.ts';

export type MigrationEvent =
  | { readonly type: 'admitted' }
  /** A restarted control plane found this migration unfinished. */
  | { readonly type: 'recovered' }
  | { readonly type: 'checked'; readonly result: CheckResult }
  /** Told before the transfer begins, where its policy may not end it. */
  | { readonly type: 'foretold'; readonly outlook: Outlook }
  | { readonly type: 'prepared'; readonly failure?: CallFailure }
  | { readonly type: 'sampled'; readonly sample: JobSample }
  /** The source's domain was paused for the switchover, or the target resumed. */
  | { readonly type: 'switching'; readonly what?: 'paused' | 'runs' }
  /** Direct mode: the memory is over, and the target is told to run next. */
  | { readonly type: 'handing-over' }
  | { readonly type: 'limits-changed'; readonly limits: Pick<MigrationRequest, 'maxBandwidthMiBPerSecond' | 'maxDowntimeMs' | 'deadlineMs'> }
  | { readonly type: 'perform-ended'; readonly failure?: CallFailure }
  | { readonly type: 'observed'; readonly source: InstanceView; readonly target: InstanceView }
  | { readonly type: 'abort-requested' }
  /** The guest was told to run on the target while its pages follow. */
  | { readonly type: 'post-copy-started' }
  /** The operator has the guest paused until it has arrived. */
  | { readonly type: 'pause-requested' }
  /** A measure of the policy, or an operator's, was not taken: the host says why. */
  | { readonly type: 'measure-refused'; readonly measure: 'post-copy' | 'pause-guest' | 'tune' | 'release-throttle'; readonly message: string }
  /** The attempt to resume a broken post-copy is over. */
  | { readonly type: 'recover-ended'; readonly failure?: CallFailure }
  /** What follows a move, or takes back a failed one, is done. `failure`: something in it did not work; `moved` tells where the VM is. */
  | { readonly type: 'cleaned'; readonly failure?: { readonly message: string; readonly moved: boolean }; readonly vmIsNow?: Migration['vmIsNow']; readonly copiedBytes?: number };

export type MigrationEffect =
  | { readonly type: 'check' }
  | { readonly type: 'prepare' }
  | { readonly type: 'perform' }
  | { readonly type: 'abort-job' }
  | { readonly type: 'tune'; readonly limits: { readonly maxDowntimeMs: number } }
  | { readonly type: 'post-copy' }
  | { readonly type: 'pause-guest' }
  | { readonly type: 'release-throttle' }
  /** Resumes a broken post-copy. */
  | { readonly type: 'recover' }
  /** Handover: the target runs from now on. */
  | { readonly type: 'release-target' }
  | { readonly type: 'shut-down-source' }
  /** Pauses both of two running copies. */
  | { readonly type: 'suspend-both' }
  | { readonly type: 'observe'; readonly afterMs: number }
  /** The source's daemon does not reach the target's: remembered for later moves. */
  | { readonly type: 'note-not-reached'; readonly message: string }
  | { readonly type: 'resume-source' }
  | { readonly type: 'remove-source-process' }
  | { readonly type: 'remove-target-process' }
  | { readonly type: 'clean' }
  /** Takes back what was prepared: volumes, helper domain. */
  | { readonly type: 'undo' };

export interface Step {
  readonly migration: Migration;
  readonly effects: readonly MigrationEffect[];
}

/** Between two looks at both hosts while something is still to happen. */
const observeEveryMs = 500;
/** The same while libvirt transfers and will tell of the switch and of the end: each look takes time of the daemons that the guests need. */
const observeTransferEveryMs = 5_000;
/**
 * How long the target must have been running, with the source still paused for the switch, before the source is taken
 * for stale. libvirt itself needs up to 2 s to end it; a source resumes by itself after its keepalive time (30 s by default).
 */
export const staleSourceAfterMs = 2_500;
/** After the target was told to run. */
const releaseLookMs = 100;
/** How long a verdict that ends a migration badly must hold: libvirt removes an incoming half within about 2 s. */
export const settleMs = 3_000;

interface ErrorText {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reasons?: readonly Reason[];
}

const stay = (migration: Migration, ...effects: MigrationEffect[]): Step => ({ migration, effects });

/** Phases in which the call that moves the VM may have been sent. */
const underway = (phase: MigrationPhase): boolean => ['transferring', 'switching', 'post-copy', 'verifying'].includes(phase);

export function step(migration: Migration, event: MigrationEvent, now: TimeMs): Step {
  if (migration.outcome !== undefined) return stay(migration);
  switch (event.type) {
    case 'admitted':
      return migration.phase === 'queued' ? stay(enterPhase(migration, 'checking', now), { type: 'check' }) : stay(migration);
    case 'recovered':
      return recovered(migration);
    case 'checked':
      if (migration.phase !== 'checking') return stay(migration);
      if (event.result.kind === 'refused') {
        const first = event.result.reasons[0]?.message ?? '';
        return end(migration, 'failed', now, { code: 'migration-refused', message: `${migration.vm.name} cannot be moved: ${first}`, reasons: event.result.reasons });
      }
      return stay(enterPhase({ ...migration, to: event.result.to, kind: event.result.move, plan: event.result.plan }, 'preparing', now), { type: 'prepare' });
    case 'foretold':
      return stay(migration.phase === 'preparing' ? foretold(migration, event.outlook, now) : migration);
    case 'prepared':
      if (migration.phase !== 'preparing') return stay(migration);
      if (event.failure !== undefined) {
        return end(migration, 'failed', now, { code: 'migration-failed', message: `Preparing the move of ${migration.vm.name} failed: ${event.failure.message}` });
      }
      if (migration.plan?.how === 'definition' || migration.plan?.how === 'stored-definition') return stay(enterPhase(migration, 'cleaning', now), { type: 'clean' });
      return stay(enterPhase(migration, 'transferring', now), { type: 'perform' }, { type: 'observe', afterMs: observeTransferEveryMs });
    case 'sampled':
      return underway(migration.phase) ? sampled(migration, event.sample, now) : stay(migration);
    case 'switching':
      return switching(migration, event.what, now);
    case 'handing-over':
      return underway(migration.phase) ? stay(enterPhase({ ...migration, evidence: { ...migration.evidence, handedOverAt: now } }, 'switching', now), { type: 'observe', afterMs: observeEveryMs }) : stay(migration);
    case 'perform-ended': {
      if (!underway(migration.phase) || migration.evidence.performEnded !== undefined) return stay(migration);
      const performEnded = event.failure === undefined ? { at: now } : { at: now, failure: event.failure };
      return stay(enterPhase({ ...migration, evidence: { ...migration.evidence, performEnded } }, 'verifying', now), { type: 'observe', afterMs: 0 });
    }
    case 'observed':
      return underway(migration.phase) ? observed(migration, event, now) : stay(migration);
    case 'post-copy-started':
      return underway(migration.phase) ? stay(enterPhase(migration, 'post-copy', now), { type: 'observe', afterMs: observeEveryMs }) : stay(migration);
    case 'limits-changed':
      return stay(withLimits(migration, event.limits, now));
    case 'pause-requested':
      return migration.phase === 'transferring' && migration.evidence.pausedAt === undefined
        ? stay(told({ ...migration, evidence: { ...migration.evidence, pausedAt: now } }, { do: 'pause' }, 'the operator had the guest paused until it has arrived', now), { type: 'pause-guest' })
        : stay(migration);
    case 'measure-refused':
      return stay(measureRefused(migration, event, now));
    case 'recover-ended':
      return underway(migration.phase) ? stay(recoverEnded(migration, event.failure, now), { type: 'observe', afterMs: observeEveryMs }) : stay(migration);
    case 'abort-requested':
      return abort(migration, now);
    case 'cleaned':
      return migration.phase === 'cleaning' ? cleaned(migration, event, now) : stay(migration);
  }
}

function switching(before: Migration, what: 'paused' | 'runs' | undefined, now: TimeMs): Step {
  if (!underway(before.phase)) return stay(before);
  const { seen = {} } = before.evidence;
  // at the end of post-copy the target says once more that it runs
  const migration = what === undefined || (what === 'paused' ? seen.pausedAt : seen.runsAt) !== undefined ? before : { ...before, evidence: { ...before.evidence, seen: { ...seen, [what === 'paused' ? 'pausedAt' : 'runsAt']: now } } };
  // a guest that we paused does not tell of the switch any more
  return migration.phase === 'transferring' && migration.evidence.pausedAt === undefined ? stay(enterPhase(migration, 'switching', now), { type: 'observe', afterMs: observeEveryMs }) : stay(migration);
}

function cleaned(before: Migration, { failure, vmIsNow, copiedBytes = 0 }: Extract<MigrationEvent, { type: 'cleaned' }>, now: TimeMs): Step {
  const transferredBytes = copiedBytes + (before.transferredBytes ?? 0);
  const migration = { ...before, ...(vmIsNow === undefined ? {} : { vmIsNow }), ...(transferredBytes === 0 ? {} : { transferredBytes }) };
  const { ending } = migration.evidence;
  if (ending !== undefined) return finish(migration, ending.outcome, now, ending.error);
  if (failure === undefined) return finish(migration, 'succeeded', now);
  // what was prepared for a VM that has moved is the VM's own now
  return (failure.moved ? finish : end)(migration, 'failed', now, { code: 'migration-failed', message: `${migration.vm.name}: ${failure.message}` });
}

/** Ends a migration that did not move the VM: what was prepared is taken back first, while the VM is where it was. */
function end(migration: Migration, outcome: MigrationOutcome, now: TimeMs, error?: ErrorText): Step {
  const looked = outcome === 'failed' && migration.request.keepTargetOnFailure === true && underway(migration.phase);
  const prepared = looked || migration.plan?.transfer?.handover === true || (migration.evidence.poweredOffAt !== undefined && migration.request.kind === 'cold') || migration.plan !== undefined && (migration.plan.how === 'helper' || migration.plan.carriesSnapshots === true || migration.plan.disks.some(({ how }) => how === 'copy' || how === 'file') || migration.plan.definition?.creates !== undefined);
  if (!prepared) return finish(migration, outcome, now, error);
  const ending = { outcome, ...(error === undefined ? {} : { error: errorReport(error.code, error.message, error.reasons) }) };
  return stay(enterPhase({ ...migration, evidence: { ...migration.evidence, ending } }, 'cleaning', now), { type: 'undo' });
}

function recovered(migration: Migration): Step {
  switch (migration.phase) {
    case 'checking':
      return stay(migration, { type: 'check' });
    case 'preparing':
      return stay(migration, { type: 'prepare' });
    case 'transferring':
    case 'switching':
    case 'post-copy':
    case 'verifying':
      return stay({ ...migration, adopted: true, evidence: untried(migration.evidence) }, { type: 'observe', afterMs: 0 }, ...unfinished(migration));
    case 'cleaning':
      return stay(migration, { type: migration.evidence.ending === undefined ? 'clean' : 'undo' });
    case 'queued':
    case 'succeeded':
    case 'failed':
    case 'cancelled':
      return stay(migration);
  }
}

/** What was stored and perhaps not done any more before the restart; doing it twice changes nothing. */
function unfinished({ phase, abortRequestedAt, evidence: { gaveUp, pausedAt, poweredOffAt } }: Migration): readonly MigrationEffect[] {
  if (phase === 'post-copy') return [];
  if (poweredOffAt !== undefined) return [{ type: 'shut-down-source' }];
  if (abortRequestedAt !== undefined || gaveUp !== undefined) return [{ type: 'abort-job' }];
  return pausedAt !== undefined && phase === 'transferring' ? [{ type: 'pause-guest' }] : [];
}

/** A try to resume that nobody waits for any more. */
function untried({ broken, ...evidence }: Migration['evidence']): Migration['evidence'] {
  if (broken === undefined) return evidence;
  const { trying: _, ...rest } = broken;
  return { ...evidence, broken: rest };
}

function abort(migration: Migration, now: TimeMs): Step {
  if (migration.phase === 'cleaning') return stay(migration);
  const marked = { ...migration, abortRequestedAt: migration.abortRequestedAt ?? now };
  return underway(migration.phase) ? stay(marked, { type: 'abort-job' }, { type: 'observe', afterMs: observeEveryMs }) : end(marked, 'cancelled', now);
}

function observed(before: Migration, { source, target }: { readonly source: InstanceView; readonly target: InstanceView }, now: TimeMs): Step {
  const verdict = judge(source, target, { held: before.plan?.transfer?.handover === true && before.evidence.releasedAt === undefined });
  const verdictSince = before.evidence.verdictSince?.verdict === verdict.kind ? before.evidence.verdictSince : { verdict: verdict.kind, at: now };
  const targetRuns = ['moved', 'stale-source', 'two-copies'].includes(verdict.kind);
  const evidence = { ...before.evidence, verdictSince, ...(targetRuns && before.evidence.targetRunningSince === undefined ? { targetRunningSince: now } : {}) };
  const migration = { ...before, evidence };
  return decide(migration, verdict, { held: now - verdictSince.at, ended: evidence.performEnded !== undefined, completed: completedOf(target) ?? completedOf(source), target, source }, now);
}

const completedOf = (view: InstanceView): CompletedJob | undefined => (view.kind === 'present' ? view.completed : undefined);

interface Look {
  /** ms for which this verdict has held. */
  readonly held: number;
  /** The performing call has ended: nothing more comes from it. */
  readonly ended: boolean;
  readonly completed: CompletedJob | undefined;
  readonly source: InstanceView;
  readonly target: InstanceView;
}

function decide(migration: Migration, verdict: Verdict, look: Look, now: TimeMs): Step {
  /** We still wait for the performing call: it ends the transfer, not a look in between. */
  const performing = !look.ended && migration.adopted !== true;
  const aborting = migration.abortRequestedAt !== undefined || migration.evidence.gaveUp !== undefined;
  const afterMs = performing && migration.phase === 'transferring' && !aborting ? observeTransferEveryMs : observeEveryMs;
  const again = (...effects: MigrationEffect[]) => stay(migration, ...effects, { type: 'observe', afterMs });
  /** libvirt answered the call, so nothing of it can still be on its way. */
  const known = look.ended && migration.evidence.performEnded?.failure?.outcome !== 'unknown';
  switch (verdict.kind) {
    case 'unknown':
      return again();
    case 'in-progress':
      // the first abort may have come before libvirt had begun its job, and libvirt does not remember it
      return aborting && migration.phase === 'transferring' ? again({ type: 'abort-job' }) : again();
    case 'post-copy':
      return stay(enterPhase(withoutAttention(migration), 'post-copy', now), { type: 'observe', afterMs: observeEveryMs });
    case 'post-copy-broken':
      if ((isGone(look.target) || isGone(look.source)) && look.held >= settleMs) return finish(withPlace(migration, isGone(look.source) ? look.target : look.source, isGone(look.source)), 'failed', now, { code: 'post-copy-lost', message: lostText(migration, look.source) });
      return resumeBroken(migration, look.ended || migration.adopted === true, now);
    case 'arrived-held':
      // stored before it is done; repeated until it runs
      return look.ended || migration.adopted === true ? stay({ ...migration, evidence: { ...migration.evidence, releasedAt: now } }, { type: 'release-target' }, { type: 'observe', afterMs: releaseLookMs }) : again();
    case 'moved': {
      if (performing && look.held < settleMs) return again();
      const state = look.target.kind === 'present' ? look.target.state : 'unknown';
      // told to run, and it did not: told again
      if ((migration.evidence.releasedAt ?? migration.evidence.pausedAt) !== undefined && state === 'paused' && migration.plan?.live === true) return again({ type: 'release-target' });
      const figures = { ...look.completed, ...pauseOf(migration, look.completed, now) };
      // a helper carried the disks; the VM itself follows in the clean-up
      const moved = { ...migration, ...figures, ...(migration.plan?.helper === undefined ? { vmIsNow: { host: migration.to?.name ?? '', state } } : { downtimeMs: 0 }) };
      return stay(enterPhase(moved, 'cleaning', now), { type: 'clean' });
    }
    case 'stale-source':
      // Rule 1 of the safety rules: the guard. Only pre-copy comes here, and the target is seen running.
      return look.held >= staleSourceAfterMs || look.ended ? again({ type: 'remove-source-process' }) : again();
    case 'leftover-target':
      return !performing && look.held >= settleMs ? again({ type: 'remove-target-process' }) : again();
    case 'stayed':
    case 'stopped-on-source':
      if (performing) return again();
      if (verdict.kind === 'stayed' && directInstead(migration)) return goDirect(migration, now);
      if (verdict.kind === 'stayed' && preCopyInstead(migration)) return withoutPostCopy(migration, now);
      if (migration.evidence.gaveUp?.powerOff === true && verdict.kind === 'stayed' && (known || look.held >= settleMs)) return shutDown(migration, now);
      return known || look.held >= settleMs ? end(withPlace(migration, look.source), migration.abortRequestedAt === undefined ? 'failed' : 'cancelled', now, stayedError(migration, verdict.kind)) : again();
    case 'paused-on-source':
      if (performing || look.held < settleMs) return again();
      if (mayResumeSource(migration, look.target)) return again({ type: 'resume-source' });
      return end(withPlace(migration, look.source), 'failed', now, { code: 'migration-failed', message: `${migration.vm.name} is paused on ${migration.from.name} and was not moved: ${failureText(migration)}` });
    case 'two-copies':
      // one host may have answered before the switch and the other after it: only a second look proves two
      if (look.held === 0 || (look.held < settleMs && !look.ended)) return again();
      if (migration.policy?.twoCopies === 'suspend-both' && migration.attention === undefined) return stay({ ...migration, attention: 'Two copies were running; both are paused until it is settled which one is right.' }, { type: 'suspend-both' }, { type: 'observe', afterMs: observeEveryMs });
      return finish(migration, 'failed', now, { code: 'vm-two-copies', message: `${migration.vm.name} is active on ${migration.from.name} and on ${migration.to?.name ?? 'the target'}.` });
    case 'gone':
      if (look.held < settleMs) return again();
      if (migration.plan?.helper !== undefined) return end(migration, migration.abortRequestedAt === undefined ? 'failed' : 'cancelled', now, stayedError(migration, 'stayed'));
      return finish(migration, 'failed', now, { code: 'vm-lost', message: `${migration.vm.name} is neither on ${migration.from.name} nor on ${migration.to?.name ?? 'the target'}.` });
  }
}

/**
 * libvirt leaves a source paused when its client is lost between the steps of a direct move. Only Ferry tells the target to run, and
 * stores that before; so a target without the VM has never run it, unless it was told to and forgot the VM again.
 */
function mayResumeSource({ plan, evidence, vmIsNow }: Migration, target: InstanceView): boolean {
  if (plan?.transfer?.handover === true) return evidence.releasedAt === undefined && target.kind === 'absent';
  if (plan?.transfer?.mode !== 'direct' || (!plan.live && vmIsNow?.state !== 'running')) return false;
  if (evidence.handedOverAt === undefined) return true;
  return handoverOf(target, { answered: false, keepsDefinition: keepsDefinition(plan) }) === 'stayed';
}

/** The target has a definition from the moment its guest may run. */
export const keepsDefinition = ({ persistence }: Pick<MigrationPlan, 'persistence'>): boolean => persistence === 'permanent' || persistence === 'keep-source';

/** QEMU's own figure counts the switch only: not the pause of a guest that moves suspended, is paused on the way, or waits to be released. */
function pauseOf({ plan, vmIsNow, phases, evidence: { pausedAt, releasedAt, seen } }: Migration, completed: CompletedJob | undefined, now: TimeMs): { readonly downtimeMs?: number } {
  if (pausedAt !== undefined) return { downtimeMs: now - pausedAt };
  const switching = phases.findLast(({ phase }) => phase === 'switching')?.at;
  if (releasedAt !== undefined && switching !== undefined) return { downtimeMs: Math.max(0, now - switching) };
  const since = phases.findLast(({ phase }) => phase === 'transferring')?.at;
  if (plan?.how === 'guest' && !plan.live && vmIsNow?.state === 'running' && since !== undefined) return { downtimeMs: now - since };
  // libvirt keeps no figure of a post-copy; its events tell
  return completed === undefined && seen?.pausedAt !== undefined && seen.runsAt !== undefined ? { downtimeMs: Math.max(0, seen.runsAt - seen.pausedAt) } : {};
}

/** `moved`: the look was at the target. */
const withPlace = (migration: Migration, at: InstanceView, moved = false): Migration =>
  at.kind === 'present' && migration.plan?.helper === undefined ? { ...migration, vmIsNow: { host: (moved ? migration.to?.name : undefined) ?? migration.from.name, state: at.state } } : migration;

function withoutAttention(migration: Migration, keep = false): Migration {
  const { attention, ...rest } = migration;
  return keep || attention === undefined ? migration : rest;
}

const failureText = (migration: Migration): string =>
  migration.evidence.gaveUp?.text ?? migration.evidence.performEnded?.failure?.message ?? (migration.adopted === true ? 'the control plane was restarted and found no transfer running' : 'libvirt ended the migration without saying why');

function stayedError(migration: Migration, verdict: 'stayed' | 'stopped-on-source'): ErrorText | undefined {
  if (migration.abortRequestedAt !== undefined) return undefined;
  const where = verdict === 'stayed' ? `${migration.vm.name} stayed on ${migration.from.name}` : `${migration.vm.name} stopped on ${migration.from.name} during the migration`;
  if (migration.evidence.gaveUp !== undefined && verdict === 'stayed') return { code: 'migration-not-converged', message: `${where}: ${migration.evidence.gaveUp.text}` };
  const code = migration.adopted === true && migration.evidence.performEnded === undefined ? 'migration-interrupted' : 'migration-failed';
  return { code, message: `${where}: ${failureText(migration)}` };
}

function finish(before: Migration, outcome: MigrationOutcome, now: TimeMs, error?: ErrorText): Step {
  const next = outcome === 'failed' ? nextAttempt(before, now, error) : undefined;
  if (next !== undefined) return next;
  const migration = withoutAttention(before, outcome === 'failed');
  const start = migration.phases[0]?.at ?? now;
  const progress = outcome === 'succeeded' ? finalProgress(migration.progress) : migration.progress;
  return stay(
    enterPhase(
      {
        ...migration,
        outcome,
        totalMs: Math.max(0, now - start),
        // shut down by the policy: it was away for all of the cold move
        ...(outcome === 'succeeded' && migration.evidence.poweredOffAt !== undefined ? { downtimeMs: now - migration.evidence.poweredOffAt } : {}),
        ...(progress === undefined ? {} : { progress }),
        ...(error === undefined ? {} : { error: errorReport(error.code, error.message, error.reasons) }),
      },
      outcome,
      now,
    ),
  );
}
