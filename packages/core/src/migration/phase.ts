/** Phases as they follow each other on a migration, each with its time. */
import type { TimeMs } from '../model/ids.ts';
import type { Migration, MigrationPhase } from '../model/migration.ts';

export function enterPhase(migration: Migration, phase: MigrationPhase, now: TimeMs): Migration {
  return migration.phase === phase
    ? migration
    : { ...migration, phase, phases: [...migration.phases, { phase, at: now }] };
}
