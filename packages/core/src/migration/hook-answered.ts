/**
 * What follows from the answer of a hook: the next hook, the move itself, its refusal before anything was done, or the
 * end of a migration whose outcome no hook changes any more. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { Reason } from '../model/reasons.ts';
import { close, end, withoutAttention } from './finish.ts';
import { attemptOf, awaitedHook, nextBefore, refusalText } from './hooks.ts';
import type { MigrationEvent, Step } from './protocol.ts';

/**
 * The target is chosen: its hooks are asked before anything is done there. They may have taken minutes, so what they
 * agreed to is looked at once more.
 */
export function prepareOrAsk(migration: Migration): Step {
  const hook = nextBefore(migration);
  if (hook !== undefined)
    return {
      migration: { ...migration, attention: `It waits for the hook "${hook.name}".` },
      effects: [{ type: 'call-hook', hook }],
    };
  return { migration, effects: [{ type: wasAsked(migration) ? 'look-again' : 'prepare' }] };
}

/** A hook of this attempt has answered. */
const wasAsked = (migration: Migration): boolean =>
  migration.hooks?.some(({ stage, attempt }) => stage === 'before' && attempt === attemptOf(migration)) === true;

/** What somebody did while the hooks were asked is not undone: the move is not begun. */
export function lookedAgain(migration: Migration, reasons: readonly Reason[], now: TimeMs): Step {
  // it was aborted meanwhile
  if (migration.phase !== 'preparing' || awaitedHook(migration) !== undefined) return { migration, effects: [] };
  const [first] = reasons;
  return first === undefined
    ? { migration, effects: [{ type: 'prepare' }] }
    : end(migration, 'failed', now, {
        code: 'migration-refused',
        message: `${migration.vm.name} cannot be moved: ${first.message}`,
        reasons,
      });
}

export function hookAnswered(
  before: Migration,
  { hook, answer, tookMs }: Extract<MigrationEvent, { type: 'hook-answered' }>,
  now: TimeMs,
): Step {
  const awaited = awaitedHook(before);
  // it was aborted meanwhile
  if (awaited?.name !== hook.name || awaited.stage !== hook.stage) return { migration: before, effects: [] };
  const outcome = { ...answer, hook: hook.name, stage: hook.stage, attempt: attemptOf(before), at: now, tookMs };
  const hooks = [...(before.hooks ?? []), outcome];
  const { closing } = before.evidence;
  if (closing !== undefined) return close({ ...before, hooks }, closing, now);
  const migration = { ...withoutAttention(before), hooks };
  if (answer.result === 'ok') return prepareOrAsk(migration);
  const code = answer.result === 'refused' ? 'hook-refused' : 'hook-failed';
  return end(migration, 'failed', now, { code, message: refusalText(migration, outcome) });
}
