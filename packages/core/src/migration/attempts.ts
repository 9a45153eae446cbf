/**
 * Another try after one that left the VM where it was: another way to send the bytes, another host, or cold once the
 * policy had the guest shut down. Each only when it is known how the one before ended.
 */
import { errorReport, type ErrorCode } from '../model/errors.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import type { TransferPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import { noted } from './decision-log.ts';
import { enterPhase } from './phase.ts';
import type { MigrationEffect, Step } from './protocol.ts';

/** How long a guest that is asked to shut down has for it. */
const shutdownMs = 60_000;
const lookEveryMs = 500;
export const noTransfer: TransferPlan = { mode: 'peer-to-peer', modeReason: '' };

/** QEMU did not even begin: a job of libvirt's is there before, and its figures are all nothing. */
const nothingSent = ({ progress, evidence, abortRequestedAt }: Migration): boolean =>
  (progress?.totalBytes ?? 0) === 0 && abortRequestedAt === undefined && evidence.gaveUp === undefined;

/** The source's daemon could not even begin, and nobody asked for it to be the one. */
export const directInstead = (migration: Planned): boolean =>
  migration.plan.transfer?.mode === 'peer-to-peer' &&
  migration.request.mode === undefined &&
  migration.plan.transfer.tunnelled !== true &&
  nothingSent(migration) &&
  migration.evidence.performEnded?.failure?.notReached === true;

/** Why a host said no before anything was sent. */
export const refusalOf = (migration: Migration): string | undefined => {
  const failure = migration.evidence.performEnded?.failure;
  return nothingSent(migration) && failure?.outcome === 'refused' ? failure.message : undefined;
};

/**
 * Only the policy wanted post-copy to be possible, and it is what a host cannot do. A name, a port or a device is in
 * the way without it, too.
 */
export const preCopyInstead = (migration: Planned): boolean =>
  migration.plan.transfer?.postCopy === true &&
  migration.request.postCopy !== true &&
  /post-?copy|userfault/i.test(refusalOf(migration)?.replaceAll(migration.vm.name, '') ?? '');

export function performAgain(
  { plan, ...migration }: Planned,
  transfer: TransferPlan,
  now: TimeMs,
  ...first: MigrationEffect[]
): Step {
  const { performEnded: _performEnded, verdictSince: _verdictSince, ...evidence } = migration.evidence;
  const next: Planned = { ...migration, evidence, plan: { ...plan, transfer } };
  return {
    migration: enterPhase(next, 'transferring', now),
    effects: [...first, { type: 'perform' }, { type: 'observe', afterMs: lookEveryMs }],
  };
}

export function goDirect(migration: Planned, now: TimeMs): Step {
  const message = migration.evidence.performEnded?.failure?.message ?? '';
  const { postCopy: _postCopy, handover: _handover, ...transfer } = migration.plan.transfer ?? noTransfer;
  return performAgain(
    migration,
    {
      ...transfer,
      mode: 'direct',
      modeReason: `${migration.from.name} does not reach ${migration.to.name}: ${message}`,
    },
    now,
    { type: 'note-not-reached', message },
  );
}

export function withoutPostCopy(migration: Planned, now: TimeMs): Step {
  const { postCopy: _postCopy, ...transfer } = migration.plan.transfer ?? noTransfer;
  const why = migration.evidence.performEnded?.failure?.message ?? '';
  return performAgain(
    noted(migration, { do: 'note', what: 'refused' }, `it could not begin (${why}): once more without post-copy`, now),
    transfer,
    now,
  );
}

/** After an abort none is asked to shut down, and one that was asked before has its time. */
export function mayShutDown({ abortRequestedAt, evidence }: Migration, now: TimeMs): boolean {
  const { gaveUp, poweredOffAt } = evidence;
  if (gaveUp?.powerOff !== true) return false;
  return abortRequestedAt === undefined || (poweredOffAt !== undefined && now - poweredOffAt <= shutdownMs);
}

/** The policy powers the guest off: a shutdown request first, then an end if the guest does not respond. */
export function shutDown(migration: Migration, now: TimeMs): Step {
  const { poweredOffAt } = migration.evidence;
  const look: MigrationEffect = { type: 'observe', afterMs: lookEveryMs };
  if (poweredOffAt === undefined)
    return {
      migration: { ...migration, evidence: { ...migration.evidence, poweredOffAt: now } },
      effects: [{ type: 'shut-down-source' }, look],
    };
  return { migration, effects: now - poweredOffAt > shutdownMs ? [{ type: 'end-source-guest' }, look] : [look] };
}

/** What comes after a failure, if anything does. */
export function nextAttempt(
  before: Migration,
  now: TimeMs,
  error: { readonly code: ErrorCode; readonly message: string; readonly reasons?: readonly Reason[] } | undefined,
): Step | undefined {
  const { plan, transferHistory: _history, decisions, to, notBefore: _notBefore, ...migration } = before;
  const { poweredOffAt, gaveUp } = before.evidence;
  const kept = { ...migration, ...(decisions === undefined ? {} : { decisions }) };
  if (poweredOffAt !== undefined && before.request.kind !== 'cold' && before.vmIsNow?.host === before.from.name) {
    const request = {
      ...before.request,
      kind: 'cold' as const,
      autoStart: true,
      ...(to === undefined ? {} : { to: to.name }),
    };
    return {
      migration: enterPhase({ ...kept, request, evidence: { poweredOffAt } }, 'checking', now),
      effects: [{ type: 'check' }],
    };
  }
  const stayed =
    before.vmIsNow?.host === before.from.name && !(before.vmIsNow.state === 'paused' && plan?.live === true);
  const again = error?.code === 'migration-failed' || error?.code === 'migration-interrupted';
  if (
    error === undefined ||
    !again ||
    !stayed ||
    gaveUp !== undefined ||
    poweredOffAt !== undefined ||
    before.abortRequestedAt !== undefined
  )
    return undefined;
  const attempts = before.attempts ?? [];
  const { retry } = before.policy ?? {};
  if (retry === undefined ? !elsewhere(before) : attempts.length >= retry.attempts) return undefined;
  const attempt = {
    at: now,
    ...(to === undefined ? {} : { to }),
    error: errorReport(error.code, error.message, error.reasons),
  };
  return {
    migration: enterPhase(
      { ...kept, attempts: [...attempts, attempt], notBefore: now + (retry?.delayMs ?? 0), evidence: {} },
      'queued',
      now,
    ),
    effects: [],
  };
}

/** However many hosts there are: if this number of them fail, the hosts are not the cause. */
const hostsTried = 3;

/**
 * What a policy says of it goes before this: the target did not take the VM, nothing was sent, and the operator did
 * not name this one. The next suited host may.
 */
function elsewhere(migration: Migration): boolean {
  const { phases, to, request, attempts = [] } = migration;
  const since = phases.slice(phases.findLastIndex(({ phase }) => phase === 'preparing'));
  return (
    to !== undefined &&
    request.to === undefined &&
    attempts.length < hostsTried &&
    (refusalOf(migration) !== undefined || !since.some(({ phase }) => phase === 'transferring'))
  );
}

/** No host is left after attempts that failed: how the last one did says more than that. */
export function outOfHosts(
  migration: Migration,
  reasons: readonly Reason[],
): { readonly code: ErrorCode; readonly message: string; readonly reasons: readonly Reason[] } | undefined {
  const last = migration.attempts?.at(-1);
  if (last === undefined || !reasons.some(({ code }) => code === 'target-tried')) return undefined;
  return { code: last.error.code, message: last.error.message, reasons: [...last.error.reasons, ...reasons] };
}
