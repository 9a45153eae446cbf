/**
 * Stores a migration: again and again while the store refuses, since nothing is done that is not stored. Meanwhile it
 * knows what cannot be stored and why, and where the VM is seen.
 */
import { FerryError, isFinished, isPlanned, placed, type InstanceView, type Migration } from '@ferry/core';
import type { RunnerDeps } from './effects/context.ts';

const storeRetryMs = 1_000;

export interface Storing {
  readonly store: RunnerDeps['store'];
  /** What is known of the migration and cannot be stored. */
  unstored(): Migration | undefined;
  /** Nothing is begun that cannot be stored. `kept`: what becomes of what was asked. Throws FerryError. */
  refuseUnstored(kept?: string): void;
  /**
   * Resolves when what was dispatched is stored and on its way. Rejects with FerryError when the store refuses; `kept`
   * says that it is not taken back then.
   */
  settled(kept: string): Promise<void>;
}

export function storeUntilKept({
  deps,
  current,
  look,
  working,
  signal,
}: {
  readonly deps: Pick<RunnerDeps, 'store' | 'changed' | 'clock' | 'log'>;
  readonly current: () => Migration;
  /** What a host says of the domain that is moved; never rejects. */
  readonly look: (hostId: string) => Promise<InstanceView>;
  /** The work on what was dispatched. */
  readonly working: () => Promise<void> | undefined;
  readonly signal: AbortSignal;
}): Storing {
  const { clock, log } = deps;
  /** What cannot be stored, and why. */
  let unstored: { readonly migration: Migration; readonly error: unknown } | undefined;
  const whenUnstored = new Set<() => void>();

  const store: RunnerDeps['store'] = async (next) => {
    for (;;) {
      try {
        const outcome = await deps.store(next);
        unstored = undefined;
        return outcome;
      } catch (error) {
        log.error({ err: error, migration: next.id }, 'the migration could not be stored; nothing is done until it is');
        const why = error instanceof Error ? error.message : String(error);
        // one that has ended has not until that is stored: whoever hears of an end lets go of it
        const waiting: Migration = {
          ...(isFinished(next) ? current() : next),
          attention: `Ferry stops working on this migration until it can store what happens: ${why}`,
        };
        const before = unstored?.migration;
        unstored = { migration: before ?? waiting, error };
        for (const tell of whenUnstored) tell();
        // what was known is old by now: libvirt goes on without us
        const seen = isPlanned(waiting)
          ? placed(waiting, await look(waiting.from.id), await look(waiting.to.id))
          : waiting;
        unstored = { migration: seen, error };
        if (JSON.stringify(seen.vmIsNow) !== JSON.stringify(before?.vmIsNow)) deps.changed(seen, false);
        await clock.sleep(storeRetryMs, signal);
      }
    }
  };

  const refuseUnstored = (kept = 'Nothing was done.'): void => {
    if (unstored === undefined) return;
    const { error } = unstored;
    const [code, why] =
      error instanceof FerryError
        ? [error.code, error.message]
        : (['store-broken', error instanceof Error ? `${error.message}.` : `${String(error)}.`] as const);
    throw new FerryError(code, `Migration ${current().id} cannot be stored: ${why} ${kept}`, { cause: error });
  };

  const settled = async (kept: string): Promise<void> => {
    let tell = (): void => undefined;
    const refused = new Promise<void>((resolve) => (tell = resolve));
    whenUnstored.add(tell);
    try {
      await Promise.race([working(), refused]);
      refuseUnstored(kept);
    } finally {
      whenUnstored.delete(tell);
    }
  };

  return { store, unstored: () => unstored?.migration, refuseUnstored, settled };
}
