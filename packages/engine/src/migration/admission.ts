/**
 * Lets queued migrations begin: which ones may, core says; those from one host begin one after the other. It is asked
 * whenever something has changed.
 */
import { admissible, type Migration, type RoomOf } from '@ferry/core';
import type { Clock } from '../ports/ports.ts';

/** Between the beginnings of two migrations from one host. */
const startApartMs = 250;

export interface AdmissionDeps {
  readonly clock: Clock;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly roomOf: RoomOf;
  readonly begin: (id: string) => void;
}

export interface Admission {
  /** Lets begin what may begin now. */
  admit(): void;
  /** Does so again when this one may begin, if it waits for a time. */
  wait(migration: Migration): void;
  stop(): void;
}

export function createAdmission({ clock, active, roomOf, begin }: AdmissionDeps): Admission {
  /** By source: when its next migration may begin. */
  const nextStart = new Map<string, number>();
  const stopping = new AbortController();
  let waiting = false;

  /** Migrations that begin together end together, and share the processors just when their guests are paused. */
  const admit = (): void => {
    for (const { id, from } of admissible(active(), clock.now(), { roomOf })) {
      const now = clock.now();
      // a longer wait is of a time before the clock was set
      const waitMs = (nextStart.get(from.id) ?? 0) - now;
      if (waitMs > 0 && waitMs <= startApartMs) {
        void admitNext();
        continue;
      }
      nextStart.set(from.id, now + startApartMs);
      begin(id);
    }
  };
  const admitNext = async (): Promise<void> => {
    if (waiting) return;
    waiting = true;
    await clock.sleep(startApartMs, stopping.signal).catch(() => undefined);
    waiting = false;
    if (!stopping.signal.aborted) admit();
  };
  const admitLater = async (afterMs: number): Promise<void> => {
    await clock.sleep(Math.max(0, afterMs), stopping.signal).catch(() => undefined);
    if (!stopping.signal.aborted) admit();
  };

  return {
    admit,
    wait({ phase, notBefore }) {
      if (phase === 'queued' && notBefore !== undefined) void admitLater(notBefore - clock.now());
    },
    stop: () => stopping.abort(new Error('the control plane stops')),
  };
}
