/**
 * A list that goes on: what is there, then each item that has changed or is gone, until Ctrl-C. The events only say that
 * something changed; what matches the filters is asked of the control plane again, which knows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FerryEvent } from '@ferry/api';
import { ApiError, type Client, type StreamEvent } from '@ferry/api/client';
import { errorTable, exitCodes } from '@ferry/api/errors';
import type { Everything } from '@ferry/api/every-item';
import type { Context } from './context.ts';
import type { ListLook } from './output/columns.ts';

/** Changes come in bursts. */
const gatherMs = 200;
/** More items than this are not asked for one by one. */
const askedSingly = 20;

/** The event may be about each of the items. No name and no id is this. */
export const anyItem = '*';

export interface WatchedList<T> {
  readonly look: ListLook<T>;
  readonly keyOf: (item: T) => string;
  /** `only`: nothing but the item with this key, if it matches. */
  readonly read: (client: Client, signal: AbortSignal, only?: string) => Promise<Everything<T>>;
  /** What is not found any more has only moved beyond the limit. */
  readonly keeps?: boolean;
  /** Key of the item that the event is about, or `anyItem`. */
  readonly concerns: (event: FerryEvent) => string | undefined;
}

/** Ends with ApiError `server-stopping` when the server ends it, and with nothing after the signal. */
export async function* followEvents(
  client: Client,
  { after, signal }: { readonly after?: string; readonly signal: AbortSignal },
): AsyncGenerator<StreamEvent<FerryEvent>> {
  const from = after === undefined ? {} : { lastEventId: after };
  try {
    yield* client.stream('eventWatch', { signal, query: { progress: 'light' }, ...from });
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  if (signal.aborted) return;
  throw new ApiError({
    code: 'server-stopping',
    status: 0,
    message: 'The control plane ended the stream of events.',
    remedy: errorTable['server-stopping'].remedy,
  });
}

/** Until Ctrl-C; the exit code says so. */
export async function untilInterrupted(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  process.once('SIGINT', end);
  try {
    await work(ending.signal);
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  } finally {
    process.off('SIGINT', end);
  }
  process.exitCode = exitCodes.detached;
}

export async function watchList<T>(
  { client, output }: Context,
  list: WatchedList<T>,
  signal: AbortSignal,
): Promise<void> {
  const { look, keyOf, read, concerns, keeps = false } = list;
  const shown = new Map<string, { readonly item: T; readonly json: string }>();
  const server = client();

  const printChanged = (items: readonly T[]): void => {
    if (output.json) for (const item of items) output.line({ change: 'changed', item }, () => '');
    else output.list(items, look, 'part');
  };
  const printGone = (item: T): void => output.line({ change: 'gone', item }, () => `${look.name(item)}  (gone)`);
  const take = (items: readonly T[], asked: Iterable<string>): void => {
    const found = new Map(items.map((item) => [keyOf(item), { item, json: JSON.stringify(item) }]));
    printChanged([...found].flatMap(([key, { item, json }]) => (shown.get(key)?.json === json ? [] : [item])));
    for (const key of asked) {
      const before = shown.get(key);
      if (before === undefined || keeps || found.has(key)) continue;
      shown.delete(key);
      printGone(before.item);
    }
    for (const [key, each] of found) shown.set(key, each);
  };
  const refresh = async (changed: ReadonlySet<string>, within: AbortSignal): Promise<void> => {
    if (changed.has(anyItem) || changed.size > askedSingly)
      return take((await read(server, within)).items, [...shown.keys()]);
    for (const key of changed) take((await read(server, within, key)).items, [key]);
  };

  const { items, events } = await read(server, signal);
  if (output.json) printChanged(items);
  else output.list(items, look);
  for (const item of items) shown.set(keyOf(item), { item, json: JSON.stringify(item) });

  const failing = new AbortController();
  const within = AbortSignal.any([signal, failing.signal]);
  const changed = new Set<string>();
  let refreshing: Promise<void> | undefined;
  const refreshSoon = async (): Promise<void> => {
    while (changed.size > 0) {
      await sleep(gatherMs, undefined, { signal: within });
      const now = new Set(changed);
      changed.clear();
      await refresh(now, within);
    }
  };
  for await (const { data } of followEvents(server, { after: events, signal: within })) {
    const key = data.type === 'reset' ? anyItem : concerns(data);
    if (key === undefined) continue;
    changed.add(key);
    refreshing ??= refreshSoon()
      .catch((error: unknown) => failing.abort(error))
      .finally(() => {
        refreshing = undefined;
      });
  }
  if (failing.signal.aborted && !signal.aborted) throw failing.signal.reason;
}
