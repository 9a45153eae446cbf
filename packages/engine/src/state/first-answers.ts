/**
 * Requests that come with a key: the same key with the same request gets the first answer, also after a restart. The
 * key is written in the transaction that makes something, so that nothing is made twice; the answer follows once it is
 * known. A request that was refused has made nothing, and nothing is kept of it.
 */
import { FerryError } from '@ferry/core';
import type { IntentStore, IntentWrite, Log } from '../ports/ports.ts';
import { collection, document, type Stored } from './collection.ts';

/** How long a key is kept, from its first use. */
export const keyKeptMs = 24 * 3_600_000;

export interface KeyedRequest {
  readonly key: string;
  /** What tells it from other requests, such as its digest. */
  readonly request: string;
}

/** What belongs into the transaction that makes the object with this id. */
export type Along = (id: string) => readonly IntentWrite[];

export interface FirstAnswers {
  /**
   * What `make` gives, or what it gave for the same request. `again` answers for an object that was made by a request
   * whose answer was not kept. Rejects with FerryError `idempotency-key-used` for another request.
   */
  once<T>(
    keyed: KeyedRequest | undefined,
    make: (along: Along) => Promise<T>,
    again: (id: string) => Promise<T>,
  ): Promise<T>;
}

interface FirstAnswer {
  readonly request: string;
  /** Id of what was made. */
  readonly made: string;
  /** Absent if Ferry was killed before it was known. */
  readonly answer?: unknown;
}

export function createFirstAnswers(intents: IntentStore, log: Log): FirstAnswers {
  const answers = collection(intents, 'first-answers/', document<FirstAnswer>({ request: 'string', made: 'string' }));
  /** Requests with one key take their turns. */
  const last = new Map<string, Promise<unknown>>();

  const replay = async <T>(
    { key, value }: Stored<FirstAnswer>,
    request: string,
    again: (id: string) => Promise<T>,
  ): Promise<T> => {
    if (value.request !== request)
      throw new FerryError('idempotency-key-used', `The Idempotency-Key "${key}" was used for another request.`);
    return value.answer === undefined ? again(value.made) : (value.answer as T);
  };
  /** Kept as long as its key. Without it, a repetition shows what was made as it is then. */
  const keep = async (key: string, answer: unknown, lease: string): Promise<void> => {
    const now = await answers.get(key);
    if (now !== undefined) await answers.commit([answers.put(key, { ...now.value, answer }, now.revision, lease)]);
  };
  const decide = async <T>(
    { key, request }: KeyedRequest,
    make: (along: Along) => Promise<T>,
    again: (id: string) => Promise<T>,
  ): Promise<T> => {
    const before = await answers.get(key);
    if (before !== undefined) return replay(before, request, again);
    const lease = await intents.grantLease(keyKeptMs);
    try {
      const answer = await make((made) => [answers.put(key, { request, made }, 0, lease)]);
      await keep(key, answer, lease).catch((error: unknown) => log.warn({ err: error }, 'a first answer was not kept'));
      return answer;
    } catch (error) {
      // made, but not answered; or another control plane was faster with this key
      const now = await answers.get(key);
      if (now === undefined) throw error;
      return replay(now, request, again);
    }
  };
  return {
    async once(keyed, make, again) {
      if (keyed === undefined) return make(() => []);
      const turn = (last.get(keyed.key) ?? Promise.resolve())
        .catch(() => undefined)
        .then(() => decide(keyed, make, again));
      last.set(keyed.key, turn);
      try {
        return await turn;
      } finally {
        if (last.get(keyed.key) === turn) last.delete(keyed.key);
      }
    },
  };
}
