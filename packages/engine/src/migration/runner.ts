/**
 * Carries one migration through its life: feeds events to core's `step`, stores what changed before any effect begins,
 * and turns the outcome of each effect into the next event. It holds no rule of its own; stopping it leaves the
 * migration running, to be adopted later.
 */
import {
  commandRefusal,
  FerryError,
  isCommand,
  isPlanned,
  notGiven,
  step,
  type Migration,
  type MigrationCommand,
  type MigrationEffect,
  type MigrationEvent,
  type TimeMs,
} from '@ferry/core';
import { carryOutOn } from './effects/carry-out.ts';
import type { RunnerDeps } from './effects/context.ts';
import { watchMove } from './effects/watching.ts';
import { staleRevision } from '../state/collection.ts';
import { storeUntilKept } from './storing.ts';

/** Progress is stored this often, so that a restart does not show an older percentage. */
const storeProgressEveryMs = 2_000;
/** Figures are kept this often. */
const keepSampleEveryMs = 1_000;
/** Figures that wait while the store refuses; more of them say no more. */
const mostSamplesWaiting = 100;
const storedLater = 'It is in force; that is stored once it can be, unless Ferry is stopped before.';
const doneLater = 'What was asked is done once it can be stored, unless Ferry is stopped before.';

/** What becomes of an operator's command. */
interface Answer {
  /** The revision that the migration must have. */
  readonly expected: number | undefined;
  refusal?: Error | undefined;
  /** The calls that a host has to answer, each with why it did not take it. */
  readonly calls: Promise<unknown>[];
}

export interface MigrationRunner {
  /** As it is stored; while the store refuses, as it is known to be, with the reason. */
  current(): Migration;
  dispatch(event: MigrationEvent): void;
  /**
   * Resolves when the command is stored and, for limits and post-copy, the source has taken it. Rejects with FerryError
   * where core refuses it, the store cannot keep it, or the source does not take it; and with `revision-stale` where
   * the migration has not the revision `expected`.
   */
  command(command: MigrationCommand, expected?: number): Promise<Migration>;
  stop(): Promise<void>;
}

export function runMigration(initial: Migration, deps: RunnerDeps): MigrationRunner {
  const { clock, log } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const waiting: { readonly event: MigrationEvent; readonly at: TimeMs; readonly answer?: Answer }[] = [];
  let migration = initial;
  let draining: Promise<void> | undefined;
  let progressStoredAt = 0;
  let sampleKeptAt = 0;

  const drain = async (): Promise<void> => {
    await Promise.resolve();
    for (let seen = waiting.shift(); seen !== undefined && !signal.aborted; seen = waiting.shift()) {
      // when it was seen, not when its turn came: figures that waited for the store would seem to have come at once
      const { event, at: now, answer } = seen;
      if (event.type === 'sampled' && now - sampleKeptAt >= keepSampleEveryMs) {
        sampleKeptAt = now;
        deps.sampled(migration, event.sample, now);
      }
      try {
        while (!(await take(event, now, answer))) if (signal.aborted) break;
      } catch (error) {
        if (signal.aborted) break;
        // those after it have their turn all the same
        if (answer !== undefined) answer.refusal = error instanceof Error ? error : new Error(String(error));
        log.error({ err: error, migration: migration.id, event: event.type }, 'migration step failed');
      }
    }
    draining = undefined;
  };

  const refusedNow = (event: MigrationEvent): FerryError | undefined => {
    const refusal = isCommand(event) ? commandRefusal(migration, event) : undefined;
    return refusal === undefined ? undefined : new FerryError(refusal.code, refusal.message);
  };

  /** False: another control plane has changed the migration, and the event has to be applied again. */
  const take = async (event: MigrationEvent, now: TimeMs, answer: Answer | undefined): Promise<boolean> => {
    const stale = staleRevision(`Migration ${migration.id}`, migration.revision ?? 0, answer?.expected);
    if (answer !== undefined) answer.refusal = stale ?? refusedNow(event);
    if (stale !== undefined) return true;
    const stepped = step(migration, event, now);
    let next = stepped.migration;
    const onlyProgress = event.type === 'sampled';
    const changed = next !== migration && JSON.stringify(next) !== JSON.stringify(migration);
    const decided = next.decisions !== migration.decisions;
    if (changed && (!onlyProgress || decided || now - progressStoredAt >= storeProgressEveryMs)) {
      const outcome = await storing.store(next);
      if ('full' in outcome) {
        const { full } = outcome;
        log.info({ migration: migration.id, reasons: full.reasons.map(({ code }) => code) }, 'others were faster');
        const instead = notGiven(event, full, () => (isPlanned(migration) ? deps.otherPorts(migration) : undefined));
        if (instead === undefined) throw new Error(`a ${event.type} takes something that is not reserved`);
        return take(instead, now, answer);
      }
      if ('changed' in outcome) {
        log.warn({ migration: migration.id, event: event.type }, 'another control plane has changed the migration');
        if (outcome.changed === undefined) {
          const ended = `Migration ${migration.id} was brought to its end by another control plane.`;
          if (answer !== undefined) answer.refusal = new FerryError('migration-finished', ended);
          stopping.abort(new Error(ended));
          deps.ended(migration);
        } else {
          const { phase } = migration;
          migration = outcome.changed;
          deps.changed(migration, true);
          // perhaps an earlier try of ours whose answers were lost: nobody carries out what follows from that phase
          if (migration.phase !== phase) await take({ type: 'recovered' }, now, undefined);
        }
        return false;
      }
      progressStoredAt = now;
      next = { ...(outcome.migration ?? next), revision: outcome.revision };
    }
    migration = next;
    if (changed) deps.changed(migration, !onlyProgress || decided);
    for (const effect of stepped.effects) {
      const call = supervise(effect);
      if (effect.type === 'tune' || effect.type === 'post-copy') answer?.calls.push(call);
    }
    return true;
  };

  const dispatch = (event: MigrationEvent, answer?: Answer): void => {
    if (signal.aborted || (event.type === 'sampled' && waiting.length >= mostSamplesWaiting)) return;
    waiting.push({ event, at: clock.now(), ...(answer === undefined ? {} : { answer }) });
    draining ??= drain().catch((error: unknown) => {
      draining = undefined;
      if (!signal.aborted) log.error({ err: error, migration: migration.id }, 'migration step failed');
    });
  };

  const supervise = (effect: MigrationEffect): Promise<unknown> =>
    execute(effect).catch((error: unknown) => {
      if (!signal.aborted) log.error({ err: error, migration: migration.id, effect: effect.type }, 'effect failed');
    });

  const watch = watchMove({ current: () => migration, deps, dispatch, signal });
  const storing = storeUntilKept({
    deps,
    current: () => migration,
    look: (hostId) => watch.look(hostId),
    working: () => draining,
    signal,
  });
  const execute = carryOutOn({
    deps,
    current: () => migration,
    watch,
    dispatch,
    handled: () => draining,
    signal,
  });

  return {
    current: () => storing.unstored() ?? migration,
    dispatch,
    async command(command, expected) {
      storing.refuseUnstored();
      const answer: Answer = { expected, calls: [] };
      dispatch(command, answer);
      await storing.settled(doneLater);
      if (answer.refusal !== undefined) throw answer.refusal;
      const failed = (await Promise.all(answer.calls)).find((error) => error !== undefined);
      if (failed !== undefined) throw failed;
      await storing.settled(storedLater);
      return migration;
    },
    stop: async () => {
      stopping.abort(new Error('the control plane stops'));
      await draining;
    },
  };
}
