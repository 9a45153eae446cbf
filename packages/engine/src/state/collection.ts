/**
 * One kind of intents: the documents below a prefix, decoded, each with the revision at which it was read. Nothing is
 * written but at that revision; whoever finds that somebody else was faster decides anew, or is told.
 */
import { FerryError } from '@ferry/core';
import { commit, type Settled } from './commit.ts';
import type { IntentEntry, IntentStore, IntentWrite } from '../ports/ports.ts';

/** Of many at once, one gets through each time. */
const mostAttempts = 500;

export interface Stored<T> {
  /** Without the prefix. */
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

export type Change<T> =
  | { readonly type: 'put'; readonly stored: Stored<T> }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number }
  | { readonly type: 'compacted'; readonly revision: number };

/** What is stored after a change; `value` is absent where nothing is any more. */
export type Changed<T> = Omit<Stored<T>, 'value'> & { readonly value: T | undefined };

export interface Collection<T> {
  get(key: string): Promise<Stored<T> | undefined>;
  /** All below `under`, in key order; a watch from `revision` on misses nothing. */
  list(under?: string): Promise<{ readonly items: readonly Stored<T>[]; readonly revision: number }>;
  /** For a transaction over several collections. */
  put(key: string, value: T, ifRevision: number, lease?: string): IntentWrite;
  delete(key: string, ifRevision: number): IntentWrite;
  check(key: string, ifRevision: number): IntentWrite;
  commit(writes: readonly IntentWrite[]): Promise<Settled>;
  /**
   * Decides on what is stored at this moment, and anew whenever somebody else was faster; undefined takes the document
   * away, the same value leaves it as it is. `along` is asked for writes of the same transaction.
   * Rejects with FerryError `store-conflict`, or with what
   * `decide` throws; nothing was written in either case.
   */
  change(
    key: string,
    decide: (before: Stored<T> | undefined) => T | undefined,
    along?: () => Promise<readonly IntentWrite[]>,
  ): Promise<Changed<T>>;
  watch(afterRevision: number, signal: AbortSignal): AsyncIterable<Change<T>>;
}

/** `decode` throws what is wrong with the document, in words. */
export function collection<T>(
  intents: IntentStore,
  prefix: string,
  decode: (value: unknown, key: string) => T,
): Collection<T> {
  const stored = ({ key, value, revision }: IntentEntry): Stored<T> => {
    const own = key.slice(prefix.length);
    try {
      return { key: own, value: decode(value, own), revision };
    } catch (error) {
      throw new FerryError(
        'store-broken',
        `The stored ${key} is not what Ferry writes: ${error instanceof Error ? error.message : String(error)}.`,
        { cause: error },
      );
    }
  };
  const get = async (key: string): Promise<Stored<T> | undefined> => {
    const entry = await intents.get(prefix + key);
    return entry === undefined ? undefined : stored(entry);
  };
  const put = (key: string, value: T, ifRevision: number, lease?: string): IntentWrite => ({
    op: 'put',
    key: prefix + key,
    value,
    ifRevision,
    ...(lease === undefined ? {} : { lease }),
  });
  const remove = (key: string, ifRevision: number): IntentWrite => ({ op: 'delete', key: prefix + key, ifRevision });
  return {
    get,
    async list(under = '') {
      const { entries, revision } = await listAll(intents, prefix + under);
      return { items: entries.map(stored), revision };
    },
    put,
    delete: remove,
    check: (key, ifRevision) => ({ op: 'check', key: prefix + key, ifRevision }),
    commit: (writes) => commit(intents, writes),
    async change(key, decide, along) {
      for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
        const before = await get(key);
        const value = decide(before);
        const revision = before?.revision ?? 0;
        // what stays as it is, is not written
        if (value === before?.value) return { key, value, revision };
        const own = value === undefined ? remove(key, revision) : put(key, value, revision);
        const written = await commit(intents, [own, ...((await along?.()) ?? [])]);
        // a removal that was settled by looking has no revision of its own; it came after what was read
        if (!('conflict' in written)) return { key, value, revision: Math.max(revision + 1, written.revision) };
      }
      throw new FerryError('store-conflict', `${prefix}${key} is being changed by many at once.`);
    },
    async *watch(afterRevision, signal) {
      for await (const change of intents.watch(prefix, afterRevision, signal)) {
        if (change.type === 'put') yield { type: 'put', stored: stored(change.entry) };
        else if (change.type === 'delete') yield { ...change, key: change.key.slice(prefix.length) };
        else yield change;
      }
    },
  };
}

/** Page by page. The revision is that of the first page: what changes while the others are read is watched from it. */
export async function listAll(
  intents: Pick<IntentStore, 'list'>,
  prefix: string,
): Promise<{ readonly entries: readonly IntentEntry[]; readonly revision: number }> {
  const entries: IntentEntry[] = [];
  let page = await intents.list(prefix);
  const { revision } = page;
  entries.push(...page.entries);
  while (page.next !== undefined) {
    page = await intents.list(prefix, { after: page.next });
    entries.push(...page.entries);
  }
  return { entries, revision };
}

/** What the caller has seen, if it said so, is what is stored. Throws FerryError `revision-stale`. */
export function expectRevision(what: string, present: number, expected: number | undefined): void {
  const stale = staleRevision(what, present, expected);
  if (stale !== undefined) throw stale;
}

export function staleRevision(what: string, present: number, expected: number | undefined): FerryError | undefined {
  if (expected === undefined || expected === present) return undefined;
  const now = present === 0 ? 'is not stored' : `has revision ${present} now`;
  return new FerryError('revision-stale', `${what} ${now}; the request is for revision ${expected}.`);
}

type Kind = 'string' | 'number' | 'boolean' | 'object' | 'array';

const kindOf = (value: unknown): string => (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value);

/** Decodes an object of which these fields must be there; what else is in it is what Ferry wrote. */
export const document =
  <T extends object>(fields: { readonly [K in keyof T]?: Kind }) =>
  (value: unknown): T => {
    if (kindOf(value) !== 'object') throw new Error(`it is no object but ${kindOf(value)}`);
    const found = new Map(Object.entries(value as object));
    for (const [name, kind] of Object.entries(fields) as [string, Kind][])
      if (kindOf(found.get(name)) !== kind) throw new Error(`its "${name}" is ${kindOf(found.get(name))}, not ${kind}`);
    return value as T;
  };

export const text = (value: unknown): string => {
  if (typeof value !== 'string') throw new Error(`it is ${kindOf(value)}, not text`);
  return value;
};

export const texts = (value: unknown): readonly string[] => {
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string'))
    throw new Error('it is no list of texts');
  return value;
};
