/**
 * How a migration ends: what was prepared is taken back or kept, the VM's place and the figures are written down, and
 * the sentence says why.
 */
import { errorReport, type ErrorCode } from '../model/errors.ts';
import type { TimeMs } from '../model/ids.ts';
import {
  isPlanned,
  type Migration,
  type MigrationOutcome,
  type MigrationPhase,
  type Planned,
} from '../model/migration.ts';
import type { Reason } from '../model/reasons.ts';
import type { InstanceView } from '../model/vm.ts';
import { stateRemedy } from '../planning/state-versions.ts';
import { nextAttempt } from './attempts.ts';
import { nextAtEnd, type Closing } from './hooks.ts';
import { enterPhase } from './phase.ts';
import { halfLeftText } from './post-copy-recovery.ts';
import { finalProgress } from './progress.ts';
import type { MigrationEvent, Step } from './protocol.ts';

export interface ErrorText {
  readonly code: ErrorCode;
  readonly message: string;
  readonly reasons?: readonly Reason[];
}

/** The call that moves the VM may have been sent, so it has its target and its plan. */
export const isUnderway = (migration: Migration): migration is Planned =>
  underway(migration.phase) && isPlanned(migration);

/** Phases in which the call that moves the VM may have been sent. */
export const underway = (phase: MigrationPhase): boolean =>
  ['transferring', 'switching', 'post-copy', 'verifying'].includes(phase);

/** Something was created for the move, or must be checked, before it ends. */
function leavesSomething({ plan, request, evidence, phase }: Migration, outcome: MigrationOutcome): boolean {
  if (outcome === 'failed' && request.keepTargetOnFailure === true && underway(phase)) return true;
  if (evidence.poweredOffAt !== undefined && (request.kind === 'cold' || outcome === 'cancelled')) return true;
  if (plan === undefined) return false;
  return (
    plan.how === 'helper' ||
    plan.transfer?.handover === true ||
    plan.carriesSnapshots === true ||
    plan.definition?.creates !== undefined ||
    plan.disks.some(({ how }) => how === 'copy' || how === 'file')
  );
}

/** Ends a migration that did not move the VM: what was prepared is taken back first, while the VM is where it was. */
export function end(migration: Migration, outcome: MigrationOutcome, now: TimeMs, error?: ErrorText): Step {
  if (!leavesSomething(migration, outcome)) return finish(migration, outcome, now, error);
  const ending = {
    outcome,
    ...(error === undefined ? {} : { error: errorReport(error.code, error.message, error.reasons) }),
  };
  return {
    migration: enterPhase({ ...migration, evidence: { ...migration.evidence, ending } }, 'cleaning', now),
    effects: [{ type: 'undo' }],
  };
}

const sentInPostCopy = ({ phases, progress }: Migration): number =>
  phases.some(({ phase }) => phase === 'post-copy') ? (progress?.sentBytes ?? 0) : 0;

export function cleaned(
  before: Migration,
  { failure, vmIsNow, copiedBytes = 0 }: Extract<MigrationEvent, { type: 'cleaned' }>,
  now: TimeMs,
): Step {
  // libvirt keeps no figures of a job that ended in post-copy: the last sample is all there is
  const transferredBytes = copiedBytes + (before.transferredBytes ?? sentInPostCopy(before));
  const migration = {
    ...before,
    ...(vmIsNow === undefined ? {} : { vmIsNow }),
    ...(transferredBytes === 0 ? {} : { transferredBytes }),
  };
  const { ending } = migration.evidence;
  if (ending !== undefined) return finish(migration, ending.outcome, now, ending.error);
  if (isPlanned(migration) && migration.evidence.sourceHalfLeft === true)
    return finish(migration, 'failed', now, {
      code: 'source-half-left',
      message: halfLeftText(migration, failure?.message),
    });
  if (failure === undefined) return finish(migration, 'succeeded', now);
  // what was prepared for a VM that has moved is the VM's own now
  return (failure.moved ? finish : end)(migration, 'failed', now, {
    code: 'migration-failed',
    message: `${migration.vm.name}: ${failure.message}`,
  });
}

/** `moved`: the look was at the target. */
export const withPlace = (migration: Planned, at: InstanceView, moved = false): Planned =>
  at.kind === 'present' && migration.plan.helper === undefined
    ? {
        ...migration,
        vmIsNow: { host: (moved ? migration.to : migration.from).name, state: at.state },
      }
    : migration;

/** Where the VM is, as both hosts show it while nothing is decided. */
export function placed(migration: Planned, source: InstanceView, target: InstanceView): Planned {
  const runs = (view: InstanceView): boolean => view.kind === 'present' && view.state === 'running';
  const moved = runs(target) && !runs(source);
  return withPlace(migration, moved ? target : source, moved);
}

export function withoutAttention(migration: Migration, keep = false): Migration {
  const { attention, ...rest } = migration;
  return keep || attention === undefined ? migration : rest;
}

export const failureText = (migration: Migration): string =>
  migration.evidence.gaveUp?.text ??
  migration.evidence.performEnded?.failure?.message ??
  (migration.adopted === true
    ? 'the control plane was restarted and found no transfer running'
    : 'libvirt ended the migration without saying why');

/** What libvirt and QEMU say of a name that the source does not resolve, or resolves to itself. */
const unresolved =
  /address resolution failed for|unable to resolve address|Name or service not known|Temporary failure in name resolution/i;

/** The remedy that libvirt's own sentence does not name. */
const wayOutOf = ({ from, to, plan }: Planned, message: string): string =>
  unresolved.test(message)
    ? ` ${from.name} does not resolve that name of ${to.name}: give Ferry the address, "ferry host set ` +
      `${to.name} --migration-address ADDRESS".`
    : stateRemedy(message, plan.stateRisks);

export function stayedError(migration: Planned, verdict: 'stayed' | 'stopped-on-source'): ErrorText | undefined {
  if (migration.abortRequestedAt !== undefined) return undefined;
  const where =
    verdict === 'stayed'
      ? `${migration.vm.name} stayed on ${migration.from.name}`
      : `${migration.vm.name} stopped on ${migration.from.name} during the migration`;
  const { gaveUp } = migration.evidence;
  if (gaveUp !== undefined && verdict === 'stayed')
    return {
      code: gaveUp.targetSilent === true ? 'migration-failed' : 'migration-not-converged',
      message: `${where}: ${gaveUp.text}`,
    };
  const code =
    migration.adopted === true && migration.evidence.performEnded === undefined
      ? 'migration-interrupted'
      : 'migration-failed';
  return { code, message: `${where}: ${failureText(migration)}${wayOutOf(migration, failureText(migration))}` };
}

export function finish(before: Migration, outcome: MigrationOutcome, now: TimeMs, error?: ErrorText): Step {
  const next = outcome === 'failed' ? nextAttempt(before, now, error) : undefined;
  const report = error === undefined ? {} : { error: errorReport(error.code, error.message, error.reasons) };
  return next ?? close(before, { outcome, at: now, ...report }, now);
}

/** What becomes of the VM is settled: hooks that are told of the end are called, and then it has ended. */
export function close(before: Migration, closing: Closing, now: TimeMs): Step {
  const hook = nextAtEnd(before, closing);
  if (hook !== undefined)
    return {
      migration: enterPhase({ ...before, evidence: { ...before.evidence, closing } }, 'cleaning', now),
      effects: [{ type: 'call-hook', hook }],
    };
  const { outcome, at, error } = closing;
  const migration = withoutAttention(before, outcome === 'failed');
  const start = migration.phases[0]?.at ?? at;
  const progress = outcome === 'succeeded' ? finalProgress(migration.progress) : migration.progress;
  const ended: Migration = {
    ...migration,
    outcome,
    // hooks that were called since are no part of the move
    totalMs: Math.max(0, at - start),
    // shut down by the policy: it was away for all of the cold move
    ...(outcome === 'succeeded' && migration.evidence.poweredOffAt !== undefined
      ? { downtimeMs: at - migration.evidence.poweredOffAt }
      : {}),
    ...(progress === undefined ? {} : { progress }),
    ...(error === undefined ? {} : { error }),
  };
  return { migration: enterPhase(ended, outcome, now), effects: [] };
}
