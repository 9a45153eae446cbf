/**
 * Pages of lists. A page token says where the next page begins, of which list, with which filters, and from which event
 * on the list is to be followed; it is signed, so that only what this server gave out is taken. The place in the events
 * is read before the first page, and every page has it: what changes while the others are read comes after it.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { FerryError } from '@ferry/core';

export interface PageQuery {
  readonly limit?: number | undefined;
  readonly page?: string | undefined;
}

export interface Page<T> {
  readonly items: T[];
  /** Token of the next page; absent on the last one. */
  readonly next?: string;
  /** Id of the event from which the list is to be followed. */
  readonly events: string;
}

/** Items after the cursor, at most `limit`; `next` where there are more. */
export type ReadPage<T, C> = (
  after: C | undefined,
  limit: number,
) => Promise<{ readonly items: readonly T[]; readonly next?: C | undefined }>;

export interface Pages {
  /** Throws FerryError `page-token-invalid`, or what `read` throws. */
  list<T, C>(name: string, query: PageQuery, read: ReadPage<T, C>): Promise<Page<T>>;
}

interface Token {
  /** The list with its filters. */
  readonly of: string;
  readonly after: unknown;
  readonly events: string;
}

export const defaultLimit = 500;
const signatureBytes = 16;

/** `place`: the id of the last event so far. */
export const createPages = (place: () => Promise<string>, key: Uint8Array = randomBytes(32)): Pages => {
  const signatureOf = (payload: Uint8Array): Buffer =>
    createHmac('sha256', key).update(payload).digest().subarray(0, signatureBytes);
  const encode = (token: Token): string => {
    const payload = Buffer.from(JSON.stringify(token));
    return Buffer.concat([signatureOf(payload), payload]).toString('base64url');
  };
  const decode = (text: string, of: string): Token => {
    const bytes = Buffer.from(text, 'base64url');
    const [signature, payload] = [bytes.subarray(0, signatureBytes), bytes.subarray(signatureBytes)];
    if (signature.length < signatureBytes || !timingSafeEqual(signature, signatureOf(payload)))
      throw new FerryError(
        'page-token-invalid',
        'The page token is damaged, or it is older than the last start of the control plane.',
      );
    const token = JSON.parse(payload.toString()) as Token;
    if (token.of !== of)
      throw new FerryError('page-token-invalid', 'The page token belongs to another list, or to other filters.');
    return token;
  };
  return {
    async list<T, C>(name: string, { page, limit = defaultLimit, ...filters }: PageQuery, read: ReadPage<T, C>) {
      const given = Object.entries(filters).toSorted(([a], [b]) => (a < b ? -1 : 1));
      const of = `${name}?${JSON.stringify(given)}`;
      const token = page === undefined ? undefined : decode(page, of);
      // before anything of the list is read
      const events = token?.events ?? (await place());
      const { items, next } = await read(token?.after as C | undefined, limit);
      const more = next === undefined ? {} : { next: encode({ of, after: next, events }) };
      return { items: [...items], ...more, events };
    },
  };
};

/** Pages of what is in memory and has an order: `keyOf` grows from one item to the next. */
export const pagesOf =
  <T>(all: readonly T[], keyOf: (item: T) => string): ReadPage<T, string> =>
  async (after, limit) => {
    const rest = after === undefined ? all : all.filter((item) => keyOf(item) > after);
    const items = rest.slice(0, limit);
    const last = items.at(-1);
    return { items, ...(rest.length > limit && last !== undefined ? { next: keyOf(last) } : {}) };
  };
