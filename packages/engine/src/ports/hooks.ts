/** Programs and addresses that are called around migrations and rollouts. */
import type { HookAnswer, HookTarget } from '@ferry/core';

export interface HookCaller {
  /**
   * Calls it with the document, and no shell and no arguments. Resolves with what it answered, also where it cannot be
   * called; once `signal` aborts, what was started is ended and this rejects.
   */
  call(target: HookTarget, document: string, signal: AbortSignal): Promise<HookAnswer>;
  /** Why it cannot be called as it is now, with the way out; an address itself is not asked. */
  problem(target: HookTarget): Promise<string | undefined>;
}
