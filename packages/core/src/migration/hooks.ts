/**
 * Which hook of a migration's policy is called next, and what it is told. One after the other, in the order of the
 * policy; each answer is stored before the next is called, so a restart calls again only the one whose answer was not
 * stored. What follows from an answer is in hook-answered.ts. Pure.
 */
import type { ErrorReport } from '../model/errors.ts';
import type { Hook, HookOutcome, HookStage } from '../model/hook.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration, MigrationOutcome } from '../model/migration.ts';

/** Of an attempt: hooks of `before` are called for each one, since its target may be another. */
export const attemptOf = ({ phases }: Pick<Migration, 'phases'>): number =>
  phases.filter(({ phase }) => phase === 'preparing').length;

function nextOf(migration: Migration, stage: HookStage): Hook | undefined {
  const { policy, hooks: outcomes = [] } = migration;
  const attempt = attemptOf(migration);
  const answered = ({ name }: Hook): boolean =>
    outcomes.some(
      (each) => each.hook === name && each.stage === stage && (stage !== 'before' || each.attempt === attempt),
    );
  return policy?.hooks?.find((hook) => hook.stage === stage && !answered(hook));
}

export const nextBefore = (migration: Migration): Hook | undefined => nextOf(migration, 'before');

export interface Closing {
  readonly outcome: MigrationOutcome;
  readonly at: TimeMs;
  readonly error?: ErrorReport;
}

/**
 * Whoever heard that a migration begins hears how it ended. Two copies are an alarm, which no hook holds up.
 */
export function nextAtEnd(migration: Migration, { outcome, error }: Closing): Hook | undefined {
  if (attemptOf(migration) === 0 || error?.code === 'vm-two-copies') return undefined;
  return nextOf(migration, outcome === 'succeeded' ? 'after' : 'failed');
}

/** The one whose answer is awaited. */
export function awaitedHook(migration: Migration): Hook | undefined {
  const { phase, evidence } = migration;
  if (evidence.closing !== undefined) return nextAtEnd(migration, evidence.closing);
  return phase === 'preparing' ? nextBefore(migration) : undefined;
}

/** What a hook is told: on the standard input of a program, or as the body of a request. */
export function hookDocument(migration: Migration, hook: Hook, now: TimeMs): string {
  const { id, name, kind, origin, batch, actor, client, vm, from, to, vmIsNow, downtimeMs, evidence } = migration;
  const { closing } = evidence;
  return JSON.stringify({
    version: 1,
    hook: hook.name,
    stage: hook.stage,
    at: new Date(now).toISOString(),
    migration: { id, name, kind, origin, batch: batch?.id, actor, client, attempt: attemptOf(migration) },
    vm,
    from: from.name,
    to: to?.name,
    ...(closing === undefined
      ? {}
      : {
          outcome: closing.outcome,
          error: closing.error === undefined ? undefined : { code: closing.error.code, message: closing.error.message },
          vmIsNow,
          downtimeMs,
        }),
  });
}

/** What an operator reads of an answer that keeps the VM where it is. */
export function refusalText({ vm, policy }: Migration, { hook, result, message = '' }: HookOutcome): string {
  const said = message === '' ? '' : `: ${message.replace(/[.\s]+$/, '')}`;
  const named = `The hook "${hook}" of the policy "${policy?.name ?? ''}"`;
  switch (result) {
    case 'refused':
      return `${named} refused the move of ${vm.name}${said}.`;
    case 'timed-out':
      return `${named} did not answer in time, so ${vm.name} stays${said}.`;
    case 'ok':
    case 'failed':
      return `${named} could not be asked, so ${vm.name} stays${said}.`;
  }
}
