/**
 * The life of a migration as a pure function: `(migration, event, now) -> { migration, effects }`. The engine stores a
 * changed phase before it carries out the effects, so a restart in any phase finds what was about to happen and asks
 * both hosts; an action whose outcome is unknown is never repeated. What libvirt says of the instances decides
 * (judge.ts); the end of the performing call only prompts the look.
 */
import type { TimeMs } from '../model/ids.ts';
import { isPlanned, type Migration } from '../model/migration.ts';
import type { CheckResult } from '../model/plan.ts';
import { outOfHosts } from './attempts.ts';
import { fellSilent, stopTransfer } from './dead-copy.ts';
import { commanded, tuneEffect } from './commands.ts';
import { cleaned, close, end, finish, isUnderway, underway } from './finish.ts';
import { hookAnswered, lookedAgain, prepareOrAsk } from './hook-answered.ts';
import { enterPhase } from './phase.ts';
import { recoverEnded } from './post-copy-recovery.ts';
import { observeEveryMs, observeTransferEveryMs } from './intervals.ts';
import type { MigrationEffect, Step, MigrationEvent } from './protocol.ts';
import { predicted, measureRefused, sampled, withLimits } from './steer.ts';
import { withOtherPorts } from './taken-ports.ts';
import { observed } from './verdicts.ts';

const stay = (migration: Migration, ...effects: MigrationEffect[]): Step => ({ migration, effects });

export function step(migration: Migration, event: MigrationEvent, now: TimeMs): Step {
  if (migration.outcome !== undefined) return stay(migration);
  switch (event.type) {
    case 'admitted':
      return migration.phase === 'queued'
        ? stay(enterPhase(withoutWait(migration), 'checking', now), { type: 'check' })
        : stay(migration);
    case 'recovered':
      return recovered(migration, now);
    case 'checked':
      if (migration.phase !== 'checking') return stay(migration);
      return checked(event.vmIsNow === undefined ? migration : placed(migration, event.vmIsNow), event.result, now);
    case 'ports-chosen':
      return isUnderway(migration) && migration.phase === 'verifying'
        ? withOtherPorts(migration, event.transfer, now)
        : stay(migration);
    case 'predicted':
      return stay(migration.phase === 'preparing' ? predicted(migration, event.prediction, now) : migration);
    case 'hook-answered':
      return hookAnswered(migration, event, now);
    case 'looked-again':
      return lookedAgain(migration, event.reasons, now);
    case 'prepared':
      if (migration.phase !== 'preparing' || !isPlanned(migration)) return stay(migration);
      if (event.failure !== undefined) {
        return end(migration, 'failed', now, {
          code: 'migration-failed',
          message: `Preparing the move of ${migration.vm.name} failed: ${event.failure.message}`,
        });
      }
      if (migration.plan.how === 'definition' || migration.plan.how === 'stored-definition')
        return stay(enterPhase(migration, 'cleaning', now), { type: 'clean' });
      return stay(
        enterPhase(migration, 'transferring', now),
        { type: 'perform' },
        { type: 'observe', afterMs: observeTransferEveryMs },
      );
    case 'sampled':
      return isUnderway(migration) ? withLook(migration, sampled(migration, event.sample, now)) : stay(migration);
    case 'switching':
      return switching(migration, event.what, now);
    case 'handing-over':
      return isUnderway(migration)
        ? stay(enterPhase({ ...migration, evidence: { ...migration.evidence, handedOverAt: now } }, 'switching', now), {
            type: 'observe',
            afterMs: observeEveryMs,
          })
        : stay(migration);
    case 'perform-ended': {
      if (!isUnderway(migration) || migration.evidence.performEnded !== undefined) return stay(migration);
      const performEnded = event.failure === undefined ? { at: now } : { at: now, failure: event.failure };
      return stay(enterPhase({ ...migration, evidence: { ...migration.evidence, performEnded } }, 'verifying', now), {
        type: 'observe',
        afterMs: 0,
      });
    }
    case 'observed':
      return isUnderway(migration) ? observed(migration, event, now) : stay(migration);
    case 'post-copy-started':
      return isUnderway(migration)
        ? stay(enterPhase(migration, 'post-copy', now), { type: 'observe', afterMs: observeEveryMs })
        : stay(migration);
    case 'limits-changed':
      return stay(withLimits(migration, event.limits, now));
    case 'measure-refused':
      return stay(measureRefused(migration, event, now));
    case 'recover-ended':
      return isUnderway(migration)
        ? stay(recoverEnded(migration, event.failure, now), { type: 'observe', afterMs: observeEveryMs })
        : stay(migration);
    case 'abort-requested':
    case 'tune-requested':
    case 'post-copy-requested':
    case 'pause-requested':
      return commanded(migration, event, now);
    case 'cleaning-fails':
      return stay(
        migration.phase === 'cleaning'
          ? {
              ...migration,
              attention: `The steps after the move of ${migration.vm.name} failed and are tried again: ${event.message}`,
            }
          : migration,
      );
    case 'cleaned':
      return migration.phase === 'cleaning' && migration.evidence.closing === undefined
        ? cleaned(migration, event, now)
        : stay(migration);
  }
}

function placed(before: Migration, vmIsNow: NonNullable<Migration['vmIsNow']> | 'nowhere'): Migration {
  if (vmIsNow !== 'nowhere') return { ...before, vmIsNow };
  const { vmIsNow: _, ...migration } = before;
  return migration;
}

function checked(migration: Migration, result: CheckResult, now: TimeMs): Step {
  switch (result.kind) {
    case 'refused':
      return end(
        migration,
        'failed',
        now,
        outOfHosts(migration, result.reasons) ?? {
          code: 'migration-refused',
          message: `${migration.vm.name} cannot be moved: ${result.reasons[0]?.message ?? ''}`,
          reasons: result.reasons,
        },
      );
    case 'waits': {
      // it is admitted when one of the hosts has room; not at once, should what is counted there not be what the
      // checks found
      const attention = `It waits: ${[...new Set(result.reasons.map(({ message }) => message))].join(' ')}`;
      return stay(
        enterPhase({ ...migration, waitsFor: result.on, attention, notBefore: now + waitAgainMs }, 'queued', now),
      );
    }
    case 'chosen':
      return prepareOrAsk(
        enterPhase({ ...migration, to: result.to, kind: result.move, plan: result.plan }, 'preparing', now),
      );
  }
}
const waitAgainMs = 1_000;

function withoutWait(migration: Migration): Migration {
  const { waitsFor, attention: _, ...rest } = migration;
  return waitsFor === undefined ? migration : rest;
}

const withLook = (before: Migration, { migration, effects }: Step): Step =>
  fellSilent(before, migration) ? stay(migration, ...effects, { type: 'observe', afterMs: 0 }) : { migration, effects };

function switching(before: Migration, what: 'paused' | 'runs' | undefined, now: TimeMs): Step {
  if (!isUnderway(before)) return stay(before);
  const { seen = {} } = before.evidence;
  // at the end of post-copy the target says once more that it runs
  const migration =
    what === undefined || (what === 'paused' ? seen.pausedAt : seen.runsAt) !== undefined
      ? before
      : {
          ...before,
          evidence: { ...before.evidence, seen: { ...seen, [what === 'paused' ? 'pausedAt' : 'runsAt']: now } },
        };
  // a guest that Ferry paused sends no event at the switch
  return migration.phase === 'transferring' && migration.evidence.pausedAt === undefined
    ? stay(enterPhase(migration, 'switching', now), { type: 'observe', afterMs: observeEveryMs })
    : stay(migration);
}

/** Past its check and without a plan: the first versions of Ferry stored none. */
const isUnknown = (migration: Migration): boolean =>
  !isPlanned(migration) &&
  (underway(migration.phase) ||
    migration.phase === 'preparing' ||
    (migration.phase === 'cleaning' &&
      migration.evidence.ending === undefined &&
      migration.evidence.closing === undefined));

function recovered(migration: Migration, now: TimeMs): Step {
  if (isUnknown(migration))
    return finish(migration, 'failed', now, {
      code: 'migration-interrupted',
      message:
        `${migration.vm.name}: an old version of Ferry began this migration and did not store its plan. ` +
        `See where it is: ferry vm show ${migration.vm.name}`,
    });
  switch (migration.phase) {
    case 'checking':
      return stay(migration, { type: 'check' });
    case 'preparing':
      return prepareOrAsk(migration);
    case 'transferring':
    case 'switching':
    case 'post-copy':
    case 'verifying':
      return stay(
        { ...migration, adopted: true, evidence: untried(migration.evidence) },
        { type: 'observe', afterMs: 0 },
        ...unfinished(migration),
      );
    case 'cleaning':
      if (migration.evidence.closing !== undefined) return close(migration, migration.evidence.closing, now);
      return stay(migration, { type: migration.evidence.ending === undefined ? 'clean' : 'undo' });
    case 'queued':
    case 'succeeded':
    case 'failed':
    case 'cancelled':
      return stay(migration);
  }
}

/** What was stored and perhaps not done any more before the restart; doing it twice changes nothing. */
function unfinished(migration: Migration): readonly MigrationEffect[] {
  const {
    phase,
    abortRequestedAt,
    evidence: { gaveUp, pausedAt, poweredOffAt, tuning },
  } = migration;
  const limits = tuning === undefined ? [] : [tuneEffect(migration, tuning)];
  if (phase === 'post-copy') return limits;
  if (poweredOffAt !== undefined && abortRequestedAt === undefined) return [{ type: 'shut-down-source' }];
  if (abortRequestedAt !== undefined || gaveUp !== undefined) return [stopTransfer(migration)];
  return pausedAt !== undefined && phase === 'transferring' ? [{ type: 'pause-guest' }, ...limits] : limits;
}

/** A try to resume that nobody waits for any more. */
function untried({ postCopyRecovery: recovery, ...evidence }: Migration['evidence']): Migration['evidence'] {
  if (recovery === undefined) return evidence;
  const { trying: _, ...rest } = recovery;
  return { ...evidence, postCopyRecovery: rest };
}
