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
  problem: async () => 'this control plane calls no hooks',
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
  const ends = AbortSignal.any([signal, late]);
  try {
    // also where what it is called with does not heed the signal: a folder of hooks on a disk that hangs
    return answered(await Promise.race([hooks.call(target, document, ends), aborted(ends)]));
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) return answered({ result: 'timed-out', message: `it had ${timeoutMs / 1_000} s, and was ended` });
    return answered({ result: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_settle, reject) => {
    const end = (): void => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });

/** What a hook's files may take to be looked at. */
const lookMs = 10_000;

/** Why the hook cannot be called as it is now; never rejects. */
export async function hookProblem(
  { clock, hooks }: { readonly clock: Clock; readonly hooks: HookCaller },
  target: HookTarget,
): Promise<string | undefined> {
  const shown = target.url === undefined ? target.program : target.secretFile;
  try {
    return await Promise.race([hooks.problem(target), aborted(clock.timeout(lookMs))]);
  } catch (error) {
    return `${shown ?? ''} cannot be looked at: ${error instanceof Error ? error.message : String(error)}`;
  }
}
