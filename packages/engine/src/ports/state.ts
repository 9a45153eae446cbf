/** Ports: state, three kinds, one port each. */
import type { HostFacts, Instance, TimeMs, VmUuid } from '@ferry/core';

export interface IntentEntry {
  readonly key: string;
  readonly value: unknown;
  /** Revision of the last write; revisions grow over the whole store. */
  readonly revision: number;
}

/** `ifRevision`: the write is refused unless the entry has this revision; 0 means the key must not exist. */
export type IntentWrite =
  | {
      readonly op: 'put';
      readonly key: string;
      readonly value: unknown;
      readonly ifRevision?: number;
      readonly lease?: string;
    }
  | { readonly op: 'delete'; readonly key: string; readonly ifRevision?: number };

export type IntentChange =
  | { readonly type: 'put'; readonly entry: IntentEntry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number }
  /** The revision asked for is no longer kept: list again. */
  | { readonly type: 'compacted'; readonly revision: number };

/** Small documents (at most 256 KiB as JSON) with a revision. Durable when a write resolves. */
export interface IntentStore {
  get(key: string): Promise<IntentEntry | undefined>;
  /** Entries whose key begins with `prefix`, in key order. */
  list(prefix: string): Promise<readonly IntentEntry[]>;
  /** At most 64 writes, all or none. `conflict`: the keys whose guard failed. */
  commit(
    writes: readonly IntentWrite[],
  ): Promise<{ readonly revision: number } | { readonly conflict: readonly string[] }>;
  /** Changes after `afterRevision` to keys that begin with `prefix`, in order, until the signal aborts. */
  watch(prefix: string, afterRevision: number, signal: AbortSignal): AsyncIterable<IntentChange>;
  /** Makes a lease, or renews it; entries put with it vanish when it is not renewed within `ttlMs`. */
  lease(id: string, ttlMs: number): Promise<void>;
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
  /** Ascending from `afterSeq`, or newest first with `newestFirst`; at most `limit` (1,000 by default). */
  read(query: {
    readonly kind?: string;
    readonly subject?: string;
    readonly afterSeq?: number;
    readonly newestFirst?: boolean;
    readonly limit?: number;
  }): Promise<readonly JournalEntry[]>;
  /** First seq still kept and the last one given out (0 and 0 when empty from the start). */
  bounds(): Promise<{ readonly first: number; readonly last: number }>;
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
