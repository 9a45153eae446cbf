/**
 * Commits guarded writes, and settles by looking what became of them when the store's answer was lost. Nothing is ever
 * written twice: a repeated write has the guard of the first, of which at most one can pass.
 */
import { isDeepStrictEqual } from 'node:util';
import { FerryError } from '@ferry/core';
import type { CommitAnswer, IntentStore, IntentWrite } from '../ports/ports.ts';

/** Answers that may be lost, one after the other, before the caller is told. */
const mostLost = 4;

export type Settled = Exclude<CommitAnswer, { readonly unknown: string }>;

/** Rejects with FerryError `store-unavailable` where it stays unknown what became of the writes. */
export async function commit(
  intents: Pick<IntentStore, 'get' | 'commit'>,
  writes: readonly IntentWrite[],
): Promise<Settled> {
  let lost = '';
  for (let tries = 0; tries < mostLost; tries += 1) {
    const answer = await intents.commit(writes);
    if (!('unknown' in answer)) {
      // the first of several tries may have arrived after we looked
      const done = 'conflict' in answer && tries > 0 ? await look(intents, writes, answer.conflict) : answer;
      if (done !== 'untouched') return done;
      continue;
    }
    lost = answer.unknown;
    const seen = await look(intents, writes, []);
    if (seen !== 'untouched') return seen;
  }
  throw new FerryError('store-unavailable', `It is not known whether the change was stored: ${lost}`);
}

/** What the entries show of these writes. */
async function look(
  intents: Pick<IntentStore, 'get'>,
  writes: readonly IntentWrite[],
  conflict: readonly string[],
): Promise<Settled | 'untouched'> {
  const changed: string[] = [];
  let revision = 0;
  let done = true;
  for (const write of writes) {
    const entry = await intents.get(write.key);
    const at = entry?.revision ?? 0;
    if (at !== write.ifRevision) changed.push(write.key);
    if (write.op === 'put') {
      done &&= at > write.ifRevision && isDeepStrictEqual(entry?.value, asStored(write.value));
      revision = Math.max(revision, at);
    } else if (write.op === 'delete') done &&= entry === undefined;
  }
  if (done && changed.length > 0) return { revision };
  return changed.length > 0 ? { conflict: conflict.length > 0 ? conflict : changed } : 'untouched';
}

/** As a store gives it back. */
export const asStored = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
