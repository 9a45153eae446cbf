/**
 * What follows from the answer of a hook: the next hook, the move itself, its refusal before anything was done, or the
 * end of a migration whose outcome no hook changes any more. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { close, end, withoutAttention } from './finish.ts';
import { attemptOf, awaitedHook, nextBefore, refusalText } from './hooks.ts';
import type { MigrationEvent, Step } from './protocol.ts';

/** The target is chosen: its hooks are asked before anything is done there. */
export function prepareOrAsk(migration: Migration): Step {
  const hook = nextBefore(migration);
  return hook === undefined
    ? { migration, effects: [{ type: 'prepare' }] }
    : {
        migration: { ...migration, attention: `It waits for the hook "${hook.name}".` },
        effects: [{ type: 'call-hook', hook }],
      };
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
