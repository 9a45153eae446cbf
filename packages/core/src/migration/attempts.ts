/**
 * Another try after one that left the VM where it was: another way to send the bytes, another host, or cold once the policy had the guest
 * shut down. Each only when it is known how the one before ended.
 */
import { errorReport, type ErrorCode, type Reason } from '../errors.ts';
import type { TimeMs } from '../ids.ts';
import type { Migration } from '../model.ts';
import type { TransferPlan } from './plan.ts';
import { enterPhase } from './phase.ts';
import { told } from './telling.ts';
import type { MigrationEffect, Step } from './step.ts';

/** How long a guest that is asked to shut down has for it. */
const shutdownMs = 60_000;
const lookEveryMs = 500;

const nothingSent = ({ progress, evidence, abortRequestedAt }: Migration): boolean => progress === undefined && abortRequestedAt === undefined && evidence.gaveUp === undefined;

/** The source's daemon could not even begin, and nobody asked for it to be the one. */
export const directInstead = (migration: Migration): boolean =>
  migration.plan?.transfer?.mode === 'peer-to-peer' && migration.request.mode === undefined && migration.plan.transfer.tunnelled !== true && nothingSent(migration) && migration.evidence.performEnded?.failure?.notReached === true;

/** libvirt's codes for what has nothing to do with post-copy: a call of the system or a connection that failed, a sign-in that was refused. */
const reachCodes: readonly number[] = [38, 39, 45];

/** Only the policy wanted post-copy to be possible, and a host said no before anything was sent. */
export const preCopyInstead = (migration: Migration): boolean =>
  migration.plan?.transfer?.postCopy === true && migration.request.postCopy !== true && nothingSent(migration) && migration.evidence.performEnded?.failure?.outcome === 'refused' && !reachCodes.includes(migration.evidence.performEnded.failure.libvirtCode ?? 0);

function performAgain({ plan, ...migration }: Migration, transfer: TransferPlan, now: TimeMs, ...first: MigrationEffect[]): Step {
  const { performEnded: _performEnded, verdictSince: _verdictSince, ...evidence } = migration.evidence;
  const next: Migration = { ...migration, evidence, ...(plan === undefined ? {} : { plan: { ...plan, transfer } }) };
  return { migration: enterPhase(next, 'transferring', now), effects: [...first, { type: 'perform' }, { type: 'observe', afterMs: lookEveryMs }] };
}

export function goDirect(migration: Migration, now: TimeMs): Step {
  const message = migration.evidence.performEnded?.failure?.message ?? '';
  const { postCopy: _postCopy, handover: _handover, ...transfer } = migration.plan?.transfer ?? { mode: 'direct', modeReason: '' };
  return performAgain(migration, { ...transfer, mode: 'direct', modeReason: message }, now, { type: 'note-not-reached', message });
}

export function withoutPostCopy(migration: Migration, now: TimeMs): Step {
  const { postCopy: _postCopy, ...transfer } = migration.plan?.transfer ?? { mode: 'peer-to-peer', modeReason: '' };
  const why = migration.evidence.performEnded?.failure?.message ?? '';
  return performAgain(told(migration, { do: 'note', what: 'refused' }, `it could not begin (${why}): once more without post-copy, in case that was the cause`, now), transfer, now);
}

/** The policy wants the guest shut down: asked first, ended when it does not hear. */
export function shutDown(migration: Migration, now: TimeMs): Step {
  const { poweredOffAt } = migration.evidence;
  const look: MigrationEffect = { type: 'observe', afterMs: lookEveryMs };
  if (poweredOffAt === undefined) return { migration: { ...migration, evidence: { ...migration.evidence, poweredOffAt: now } }, effects: [{ type: 'shut-down-source' }, look] };
  return { migration, effects: now - poweredOffAt > shutdownMs ? [{ type: 'remove-source-process' }, look] : [look] };
}

/** What comes after a failure, if anything does. */
export function nextAttempt(before: Migration, now: TimeMs, error: { readonly code: ErrorCode; readonly message: string; readonly reasons?: readonly Reason[] } | undefined): Step | undefined {
  const { plan, course: _course, decisions, to, notBefore: _notBefore, ...migration } = before;
  const { poweredOffAt, gaveUp } = before.evidence;
  const kept = { ...migration, ...(decisions === undefined ? {} : { decisions }) };
  if (poweredOffAt !== undefined && before.request.kind !== 'cold' && before.vmIsNow?.host === before.from.name) {
    const request = { ...before.request, kind: 'cold' as const, autoStart: true, ...(to === undefined ? {} : { to: to.name }) };
    return { migration: enterPhase({ ...kept, request, evidence: { poweredOffAt } }, 'checking', now), effects: [{ type: 'check' }] };
  }
  const { retry } = before.policy ?? {};
  const stayed = before.vmIsNow?.host === before.from.name && !(before.vmIsNow.state === 'paused' && plan?.live === true);
  const again = error?.code === 'migration-failed' || error?.code === 'migration-interrupted';
  const attempts = before.attempts ?? [];
  if (retry === undefined || error === undefined || !again || !stayed || gaveUp !== undefined || poweredOffAt !== undefined || before.abortRequestedAt !== undefined || attempts.length >= retry.attempts) return undefined;
  const attempt = { at: now, ...(to === undefined ? {} : { to }), error: errorReport(error.code, error.message, error.reasons) };
  return { migration: enterPhase({ ...kept, attempts: [...attempts, attempt], notBefore: now + retry.delayMs, evidence: {} }, 'queued', now), effects: [] };
}
