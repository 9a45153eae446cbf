/** Ports: state, three kinds, one port each. */
import type { HostFacts, Instance, TimeMs, VmUuid } from '@ferry/core';

export interface IntentEntry {
  readonly key: string;
  readonly value: unknown;
  /** Revision of the last write; revisions grow over the whole store. */
  readonly revision: number;
}

/**
 * Every write names the revision at which its entry was read: 0 means that the key must not exist. `check` writes
 * nothing: the others are refused unless its entry is as it was read.
 */
export type IntentWrite =
  | {
      readonly op: 'put';
      readonly key: string;
      readonly value: unknown;
      readonly ifRevision: number;
      /** The entry vanishes with this lease. */
      readonly lease?: string;
    }
  | { readonly op: 'delete'; readonly key: string; readonly ifRevision: number }
  | { readonly op: 'check'; readonly key: string; readonly ifRevision: number };

/** `conflict`: the keys whose guard failed; nothing was written. */
export type CommitAnswer =
  | { readonly revision: number }
  | { readonly conflict: readonly string[] }
  /** The answer was lost, and this is why: the writes may be done, or not, or be done yet. Look (state/commit.ts). */
  | { readonly unknown: string };

export type IntentChange =
  | { readonly type: 'put'; readonly entry: IntentEntry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number }
  /** The revision asked for is no longer kept: list again. */
  | { readonly type: 'compacted'; readonly revision: number };

export interface IntentPage {
  readonly entries: readonly IntentEntry[];
  /** Of the store when the page was read: a watch that begins here misses nothing. */
  readonly revision: number;
  /** Key after which the next page begins; absent on the last one. */
  readonly next?: string;
}

/** Most entries that a page has. */
export const intentsPerPage = 500;
/** Most writes of one transaction, and bytes of one document as JSON. */
export const maxIntentWrites = 64;
export const maxIntentBytes = 256 * 1024;

/** Small documents (at most 256 KiB as JSON) with a revision. Durable when a write resolves with its revision. */
export interface IntentStore {
  get(key: string): Promise<IntentEntry | undefined>;
  /** Entries whose key begins with `prefix`, in key order, after the key `after`; at most `limit` (500). */
  list(prefix: string, page?: { readonly after?: string; readonly limit?: number }): Promise<IntentPage>;
  /**
   * At most 64 writes, all or none. Rejects with FerryError `request-invalid` beyond a limit, `lease-expired` for a
   * lease that is no more, `store-*` when it is certain that nothing was written.
   */
  commit(writes: readonly IntentWrite[]): Promise<CommitAnswer>;
  /** Changes after `afterRevision` to keys that begin with `prefix`, in order, until the signal aborts. */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<IntentChange>;
  /** A new lease: entries put with it vanish, and watchers get an event, when it is not renewed within `ttlMs`. */
  grantLease(ttlMs: number): Promise<string>;
  /** For another `ttlMs`. False: it has expired, and never comes back; grant another one. */
  renewLease(id: string): Promise<boolean>;
}

export interface JournalEntry {
  readonly seq: number;
  readonly at: TimeMs;
  /** e.g. `event`, `sample`, `decision`, `audit`, `migration`. */
  readonly kind: string;
  /** What it is about, e.g. a migration's id. */
  readonly subject: string;
  readonly data: unknown;
}

/** Append-only, with retention. */
export interface Journal {
  /** Returns the seq of the last entry. Seqs grow by one per entry. */
  append(entries: readonly Omit<JournalEntry, 'seq'>[]): Promise<number>;
  /** Between the two numbers, ascending or with the newest first; at most `limit` (1,000 by default). */
  read(query: {
    readonly kind?: string;
    readonly subject?: string;
    readonly afterSeq?: number;
    readonly beforeSeq?: number;
    readonly newestFirst?: boolean;
    readonly limit?: number;
  }): Promise<readonly JournalEntry[]>;
  /** First seq of this kind that is still kept (0: none), and the last one given out of any kind (0: none ever). */
  bounds(kind: string): Promise<{ readonly first: number; readonly last: number }>;
  /** Drops entries of `kind` older than `before`. Returns how many. */
  prune(kind: string, before: TimeMs): Promise<number>;
}

/** What the hosts last reported; rebuildable, so it need not be durable. */
export interface InventoryCache {
  save(host: string, report: { readonly facts?: HostFacts; readonly instances: readonly Instance[] }): Promise<void>;
  load(): Promise<ReadonlyMap<string, { readonly facts?: HostFacts; readonly instances: readonly Instance[] }>>;
  remove(host: string): Promise<void>;
  /** Keeps the last definition of a VM on a host: it is needed when that host is dead. */
  saveDefinition(definition: StoredDefinition): Promise<void>;
  definition(uuid: VmUuid, host: string): Promise<StoredDefinition | undefined>;
}

/** With its secrets: who can read the store can read them. */
export interface StoredDefinition {
  readonly uuid: VmUuid;
  readonly host: string;
  readonly xml: string;
  readonly at: TimeMs;
}

export interface Stores {
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly inventory: InventoryCache;
  close(): Promise<void>;
}
