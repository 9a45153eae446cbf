/**
 * A collection kept in memory, for documents that every check reads. It follows the store, so that it also shows what
 * another control plane changes, and tells each change once.
 */
import type { Clock, Log } from '../ports/ports.ts';
import type { Changed, Collection, Stored } from './collection.ts';

const againAfterMs = 1_000;

export interface MirrorDeps {
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface Mirror<T> {
  get(key: string): Stored<T> | undefined;
  all(): readonly Stored<T>[];
  /** As Collection's; what was changed is seen at once. */
  change: Collection<T>['change'];
  /** What was read, or written in a transaction over several collections, is seen at once. */
  saw(change: Changed<T>): void;
  readonly stored: Collection<T>;
}

export async function openMirror<T>(
  stored: Collection<T>,
  { clock, log, signal }: MirrorDeps,
  changed: (change: Changed<T>) => void = () => {},
): Promise<Mirror<T>> {
  const entries = new Map<string, Stored<T>>();
  /** By key; also of what is gone, so that an older change that comes late does not bring it back. */
  const seen = new Map<string, number>();
  const first = await stored.list();
  for (const each of first.items) entries.set(each.key, each);
  for (const { key, revision } of first.items) seen.set(key, revision);

  const take = (change: Changed<T>): void => {
    const { key, value, revision } = change;
    if (revision <= (seen.get(key) ?? 0)) return;
    seen.set(key, revision);
    if (value !== undefined) entries.set(key, { key, value, revision });
    // a removal is seen twice when its own revision was not known at first
    else if (!entries.delete(key)) return;
    changed(change);
  };
  /** Everything again, after what was missed. Resolves with the revision from which to go on. */
  const listAgain = async (): Promise<number> => {
    const { items, revision } = await stored.list();
    const there = new Set(items.map(({ key }) => key));
    for (const each of items) take(each);
    for (const key of entries.keys()) if (!there.has(key)) take({ key, value: undefined, revision });
    return revision;
  };
  const follow = async (): Promise<void> => {
    let from: number | undefined = first.revision;
    while (!signal.aborted) {
      try {
        from ??= await listAgain();
        for await (const change of stored.watch(from, signal)) {
          if (change.type === 'put') take(change.stored);
          else if (change.type === 'delete') take({ ...change, value: undefined });
          else await listAgain();
        }
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error }, 'the store is looked at again');
        from = undefined;
        await clock.sleep(againAfterMs, signal).catch(() => undefined);
      }
    }
  };
  void follow();

  return {
    get: (key) => entries.get(key),
    all: () => [...entries.values()],
    async change(key, decide, along) {
      const after = await stored.change(key, decide, along);
      take(after);
      return after;
    },
    saw: take,
    stored,
  };
}
