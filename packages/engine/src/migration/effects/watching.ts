/**
 * Looks at a move while it goes on: figures of the running job at regular times, and both hosts when core asks for it.
 * What is seen becomes events; nothing is concluded here.
 */
import type { InstanceView, Migration, MigrationEvent } from '@ferry/core';
import { targetIdOf, travelling, type RunnerDeps } from './context.ts';

const sampleEveryMs = 500;
/**
 * After this time a transfer is a long one, and its figures are asked for half as often: QEMU answers them between
 * its other work.
 */
const longTransferMs = 10_000;
const observeTimeoutMs = 5_000;

export interface WatchedMove {
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
  const bounded = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(observeTimeoutMs)]);

  const look = async (hostId: string): Promise<InstanceView> => {
    try {
      return await linkOf(hostId).instances.observe(travelling(current()), bounded());
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
      const [source, target] = await Promise.all([look(current().from.id), look(targetIdOf(current()))]);
      dispatch({ type: 'observed', source, target });
    },
    async sampleRegularly() {
      if (sampling) return;
      sampling = true;
      const since = clock.now();
      let switching = false;
      while (!signal.aborted && ['transferring', 'switching', 'post-copy'].includes(current().phase)) {
        // its guest is paused right now, and whatever the daemon is asked makes that longer
        const justPaused = current().phase === 'switching' && !switching;
        switching = current().phase === 'switching';
        try {
          const sample = justPaused
            ? undefined
            : await linkOf(current().from.id).transfer.sample(travelling(current()), bounded());
          if (sample !== undefined) dispatch({ type: 'sampled', sample });
        } catch (error) {
          if (!signal.aborted) log.warn({ err: error, migration: current().id }, 'no figures of the running job');
        }
        await clock
          .sleep(clock.now() - since < longTransferMs ? sampleEveryMs : 2 * sampleEveryMs, signal)
          .catch(() => undefined);
      }
      sampling = false;
    },
  };
}
