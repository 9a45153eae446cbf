/**
 * Lets queued migrations begin: which ones do, and when to ask again, core says. It is asked whenever something has
 * changed.
 */
import { beginnings, type Beginnings, type Ledger, type Migration, type RoomOf } from '@ferry/core';
import type { Clock } from '../ports/ports.ts';

export interface AdmissionDeps {
  readonly clock: Clock;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly ledger: Ledger;
  readonly roomOf: RoomOf;
  readonly begin: (id: string) => void;
}

export interface Admission {
  /** Lets begin what may begin now. */
  admit(): void;
  /** The same, once for all that changes together. */
  admitSoon(): void;
  /** Does so again when this one may begin, if it waits for a time. */
  wait(migration: Migration): void;
  stop(): void;
}

export function createAdmission({ clock, active, ledger, roomOf, begin }: AdmissionDeps): Admission {
  let begun: Beginnings['begun'] = new Map();
  const stopping = new AbortController();
  let waiting = false;
  let soon = false;

  const admit = (): void => {
    const next = beginnings(active(), clock.now(), begun, { ledger, roomOf });
    ({ begun } = next);
    for (const { id } of next.begin) begin(id);
    if (next.againInMs !== undefined) void admitAgain(next.againInMs);
  };
  const admitAgain = async (afterMs: number): Promise<void> => {
    if (waiting) return;
    waiting = true;
    await clock.sleep(afterMs, stopping.signal).catch(() => undefined);
    waiting = false;
    if (!stopping.signal.aborted) admit();
  };
  const admitSoon = async (): Promise<void> => {
    if (soon) return;
    soon = true;
    await Promise.resolve();
    soon = false;
    if (!stopping.signal.aborted) admit();
  };
  const admitLater = async (afterMs: number): Promise<void> => {
    await clock.sleep(Math.max(0, afterMs), stopping.signal).catch(() => undefined);
    if (!stopping.signal.aborted) admit();
  };

  return {
    admit,
    admitSoon: () => void admitSoon(),
    wait({ phase, notBefore }) {
      if (phase === 'queued' && notBefore !== undefined) void admitLater(notBefore - clock.now());
    },
    stop: () => stopping.abort(new Error('the control plane stops')),
  };
}
