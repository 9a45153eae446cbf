/** What every driver of the intents does alike: what it refuses, and how its watchers wait. */
import { FerryError } from '@ferry/core';
import type { Clock } from './ports.ts';
import { maxIntentBytes, maxIntentWrites, type IntentWrite } from './state.ts';

/** The writes with their values as JSON. Throws FerryError `request-invalid`. */
export function encodeWrites(writes: readonly IntentWrite[]): readonly (IntentWrite & { readonly text: string })[] {
  if (writes.length > maxIntentWrites)
    throw new FerryError(
      'request-invalid',
      `A transaction has ${writes.length} writes; ${maxIntentWrites} is the most.`,
    );
  return writes.map((write) => {
    if (write.op !== 'put') return { ...write, text: '' };
    const text = JSON.stringify(write.value) as string | undefined;
    if (text === undefined) throw new FerryError('request-invalid', `The value of ${write.key} is no JSON.`);
    if (Buffer.byteLength(text) > maxIntentBytes)
      throw new FerryError('request-invalid', `The value of ${write.key} is larger than ${maxIntentBytes} bytes.`);
    return { ...write, text };
  });
}

export const leaseExpired = (key: string): FerryError =>
  new FerryError('lease-expired', `The lease that ${key} was to be kept under has expired.`);

/** Resolves when it is woken, when the clock says `at`, or when the signal aborts. */
export async function nextWake(
  waiting: Set<() => void>,
  clock: Pick<Clock, 'sleep' | 'now'>,
  at: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  await new Promise<void>((resolve) => {
    const stopWaiting = (): void => {
      waiting.delete(stopWaiting);
      signal.removeEventListener('abort', stopWaiting);
      over.abort(new Error('woken'));
      resolve();
    };
    waiting.add(stopWaiting);
    signal.addEventListener('abort', stopWaiting, { once: true });
    if (at !== undefined)
      void clock.sleep(Math.max(0, at - clock.now()), over.signal).then(
        () => stopWaiting(),
        () => undefined,
      );
  });
}
