/**
 * Asks hosts what a move needs to know, each within limits of time, and remembers which of them do not answer and why.
 * One for each check.
 */
import { targetFull, targetSilent, type Host, type HostId, type HostView, type Reason } from '@ferry/core';
import type { FactSources, Place } from './fact-sources.ts';

/** Bounds the asking of one host. */
const lookTimeoutMs = 20_000;
/** A daemon that does not answer a cheap call within this time is not asked again. */
const silenceMs = 5_000;

export interface HostAnswers {
  /** Hosts that did not answer, or take no further client. */
  readonly silent: ReadonlyMap<HostId, Reason>;
  /**
   * Asks for a host's free memory now, which is also the question whether it answers at all, and for what `look` asks
   * for. What one host does not answer is that host's reason, and no other's. Rejects when the signal aborts.
   */
  ask<T>(place: Place, look: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | undefined>;
  /** Whether the host accepts one more connection; asked once. */
  takesAnother(place: Place, signal: AbortSignal): Promise<boolean>;
  /** With the free memory that they reported, and the state in service that they have at the moment of the choice. */
  asOfNow(hosts: readonly HostView[]): readonly HostView[];
}

function inServiceAs(host: Host, { service }: Pick<Host, 'service'>): Host {
  const { service: _, ...rest } = host;
  return service === undefined ? rest : { ...rest, service };
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export function askHosts({ clock, fleet }: Pick<FactSources, 'clock' | 'fleet'>): HostAnswers {
  const silent = new Map<HostId, Reason>();
  const freeMemory = new Map<HostId, number>();
  const takes = new Map<HostId, Promise<boolean>>();
  const connects = async ({ host, link }: Place, signal: AbortSignal): Promise<Reason | undefined> => {
    const over = new AbortController();
    const late = clock.sleep(silenceMs, over.signal).then(
      () => over.abort(new Error('it is late')),
      () => undefined,
    );
    try {
      await link.takesAnother(AbortSignal.any([signal, over.signal]));
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      return targetFull(host, over.signal.aborted ? { afterMs: silenceMs } : { why: textOf(error) });
    } finally {
      over.abort(new Error('the asking is over'));
      await late;
    }
  };
  return {
    silent,
    async ask({ host, link }, look, signal) {
      const over = new AbortController();
      const within = AbortSignal.any([signal, over.signal]);
      let afterMs: number | undefined;
      const giveUpAfter = async (ms: number, unless: () => boolean): Promise<void> => {
        await clock.sleep(ms, within).catch(() => undefined);
        if (within.aborted || unless()) return;
        afterMs = ms;
        over.abort(new Error('it is late'));
      };
      void giveUpAfter(silenceMs, () => freeMemory.has(host.id));
      void giveUpAfter(lookTimeoutMs, () => false);
      const answer = async (): Promise<void> => void freeMemory.set(host.id, await link.inventory.freeMemory(within));
      try {
        const [looked] = await Promise.all([look(within), answer()]);
        return looked;
      } catch (error) {
        if (signal.aborted) throw error;
        silent.set(host.id, targetSilent(host, afterMs === undefined ? { why: textOf(error) } : { afterMs }));
        return undefined;
      } finally {
        over.abort(new Error('the asking is over'));
      }
    },
    takesAnother(place, signal) {
      const known = takes.get(place.host.id);
      if (known !== undefined) return known;
      const asking = connects(place, signal).then((problem) => {
        if (problem !== undefined) silent.set(place.host.id, problem);
        return problem === undefined;
      });
      takes.set(place.host.id, asking);
      return asking;
    },
    asOfNow(hosts) {
      // a host that was removed meanwhile is as it was last known: the move finds out
      const now = new Map(fleet.hosts().map(({ host }) => [host.id, host]));
      return hosts.map((view) => {
        const freeMemoryBytes = freeMemory.get(view.host.id);
        return {
          ...view,
          host: inServiceAs(view.host, now.get(view.host.id) ?? view.host),
          ...(freeMemoryBytes === undefined ? {} : { freeMemoryBytes }),
        };
      });
    },
  };
}
