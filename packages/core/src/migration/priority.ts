/**
 * In which order queued migrations begin: by why they exist, and the longer one has waited the further ahead. A VM that
 * is down comes first, and nobody's waiting overtakes it. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { migrationOrigins } from '../model/request.ts';

/** Waiting this long takes a migration past those that are asked for one level above it. */
export const agesEveryMs = 300_000;

type Queued = Pick<Migration, 'id' | 'origin' | 'request' | 'evidence' | 'phases'>;

/** Its host has died, or it was shut down to be moved cold. */
const isDown = ({ request, evidence }: Queued): boolean =>
  request.rescue !== undefined || evidence.poweredOffAt !== undefined;

export const waitedMs = ({ phases }: Pick<Migration, 'phases'>, now: TimeMs): number =>
  Math.max(0, now - (phases[0]?.at ?? now));

/** 0 begins first. */
export function priorityOf(migration: Queued, now: TimeMs): number {
  const own = isDown(migration) ? 0 : migrationOrigins.indexOf(migration.origin);
  return own === 0 ? 0 : Math.max(1, own - Math.floor(waitedMs(migration, now) / agesEveryMs));
}

/** Of one level the older goes first: ids grow with time. */
export const inTurn = <M extends Queued>(queued: readonly M[], now: TimeMs): readonly M[] =>
  queued
    .map((migration) => ({ migration, level: priorityOf(migration, now) }))
    .sort((a, b) => a.level - b.level || (a.migration.id < b.migration.id ? -1 : 1))
    .map(({ migration }) => migration);
