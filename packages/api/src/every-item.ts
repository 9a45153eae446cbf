/** A whole list, page by page. A change while the pages are read comes as an event after `events`. */
import type { CallInput, Client } from './client.ts';
import type { AnswerOf, CallName, QueryOf } from './operations.ts';

/** Operations that answer pages. */
export type ListName = {
  [N in CallName]: AnswerOf<N> extends { readonly items: readonly unknown[]; readonly events: string } ? N : never;
}[CallName];

type ItemOf<N extends ListName> = AnswerOf<N> extends { readonly items: readonly (infer T)[] } ? T : never;

export interface Everything<T> {
  readonly items: T[];
  /** Id of the event from which the list is to be followed. */
  readonly events: string;
}

/** Most items that the server puts on a page. */
const perPage = 1_000;

/** At most `most` items. */
export async function everyItem<N extends ListName>(
  client: Pick<Client, 'call'>,
  name: N,
  query: Omit<NonNullable<QueryOf<N>>, 'limit' | 'page'>,
  { most = Infinity, signal }: { readonly most?: number; readonly signal?: AbortSignal } = {},
): Promise<Everything<ItemOf<N>>> {
  const items: ItemOf<N>[] = [];
  let page: string | undefined;
  for (;;) {
    const limit = Math.min(perPage, most - items.length);
    const asked = { ...query, limit, ...(page === undefined ? {} : { page }) };
    const input = { query: asked, ...(signal === undefined ? {} : { signal }) } as unknown as CallInput<'vmList'>;
    const answer = (await client.call<'vmList'>(name as 'vmList', input)) as unknown as {
      readonly items: typeof items;
      readonly events: string;
      readonly next?: string;
    };
    items.push(...answer.items);
    page = answer.next;
    if (page === undefined || items.length >= most) return { items, events: answer.events };
  }
}
