/**
 * Phases as they follow each other on a migration, each with its time. A migration may be looked at and wait again for
 * hours: of those turns the first wait and the last look are kept, since a document has a limit.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration, MigrationPhase } from '../model/migration.ts';

export function enterPhase<M extends Migration>(migration: M, phase: MigrationPhase, now: TimeMs): M {
  if (migration.phase === phase) return migration;
  return { ...migration, phase, phases: [...withoutRepeat(migration.phases, phase), { phase, at: now }] };
}

function withoutRepeat(phases: Migration['phases'], next: MigrationPhase): Migration['phases'] {
  const [first, looked, again] = phases.slice(-3);
  const isTurn = first?.phase === 'queued' && looked?.phase === 'checking' && again?.phase === 'queued';
  return next === 'checking' && isTurn ? phases.slice(0, -2) : phases;
}
