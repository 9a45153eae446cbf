// Waiting for a condition with a deadline, the only kind of waiting the lab does. Not a scheduler and not a retry
// policy: it looks, sleeps a little and looks again.

import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from './errors.ts';

export type WaitOptions = {
  readonly timeoutMs: number;
  readonly intervalMs?: number;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Calls `look` until it returns something other than undefined; throws after the deadline with a sentence that names
 * what was awaited.
 */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() >= deadline)
      throw new LabError(`${what} did not happen within ${options.timeoutMs / 1000} s.`);
    await sleep(options.intervalMs ?? 20, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}
