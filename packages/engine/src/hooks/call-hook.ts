/** Calls one hook within its time. What follows from the answer is core's. */
import { defaultHookTimeoutMs, type HookAnswer, type HookTarget } from '@ferry/core';
import type { Clock, HookCaller } from '../ports/ports.ts';

export interface Called {
  readonly answer: HookAnswer;
  readonly tookMs: number;
}

/** Of an engine that was given nothing to call them with. */
export const noHooks: HookCaller = {
  call: async () => ({ result: 'failed', message: 'this control plane calls no hooks' }),
};

/** Rejects only when `signal` aborts. */
export async function callHook(
  { clock, hooks }: { readonly clock: Clock; readonly hooks: HookCaller },
  target: HookTarget,
  document: string,
  signal: AbortSignal,
): Promise<Called> {
  const { timeoutMs = defaultHookTimeoutMs } = target;
  const late = clock.timeout(timeoutMs);
  const began = clock.now();
  const answered = (answer: HookAnswer): Called => ({ answer, tookMs: clock.now() - began });
  try {
    return answered(await hooks.call(target, document, AbortSignal.any([signal, late])));
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return answered({ result: 'timed-out', message: `it had ${timeoutMs / 1_000} s, and was ended` });
    return answered({ result: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
}
