/**
 * Hooks: what is called around each migration, as a policy declares it, and what was answered. Types and nothing else;
 * when each is called is in migration/hooks.ts.
 */
import type { TimeMs } from './ids.ts';

/**
 * `before`: once the target is chosen, before anything is done; it may veto. `after`: the VM has moved. `failed`: the
 * migration failed or was cancelled once a target had been chosen.
 */
export const hookStages = ['before', 'after', 'failed'] as const;
export type HookStage = (typeof hookStages)[number];

/** What is called: a program of the hook folder, or an address that gets a signed request. */
export interface HookTarget {
  /** Absolute path. */
  readonly program?: string;
  readonly url?: string;
  /** Absolute path of the file with the key that signs the request. */
  readonly secretFile?: string;
  /** Absent: `defaultHookTimeoutMs`. */
  readonly timeoutMs?: number;
}

export interface Hook extends HookTarget {
  /** Unique in its policy. */
  readonly name: string;
  readonly stage: HookStage;
}

/** `refused`: it said no. `failed`: it could not be called, or ended otherwise. */
export const hookResults = ['ok', 'refused', 'failed', 'timed-out'] as const;
export type HookResult = (typeof hookResults)[number];

export interface HookAnswer {
  readonly result: HookResult;
  /** What it said, or why it could not be called. */
  readonly message?: string;
}

/** An answer as it is kept with the migration. */
export interface HookOutcome extends HookAnswer {
  readonly hook: string;
  readonly stage: HookStage;
  /** The attempt of the migration, from 1. */
  readonly attempt: number;
  /** When it had answered. */
  readonly at: TimeMs;
  readonly tookMs: number;
}

export const defaultHookTimeoutMs = 60_000;
/** Of one hook, and of those of one stage together: the target's slots and memory wait meanwhile. */
export const longestHookTimeoutMs = 600_000;
export const mostHooks = 8;
