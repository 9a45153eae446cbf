/**
 * Looks at a move while it goes on: figures of the running job at regular times, and both hosts when core asks for it.
 * What is seen becomes events; nothing is concluded here.
 */
import { isPlanned, type InstanceView, type Migration, type MigrationEvent, type MigrationPhase } from '@ferry/core';
import { travelling, type RunnerDeps } from './context.ts';

const sampleEveryMs = 500;
/**
 * After this time a transfer is a long one, and its figures are asked for half as often: QEMU answers them between
 * its other work.
 */
const longTransferMs = 10_000;
const observeTimeoutMs = 5_000;
const sampledIn: readonly MigrationPhase[] = ['transferring', 'switching', 'post-copy'];

export interface WatchedMove {
  /** Without a plan, while it waits for another attempt, there is nothing to look at. */
  readonly current: () => Migration;
  readonly deps: Pick<RunnerDeps, 'clock' | 'log' | 'linkOf'>;
  readonly dispatch: (event: MigrationEvent) => void;
  readonly signal: AbortSignal;
}

export interface MoveWatch {
  /** What a host says of the domain that is moved; never rejects. */
  look(hostId: string): Promise<InstanceView>;
  /** Looks at both hosts after this time, unless that is done earlier anyway. */
  observe(afterMs: number): Promise<void>;
  /** Asks for figures until the transfer is over; once at a time. */
  sampleRegularly(): Promise<void>;
}

export function watchMove({ current, deps: { clock, log, linkOf }, dispatch, signal }: WatchedMove): MoveWatch {
  let sampling = false;
  let observation: { readonly dueAt: number; readonly cancel: AbortController } | undefined;
  const bounded = (): AbortSignal => AbortSignal.any([signal, clock.timeout(observeTimeoutMs)]);

  const look = async (hostId: string): Promise<InstanceView> => {
    try {
      const migration = current();
      const uuid = isPlanned(migration) ? travelling(migration) : migration.vm.uuid;
      return await linkOf(hostId).instances.observe(uuid, bounded());
    } catch (error) {
      return { kind: 'unreachable', message: error instanceof Error ? error.message : String(error) };
    }
  };

  return {
    look,
    async observe(afterMs) {
      const dueAt = clock.now() + afterMs;
      if (observation !== undefined && observation.dueAt <= dueAt) return;
      observation?.cancel.abort(new Error('an earlier look replaces this one'));
      const mine = { dueAt, cancel: new AbortController() };
      observation = mine;
      if (afterMs > 0) await clock.sleep(afterMs, AbortSignal.any([signal, mine.cancel.signal])).catch(() => undefined);
      if (observation !== mine || signal.aborted) return;
      observation = undefined;
      const migration = current();
      if (!isPlanned(migration)) return;
      const [source, target] = await Promise.all([look(migration.from.id), look(migration.to.id)]);
      dispatch({ type: 'observed', source, target });
    },
    async sampleRegularly() {
      if (sampling) return;
      sampling = true;
      const since = clock.now();
      let switching = false;
      for (
        let migration = current();
        !signal.aborted && isPlanned(migration) && sampledIn.includes(migration.phase);
        migration = current()
      ) {
        // its guest is paused right now, and whatever the daemon is asked makes that longer
        const justPaused = migration.phase === 'switching' && !switching;
        switching = migration.phase === 'switching';
        try {
          const sample = justPaused
            ? undefined
            : await linkOf(migration.from.id).transfer.sample(travelling(migration), bounded());
          if (sample !== undefined) dispatch({ type: 'sampled', sample });
        } catch (error) {
          if (!signal.aborted) log.warn({ err: error, migration: migration.id }, 'no figures of the running job');
        }
        await clock
          .sleep(clock.now() - since < longTransferMs ? sampleEveryMs : 2 * sampleEveryMs, signal)
          .catch(() => undefined);
      }
      sampling = false;
    },
  };
}
