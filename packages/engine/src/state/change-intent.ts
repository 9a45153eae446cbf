/**
 * Changes one stored document. It is decided on what is stored at that moment, and decided anew when somebody else has
 * changed it meanwhile, so that of two who change the same thing at once neither loses what was acknowledged.
 */
import { FerryError } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';

/** Of many at once, one gets through each time. */
const mostAttempts = 500;

/** `decide`: undefined takes the document away. Resolves with what is stored then. */
export async function changeIntent<T>(
  intents: Pick<IntentStore, 'get' | 'commit'>,
  key: string,
  decide: (before: T | undefined) => T | undefined,
): Promise<T | undefined> {
  for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
    const entry = await intents.get(key);
    const value = decide(entry?.value as T | undefined);
    if (value === undefined && entry === undefined) return undefined;
    const ifRevision = entry?.revision ?? 0;
    const written = await intents.commit([
      value === undefined ? { op: 'delete', key, ifRevision } : { op: 'put', key, value, ifRevision },
    ]);
    if (!('conflict' in written)) return value;
  }
  throw new FerryError('store-conflict', `${key} is being changed by many at once.`);
}
