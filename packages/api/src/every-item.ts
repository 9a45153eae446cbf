/**
 * A whole list, page by page. A change while the pages are read comes as an event after `events`. A control plane that
 * was restarted in between refuses the tokens of its earlier run: the list is then read once more from its start.
 */
import { ApiError } from './client.ts';
import type { ErrorCode } from './errors.ts';

/** What a list takes beside its filters. */
export interface PageQuery {
  readonly limit: number;
  readonly page?: string;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly events: string;
  readonly next?: string | undefined;
}

export interface Everything<T> {
  readonly items: T[];
  /** Id of the event from which the list is to be followed. */
  readonly events: string;
}

/** Most items that the server puts on a page. */
const perPage = 1_000;
const refusedToken: ErrorCode = 'page-token-invalid';

/** At most `most` items. Rejects with what `read` rejects with. */
export async function everyItem<T>(
  read: (query: PageQuery) => Promise<Page<T>>,
  most = Infinity,
): Promise<Everything<T>> {
  let items: T[] = [];
  let page: string | undefined;
  let again = false;
  for (;;) {
    try {
      const limit = Math.min(perPage, most - items.length);
      const answer = await read({ limit, ...(page === undefined ? {} : { page }) });
      items.push(...answer.items);
      page = answer.next;
      if (page === undefined || items.length >= most) return { items, events: answer.events };
    } catch (error) {
      if (page === undefined || again || !(error instanceof ApiError && error.code === refusedToken)) throw error;
      again = true;
      items = [];
      page = undefined;
    }
  }
}
