/** What is told of a migration's course: its decisions so far, and how one more is written down. */
import type { Action, Decision, Figures } from '../model/decision.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';

const decisionsKept = 64;
/** QEMU's own, where no policy says otherwise. */
const usualPauseMs = 300;

/**
 * What was decided in an earlier attempt says nothing of this one: its passes are counted anew, and its target knows
 * nothing of it.
 */
export function ofThisAttempt({
  decisions = [],
  attempts = [],
}: Pick<Migration, 'decisions' | 'attempts'>): readonly Decision[] {
  const since = attempts.at(-1)?.at;
  return since === undefined ? decisions : decisions.filter(({ at }) => at > since);
}

/** The pause budget in force, ms. */
export function budgetOf(migration: Pick<Migration, 'policy' | 'decisions' | 'attempts'>): number {
  const { policy } = migration;
  const last = ofThisAttempt(migration).findLast(({ action }) => action.do === 'set-downtime')?.action;
  return last?.do === 'set-downtime' ? last.toMs : (policy?.downtime.initialMs ?? usualPauseMs);
}

export const withDecision = <M extends Migration>(migration: M, decision: Decision): M => ({
  ...migration,
  decisions: [...(migration.decisions ?? []), decision].slice(-decisionsKept),
});

export const noFigures = (migration: Migration): Figures => ({
  part: 'memory',
  iteration: migration.progress?.iteration ?? 0,
  restBytes: migration.progress?.remainingBytes ?? 0,
  dirtyBytesPerSecond: 0,
  linkBytesPerSecond: 0,
  presentBytesPerSecond: 0,
  downtimeMs: budgetOf(migration),
  throttlePercent: 0,
  unchangedMs: 0,
  elapsedMs: 0,
});

/** Something that no figures led to: an operator's word, or a measure that a host refused. */
export const told = <M extends Migration>(migration: M, action: Action, text: string, now: TimeMs): M =>
  withDecision(migration, { at: now, action, figures: noFigures(migration), text });
