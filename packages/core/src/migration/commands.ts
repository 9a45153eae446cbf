/**
 * What an operator may do to a migration in its current state, and the effects. A command is stored before it is
 * carried out. What only a host can grant (limits, post-copy) is stored as requested, and is in force once the host has
 * accepted it.
 */
import type { ErrorCode } from '../model/errors.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { transferLimits } from './bandwidth.ts';
import { stopTransfer } from './dead-copy.ts';
import { noted } from './decision-log.ts';
import { end, underway } from './finish.ts';
import { observeEveryMs } from './intervals.ts';
import type { MigrationCommand, MigrationEffect, MigrationEvent, OperatorLimits, Step } from './protocol.ts';
import { withLimits } from './steer.ts';

export interface CommandRefusal {
  readonly code: ErrorCode;
  readonly message: string;
}

const refusal = (code: ErrorCode, message: string): CommandRefusal => ({ code, message });

export const isCommand = (event: MigrationEvent): event is MigrationCommand =>
  ['tune-requested', 'abort-requested', 'post-copy-requested', 'pause-requested'].includes(event.type);

/** Why the migration does not take the command now; undefined when it does. */
export function commandRefusal(migration: Migration, { type }: MigrationCommand): CommandRefusal | undefined {
  const { id, phase, outcome, plan, evidence } = migration;
  if (outcome !== undefined) return refusal('migration-finished', `Migration ${id} has already ${outcome}.`);
  if (evidence.closing !== undefined)
    return refusal('migration-finished', `Migration ${id} has ${evidence.closing.outcome}, and its hooks are told so.`);
  switch (type) {
    case 'tune-requested':
      return undefined;
    case 'abort-requested':
      return isPastReturn(migration)
        ? refusal('migration-past-return', `Migration ${id} is past its point of no return (${phase}).`)
        : undefined;
    case 'post-copy-requested':
      if (plan?.transfer?.postCopy !== true)
        return refusal('post-copy-not-allowed', `Migration ${id} was not started with post-copy allowed.`);
      return phase === 'transferring'
        ? undefined
        : refusal('migration-not-transferring', `Migration ${id} is not transferring memory but ${phase}.`);
    case 'pause-requested':
      return phase === 'transferring' && plan?.live === true && plan.how === 'guest'
        ? undefined
        : refusal('migration-not-transferring', `Migration ${id} does not move a running guest: it is ${phase}.`);
  }
}

/** From here on nothing is rolled back: the target has the guest, or pages that only the source has are on their way. */
const isPastReturn = ({ phase, phases }: Migration): boolean =>
  phase === 'cleaning' || (underway(phase) && phases.some((past) => past.phase === 'post-copy'));

/** Carries a command into the migration; one that is refused changes nothing. */
export function commanded(migration: Migration, command: MigrationCommand, now: TimeMs): Step {
  if (commandRefusal(migration, command) !== undefined) return { migration, effects: [] };
  switch (command.type) {
    case 'tune-requested':
      return tuned(migration, command.limits, now);
    case 'abort-requested': {
      const { vmIsNow } = command;
      return aborted(
        migration.plan === undefined && vmIsNow !== undefined ? { ...migration, vmIsNow } : migration,
        now,
      );
    }
    case 'post-copy-requested':
      return {
        migration: noted(migration, { do: 'note', what: 'operator' }, 'the operator had it switched to post-copy', now),
        effects: [{ type: 'post-copy' }],
      };
    case 'pause-requested':
      return migration.evidence.pausedAt === undefined ? paused(migration, now) : { migration, effects: [] };
  }
}

function paused(migration: Migration, now: TimeMs): Step {
  const evidence = { ...migration.evidence, pausedAt: now };
  return {
    migration: noted(
      { ...migration, evidence },
      { do: 'pause' },
      'the operator paused the guest until it has arrived',
      now,
    ),
    effects: [{ type: 'pause-guest' }],
  };
}

/** Memory travels; so it does, or will again, while the hosts are asked what became of a post-copy that broke. */
const isTransferring = ({ phase, phases }: Migration): boolean =>
  ['transferring', 'switching', 'post-copy'].includes(phase) ||
  (phase === 'verifying' && phases.some((past) => past.phase === 'post-copy'));

function tuned(migration: Migration, limits: OperatorLimits, now: TimeMs): Step {
  const { maxBandwidthMiBPerSecond, maxDowntimeMs } = limits;
  const ofTransfer = maxBandwidthMiBPerSecond !== undefined || maxDowntimeMs !== undefined;
  if (!ofTransfer || !isTransferring(migration)) return { migration: withLimits(migration, limits, now), effects: [] };
  const asked = { ...migration, evidence: { ...migration.evidence, tuning: limits } };
  return { migration: asked, effects: [tuneEffect(migration, limits)] };
}

/** The limits that are sent to the source. Those that it accepts are the operator's from then on. */
export const tuneEffect = (migration: Migration, limits: OperatorLimits): MigrationEffect => ({
  type: 'tune',
  limits: transferLimits(migration, limits),
  asked: limits,
});

function aborted(migration: Migration, now: TimeMs): Step {
  const marked = { ...migration, abortRequestedAt: migration.abortRequestedAt ?? now };
  return underway(migration.phase)
    ? { migration: marked, effects: [stopTransfer(migration), { type: 'observe', afterMs: observeEveryMs }] }
    : end(marked, 'cancelled', now);
}
