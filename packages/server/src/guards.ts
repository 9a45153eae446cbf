/**
 * The headers that guard a change: ETags are revisions in quotes, If-Match brings one back, Idempotency-Key makes a
 * request safe to repeat. What they mean for what is stored is the engine's.
 */
import { createHash } from 'node:crypto';
import type { Operation } from '@ferry/api';
import { FerryError } from '@ferry/core';
import type { KeyedRequest } from '@ferry/engine';

/** Of an answer whose schema has a revision. */
export const etagOf = (body: unknown): string =>
  `"${typeof body === 'object' && body !== null && 'revision' in body ? Number(body.revision) : 0}"`;

/**
 * The revision that the caller requires. Throws FerryError `request-invalid` where the operation takes none, or where
 * the header is no ETag of this API: a guard that is overlooked would be worse than none.
 */
export function revisionOf(operation: Operation, ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined) return undefined;
  if (operation.ifMatch !== true)
    throw new FerryError('request-invalid', 'This operation does not take the header "If-Match".');
  const [, revision] = /^"(\d{1,15})"$/.exec(ifMatch) ?? [];
  if (revision === undefined)
    throw new FerryError('request-invalid', 'The header "If-Match" must be one ETag with its quotes, such as "17".');
  return Number(revision);
}

/** `input`: what was parsed of the request. Throws FerryError `request-invalid`. */
export function keyedRequest(
  name: string,
  operation: Operation,
  key: string | undefined,
  input: unknown,
): KeyedRequest | undefined {
  if (key === undefined) return undefined;
  if (operation.idempotencyKey !== true)
    throw new FerryError('request-invalid', 'This operation does not take the header "Idempotency-Key".');
  if (!/^[!-~]{1,255}$/.test(key))
    throw new FerryError(
      'request-invalid',
      'The header "Idempotency-Key" must have 1 to 255 printable ASCII characters without spaces.',
    );
  const request = createHash('sha256')
    .update(`${name} ${JSON.stringify(sorted(input))}`)
    .digest('hex');
  return { key, request };
}

/** The same request may name its fields in another order. */
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
};
