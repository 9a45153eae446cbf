/** The log of a migration's decisions, and how an entry is added. */
import type { Action, Decision, Figures } from '../model/decision.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';

const decisionsKept = 64;
/** QEMU's own, where no policy says otherwise. */
const usualPauseMs = 300;

/**
 * Decisions of an earlier attempt do not count for this one: its passes start again at 1, and its target has no state
 * of them.
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

/** An entry without figures: an operator's command, or a measure that a host refused. */
export const noted = <M extends Migration>(migration: M, action: Action, text: string, now: TimeMs): M =>
  withDecision(migration, { at: now, action, figures: noFigures(migration), text });
