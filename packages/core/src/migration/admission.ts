/**
 * Which queued migrations may begin. Each peer-to-peer migration holds one worker of the source's daemon for its whole
 * duration (20 by default), so the number that leave one host at a time is limited.
 */
import type { TimeMs } from '../ids.ts';
import type { Migration } from '../model.ts';

export const outgoingPerHost = 8;

/** Queued migrations to admit now, oldest first; those that wait for their next attempt are not among them. */
export function admissible(active: readonly Migration[], now: TimeMs, limit: number = outgoingPerHost): readonly Migration[] {
  const busy = new Map<string, number>();
  for (const { phase, from } of active) if (phase !== 'queued') busy.set(from.id, (busy.get(from.id) ?? 0) + 1);
  return [...active]
    .filter(({ phase, notBefore = 0 }) => phase === 'queued' && notBefore <= now)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .filter(({ from }) => {
      const count = busy.get(from.id) ?? 0;
      if (count >= limit) return false;
      busy.set(from.id, count + 1);
      return true;
    });
}
