/** Phases as they follow each other on a migration, each with its time. */
import type { TimeMs } from '../model/ids.ts';
import type { Migration, MigrationPhase } from '../model/migration.ts';

export function enterPhase<M extends Migration>(migration: M, phase: MigrationPhase, now: TimeMs): M {
  return migration.phase === phase
    ? migration
    : { ...migration, phase, phases: [...migration.phases, { phase, at: now }] };
}
