/** ETags are revisions in quotes; If-Match brings one back. What it means for a document is the engine's. */
import type { Operation } from '@ferry/api';
import { FerryError } from '@ferry/core';

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
