/**
 * Carries one migration through its life: feeds events to core's `step`, stores what changed before any effect begins,
 * and turns the outcome of each effect into the next event. It holds no rule of its own; stopping it leaves the
 * migration running, to be adopted later.
 */
import { FerryError, step, type CallFailure, type InstanceView, type Migration, type MigrationEffect, type MigrationEvent } from '@ferry/core';
import type { Clock, HostLink, Log } from './ports.ts';

const sampleEveryMs = 500;
/** Progress is stored this often, so that a restart does not show an older percentage. */
const storeProgressEveryMs = 2_000;
const observeTimeoutMs = 5_000;
const storeRetryMs = 1_000;

export interface RunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly installation: string;
  /** The open connection of a host; throws FerryError `host-unreachable`. */
  readonly linkOf: (hostId: string) => HostLink;
  /** URI by which other hosts reach this one. */
  readonly uriOf: (hostId: string) => string;
  readonly check: (migration: Migration) => Extract<MigrationEvent, { type: 'checked' }>['result'];
  /** Stores the migration; a finished one goes to the journal. Resolves when it is durable. */
  readonly store: (migration: Migration) => Promise<void>;
  /** Called after each change; `kept` tells a stored change from progress. */
  readonly changed: (migration: Migration, kept: boolean) => void;
  /** Reads the VM again on both hosts. */
  readonly refresh: (migration: Migration, signal: AbortSignal) => Promise<void>;
}

export interface MigrationRunner {
  current(): Migration;
  dispatch(event: MigrationEvent): void;
  stop(): Promise<void>;
}

export function runMigration(initial: Migration, deps: RunnerDeps): MigrationRunner {
  const { clock, log } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const waiting: MigrationEvent[] = [];
  let migration = initial;
  let draining: Promise<void> | undefined;
  let progressStoredAt = 0;
  let sampling = false;
  let observation: { readonly dueAt: number; readonly cancel: AbortController } | undefined;

  const save = async (next: Migration): Promise<void> => {
    for (;;) {
      try {
        return await deps.store(next);
      } catch (error) {
        log.error({ err: error, migration: next.id }, 'the migration could not be stored; nothing is done until it is');
        await clock.sleep(storeRetryMs, signal);
      }
    }
  };

  const drain = async (): Promise<void> => {
    await Promise.resolve();
    for (let event = waiting.shift(); event !== undefined && !signal.aborted; event = waiting.shift()) {
      const now = clock.now();
      const { migration: next, effects } = step(migration, event, now);
      const onlyProgress = event.type === 'sampled';
      const changed = next !== migration && JSON.stringify(next) !== JSON.stringify(migration);
      if (changed && (!onlyProgress || now - progressStoredAt >= storeProgressEveryMs)) {
        await save(next);
        progressStoredAt = now;
      }
      migration = next;
      if (changed) deps.changed(migration, !onlyProgress);
      for (const effect of effects) supervise(effect);
    }
    draining = undefined;
  };

  const dispatch = (event: MigrationEvent): void => {
    if (signal.aborted) return;
    waiting.push(event);
    draining ??= drain().catch((error: unknown) => {
      draining = undefined;
      if (!signal.aborted) log.error({ err: error, migration: migration.id }, 'migration step failed');
    });
  };

  const supervise = (effect: MigrationEffect): void => {
    void execute(effect).catch((error: unknown) => {
      if (!signal.aborted) log.error({ err: error, migration: migration.id, effect: effect.type }, 'effect failed');
    });
  };

  const sourceDriver = () => deps.linkOf(migration.from.id).migration;
  const targetId = (): string => {
    if (migration.to === undefined) throw new Error('a migration past its checks has a target');
    return migration.to.id;
  };

  const look = async (hostId: string): Promise<InstanceView> => {
    try {
      return await deps.linkOf(hostId).migration.observe(migration.vm.uuid, AbortSignal.any([signal, AbortSignal.timeout(observeTimeoutMs)]));
    } catch (error) {
      return { kind: 'unreachable', message: error instanceof Error ? error.message : String(error) };
    }
  };

  const observe = async (afterMs: number): Promise<void> => {
    const dueAt = clock.now() + afterMs;
    if (observation !== undefined && observation.dueAt <= dueAt) return;
    observation?.cancel.abort(new Error('an earlier look replaces this one'));
    const mine = { dueAt, cancel: new AbortController() };
    observation = mine;
    if (afterMs > 0) await clock.sleep(afterMs, AbortSignal.any([signal, mine.cancel.signal])).catch(() => undefined);
    if (observation !== mine || signal.aborted) return;
    observation = undefined;
    const [source, target] = await Promise.all([look(migration.from.id), look(targetId())]);
    dispatch({ type: 'observed', source, target });
  };

  const sampleRegularly = async (): Promise<void> => {
    if (sampling) return;
    sampling = true;
    while (!signal.aborted && ['transferring', 'switching', 'post-copy'].includes(migration.phase)) {
      try {
        const sample = await sourceDriver().sample(migration.vm.uuid, AbortSignal.any([signal, AbortSignal.timeout(observeTimeoutMs)]));
        if (sample !== undefined) dispatch({ type: 'sampled', sample });
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error, migration: migration.id }, 'no figures of the running job');
      }
      await clock.sleep(sampleEveryMs, signal).catch(() => undefined);
    }
    sampling = false;
  };

  const perform = async (): Promise<void> => {
    void sampleRegularly();
    let failure: CallFailure | undefined;
    try {
      const { maxBandwidthMiBPerSecond } = migration.request;
      const ended = await sourceDriver().perform(
        {
          uuid: migration.vm.uuid,
          destinationUri: deps.uriOf(targetId()),
          ...(maxBandwidthMiBPerSecond === undefined ? {} : { maxBandwidthMiBPerSecond }),
        },
        signal,
      );
      failure = ended.failure;
    } catch (error) {
      failure = { outcome: error instanceof FerryError ? 'refused' : 'unknown', message: error instanceof Error ? error.message : String(error) };
    }
    dispatch(failure === undefined ? { type: 'perform-ended' } : { type: 'perform-ended', failure });
  };

  const prepare = async (): Promise<void> => {
    try {
      await sourceDriver().mark(migration.vm.uuid, { installation: deps.installation, migration: migration.id, epoch: 1 }, signal);
      dispatch({ type: 'prepared' });
    } catch (error) {
      dispatch({ type: 'prepared', failure: { outcome: 'refused', message: error instanceof Error ? error.message : String(error) } });
    }
  };

  const clean = async (): Promise<void> => {
    const source = await look(migration.from.id);
    if (source.kind === 'present' && source.state === 'shut-off' && source.persistent) {
      await sourceDriver()
        .remove(migration.vm.uuid, 'definition', signal)
        .catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'the old definition stays on the source, shut off'));
    }
    await deps.refresh(migration, signal).catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'inventory not refreshed'));
    dispatch({ type: 'cleaned' });
  };

  const execute = async (effect: MigrationEffect): Promise<void> => {
    switch (effect.type) {
      case 'check':
        return dispatch({ type: 'checked', result: deps.check(migration) });
      case 'prepare':
        return prepare();
      case 'perform':
        return perform();
      case 'observe':
        if (migration.adopted === true) void sampleRegularly();
        return observe(effect.afterMs);
      case 'abort-job':
        return sourceDriver().abortJob(migration.vm.uuid, signal);
      case 'remove-source-process':
        return sourceDriver().remove(migration.vm.uuid, 'process', signal);
      case 'remove-target-process':
        return deps.linkOf(targetId()).migration.remove(migration.vm.uuid, 'process', signal);
      case 'clean':
        return clean();
    }
  };

  return {
    current: () => migration,
    dispatch,
    stop: async () => {
      stopping.abort(new Error('the control plane stops'));
      await draining;
    },
  };
}
