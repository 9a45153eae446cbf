/**
 * Carries one migration through its life: feeds events to core's `step`, stores what changed before any effect begins,
 * and turns the outcome of each effect into the next event. It holds no rule of its own; stopping it leaves the
 * migration running, to be adopted later.
 */
import {
  commandRefusal,
  FerryError,
  isCommand,
  isHalf,
  isPlanned,
  placed,
  step,
  type InstanceView,
  type Migration,
  type MigrationCommand,
  type MigrationEffect,
  type MigrationEvent,
  type Planned,
  type TimeMs,
} from '@ferry/core';
import { bothHosts, travelling, type MoveContext, type RunnerDeps } from './effects/context.ts';
import { finishMove, takeBack, takeBackUnplanned } from './effects/ending.ts';
import { prepareMove } from './effects/preparing.ts';
import { recoverMove, transferMove } from './effects/transferring.ts';
import { watchMove } from './effects/watching.ts';
import type { HostLink } from '../ports/ports.ts';
import { proveApart } from '../fleet/two-machines.ts';
import { staleRevision } from '../state/collection.ts';

/** Progress is stored this often, so that a restart does not show an older percentage. */
const storeProgressEveryMs = 2_000;
/** Figures are kept this often. */
const keepSampleEveryMs = 1_000;
/** Bounds a call about a running transfer; QEMU may be slow to answer, and a guest that hangs never does. */
const measureTimeoutMs = 30_000;
const storeRetryMs = 1_000;
/** Figures that wait while the store refuses; more of them say no more. */
const mostSamplesWaiting = 100;
/** Bounds making and deleting volumes, each as a whole. */
const storageTimeoutMs = 60_000;
const cleanRetryMs = 1_000;
/** A host that is slow to answer is nothing to tell an operator. */
const triesUntilTold = 5;

const storedLater = 'It is in force; that is stored once it can be, unless Ferry is stopped before.';
const doneLater = 'What was asked is done once it can be stored, unless Ferry is stopped before.';

/** What becomes of an operator's command. */
interface Answer {
  /** The revision that the migration must have. */
  readonly expected: number | undefined;
  refusal?: FerryError | undefined;
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
  /** What cannot be stored, and why. */
  let unstored: { readonly migration: Migration; readonly error: unknown } | undefined;
  const whenUnstored = new Set<() => void>();

  const save: RunnerDeps['store'] = async (next) => {
    for (;;) {
      try {
        const outcome = await deps.store(next);
        unstored = undefined;
        return outcome;
      } catch (error) {
        log.error({ err: error, migration: next.id }, 'the migration could not be stored; nothing is done until it is');
        const why = error instanceof Error ? error.message : String(error);
        const told: Migration = {
          ...next,
          attention: `Ferry stops working on this migration until it can store what happens: ${why}`,
        };
        const before = unstored?.migration;
        unstored = { migration: before ?? told, error };
        for (const tell of whenUnstored) tell();
        // what was known is old by now: libvirt goes on without us
        const seen = isPlanned(told)
          ? placed(told, await watch.look(told.from.id), await watch.look(told.to.id))
          : told;
        unstored = { migration: seen, error };
        if (JSON.stringify(seen.vmIsNow) !== JSON.stringify(before?.vmIsNow)) deps.changed(seen, false);
        await clock.sleep(storeRetryMs, signal);
      }
    }
  };

  /** Nothing is begun that cannot be stored. `kept`: what becomes of what was asked. Throws FerryError. */
  const refuseUnstored = (kept = 'Nothing was done.'): void => {
    if (unstored === undefined) return;
    const { error } = unstored;
    const [code, why] =
      error instanceof FerryError
        ? [error.code, error.message]
        : (['store-broken', error instanceof Error ? `${error.message}.` : `${String(error)}.`] as const);
    throw new FerryError(code, `Migration ${migration.id} cannot be stored: ${why} ${kept}`, { cause: error });
  };

  /**
   * Resolves when what was dispatched is stored and on its way. Rejects with FerryError when the store refuses; it is
   * not taken back then, which `kept` tells.
   */
  const settled = async (kept: string): Promise<void> => {
    let tell = (): void => undefined;
    const refused = new Promise<void>((resolve) => (tell = resolve));
    whenUnstored.add(tell);
    try {
      await Promise.race([draining, refused]);
      refuseUnstored(kept);
    } finally {
      whenUnstored.delete(tell);
    }
  };

  const drain = async (): Promise<void> => {
    await Promise.resolve();
    for (let seen = waiting.shift(); seen !== undefined && !signal.aborted; seen = waiting.shift()) {
      // when it was seen, not when its turn came: figures that waited for the store would seem to have come at once
      const { event, at: now, answer } = seen;
      if (event.type === 'sampled' && now - sampleKeptAt >= keepSampleEveryMs) {
        sampleKeptAt = now;
        deps.sampled(migration, event.sample, now);
      }
      while (!(await take(event, now, answer))) if (signal.aborted) break;
    }
    draining = undefined;
  };

  const refusedNow = (event: MigrationEvent): FerryError | undefined => {
    const refusal = isCommand(event) ? commandRefusal(migration, event) : undefined;
    return refusal === undefined ? undefined : new FerryError(refusal.code, refusal.message);
  };

  /** False: somebody else has changed the migration meanwhile, and the event is to be taken again, on what it is now. */
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
      const outcome = await save(next);
      if ('changed' in outcome) {
        log.warn({ migration: migration.id, event: event.type }, 'another control plane has changed the migration');
        if (outcome.changed === undefined) {
          const ended = `Migration ${migration.id} was brought to its end by another control plane.`;
          if (answer !== undefined) answer.refusal = new FerryError('migration-finished', ended);
          stopping.abort(new Error(ended));
          deps.ended(migration);
        } else {
          migration = outcome.changed;
          deps.changed(migration, true);
        }
        return false;
      }
      progressStoredAt = now;
      next = { ...next, revision: outcome.revision };
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

  const planned = (): Planned => {
    if (!isPlanned(migration)) throw new Error('a migration past its check has a target and a plan');
    return migration;
  };
  const source = (): HostLink => deps.linkOf(migration.from.id);
  const target = (): HostLink => deps.linkOf(planned().to.id);
  const bounded = (): AbortSignal => AbortSignal.any([signal, deps.clock.timeout(storageTimeoutMs)]);
  const apart = (): Promise<void> =>
    proveApart({ name: migration.from.name, link: source() }, { name: planned().to.name, link: target() }, bounded());
  const context = (): MoveContext => ({
    migration: planned(),
    current: planned,
    deps,
    source,
    target,
    signal,
    bounded,
    apart,
  });
  const watch = watchMove({ current: () => migration, deps, dispatch, signal });

  const perform = async (): Promise<void> => {
    void watch.sampleRegularly();
    const failure = await transferMove(context(), {
      handingOver: async () => {
        dispatch({ type: 'handing-over' });
        await draining;
      },
      lookAtTarget: () => watch.look(planned().to.id),
    });
    dispatch(failure === undefined ? { type: 'perform-ended' } : { type: 'perform-ended', failure });
    if (failure === undefined && planned().plan.transfer?.mode === 'peer-to-peer')
      await deps.reached(migration.from.id, planned().to.id);
  };

  /** What a policy or an operator has done about a running transfer. Resolves with a host's no, which is told. */
  const measure = async (
    name: Extract<MigrationEvent, { type: 'measure-refused' }>['measure'],
    take: (within: AbortSignal) => Promise<void>,
  ): Promise<unknown> => {
    try {
      await take(AbortSignal.any([signal, deps.clock.timeout(measureTimeoutMs)]));
      return undefined;
    } catch (error) {
      if (!signal.aborted)
        dispatch({
          type: 'measure-refused',
          measure: name,
          message: error instanceof Error ? error.message : String(error),
        });
      return error;
    }
  };

  const switchToPostCopy = async (within: AbortSignal): Promise<void> => {
    await source().steering.startPostCopy(migration.vm.uuid, within);
    dispatch({ type: 'post-copy-started' });
  };

  const recover = async (): Promise<void> => {
    void watch.sampleRegularly();
    const failure = await recoverMove(context());
    dispatch(failure === undefined ? { type: 'recover-ended' } : { type: 'recover-ended', failure });
  };

  const prepare = async (): Promise<void> => {
    try {
      const outlook = await prepareMove(context());
      if (outlook !== undefined) dispatch({ type: 'foretold', outlook });
      dispatch({ type: 'prepared' });
    } catch (error) {
      dispatch({
        type: 'prepared',
        failure: { outcome: 'refused', message: error instanceof Error ? error.message : String(error) },
      });
    }
  };

  const refresh = (): Promise<void> =>
    deps
      .refresh(migration.vm.uuid, bothHosts(migration), signal)
      .catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'inventory not refreshed'));

  /** Repeated until both hosts answer: half a clean-up is no end. */
  const clean = async (): Promise<void> => {
    let told = '';
    for (let tries = 1; ; tries += 1) {
      try {
        const event = await finishMove(context());
        await refresh();
        return dispatch(event);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: migration.id }, 'cleaning up goes on');
        const message = error instanceof Error ? error.message : String(error);
        if (tries >= triesUntilTold && message !== told) dispatch({ type: 'cleaning-fails', message });
        if (tries >= triesUntilTold) told = message;
        await clock.sleep(cleanRetryMs, signal);
      }
    }
  };

  /**
   * Tried for a while; what cannot be taken back stays recorded and is recognised later. Snapshots are not given up.
   */
  const undo = async (): Promise<void> => {
    for (let tries = 0; tries < 10 || migration.plan?.carriesSnapshots === true; tries += 1) {
      try {
        await (isPlanned(migration) ? takeBack(context()) : takeBackUnplanned(migration, source, bounded));
        break;
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: migration.id }, 'what was prepared cannot be taken back yet');
        await clock.sleep(cleanRetryMs, signal);
      }
    }
    await refresh();
    dispatch({ type: 'cleaned' });
  };

  /**
   * Only a half that is proved to be another process than the copy that stays. What was seen may be some seconds old:
   * the other host took its time to answer, or the store to keep it. What runs meanwhile is no half to be ended.
   */
  const endHalf = async (hostId: string, isStill: (view: InstanceView) => boolean): Promise<void> => {
    await apart();
    if (isStill(await watch.look(hostId))) await deps.linkOf(hostId).power.end(travelling(planned()), signal);
  };
  const isPaused = (view: InstanceView): boolean => view.kind === 'present' && view.state === 'paused';

  const execute = async (effect: MigrationEffect): Promise<unknown> => {
    switch (effect.type) {
      case 'check':
        // it was just shut down by us: nobody may have told the inventory yet
        if (migration.evidence.poweredOffAt !== undefined) await refresh();
        return dispatch({ type: 'checked', ...(await deps.check(migration, signal)) });
      case 'choose-ports': {
        const transfer = deps.otherPorts(planned());
        return dispatch({ type: 'ports-chosen', ...(transfer === undefined ? {} : { transfer }) });
      }
      case 'prepare':
        return prepare();
      case 'perform':
        return perform();
      case 'observe':
        if (migration.adopted === true) void watch.sampleRegularly();
        return watch.observe(effect.afterMs);
      case 'abort-job':
        return source().transfer.abort(travelling(planned()), signal);
      case 'note-not-reached':
        return deps.notReached(migration.from.id, planned().to.id, effect.message);
      case 'tune':
        return measure('tune', async (within) => {
          await source().steering.tune(travelling(planned()), effect.limits, within);
          if (effect.asked !== undefined) dispatch({ type: 'limits-changed', limits: effect.asked });
        });
      case 'post-copy':
        return measure('post-copy', switchToPostCopy);
      case 'pause-guest':
        return measure('pause-guest', (within) => source().power.suspend(travelling(planned()), within));
      case 'release-throttle':
        return measure('release-throttle', (within) =>
          source().steering.releaseThrottle(travelling(planned()), within),
        );
      case 'cut-copies':
        await source().steering.cutCopies(travelling(planned()), bounded());
        return source().transfer.abort(travelling(planned()), signal);
      case 'end-helper':
        if (planned().plan.helper === undefined) throw new Error('only a helper is ended without a proof');
        return source().power.end(travelling(planned()), bounded());
      case 'recover':
        return recover();
      case 'release-target':
        return target().power.resume(travelling(planned()), signal);
      case 'shut-down-source':
        return source().power.shutdown(travelling(planned()), signal);
      case 'suspend-both':
        await apart();
        await Promise.allSettled(
          [source(), target()].map((link) => link.power.suspend(travelling(planned()), bounded())),
        );
        return undefined;
      case 'resume-source':
        return source().power.resume(travelling(planned()), signal);
      case 'remove-source-process':
        return endHalf(migration.from.id, isHalf);
      case 'remove-target-process':
        return endHalf(planned().to.id, isPaused);
      case 'clean':
        return clean();
      case 'undo':
        return undo();
    }
  };

  return {
    current: () => unstored?.migration ?? migration,
    dispatch,
    async command(command, expected) {
      refuseUnstored();
      const answer: Answer = { expected, calls: [] };
      dispatch(command, answer);
      await settled(doneLater);
      if (answer.refusal !== undefined) throw answer.refusal;
      const failed = (await Promise.all(answer.calls)).find((error) => error !== undefined);
      if (failed !== undefined) throw failed;
      await settled(storedLater);
      return migration;
    },
    stop: async () => {
      stopping.abort(new Error('the control plane stops'));
      await draining;
    },
  };
}
