/**
 * The IntentStore in memory: nothing outlives the process. For tests and simulated fleets; it passes the conformance
 * suite of packages/adapters as the durable drivers do.
 */
import { leaseExpired, nextWake, encodeWrites } from '../ports/store-rules.ts';
import {
  intentsPerPage,
  type Clock,
  type CommitAnswer,
  type IntentChange,
  type IntentEntry,
  type IntentStore,
  type IntentWrite,
} from '../ports/ports.ts';

export interface MemoryIntentsOptions {
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  /** May throw, as a full disk would, or decide what becomes of the answer, as a network would. */
  readonly beforeCommit?: (
    writes: readonly IntentWrite[],
  ) => void | 'lost-before' | 'lost-after' | Promise<void | 'lost-before' | 'lost-after'>;
  /** Changes kept for watchers that come back; 10,000 unless given. */
  readonly changesKept?: number;
}

type Kept = Exclude<IntentChange, { readonly type: 'compacted' }>;

const copyOf = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown;

export function memoryIntents({ clock, beforeCommit, changesKept = 10_000 }: MemoryIntentsOptions): IntentStore {
  const entries = new Map<string, IntentEntry & { readonly lease?: string }>();
  const leases = new Map<string, { readonly ttlMs: number; readonly expiresAt: number }>();
  let changes: Kept[] = [];
  let compactedTo = 0;
  let revision = 0;
  let granted = 0;
  const waiting = new Set<() => void>();

  const apply = (writes: readonly IntentWrite[]): number => {
    revision += 1;
    for (const write of writes) {
      const { key } = write;
      if (write.op === 'put') {
        // as a store would: what is kept is a copy
        const entry = { key, value: copyOf(write.value), revision };
        entries.set(key, { ...entry, ...(write.lease === undefined ? {} : { lease: write.lease }) });
        changes.push({ type: 'put', entry });
      } else if (write.op === 'delete' && entries.delete(key)) changes.push({ type: 'delete', key, revision });
    }
    while (changes.length > changesKept) compactedTo = revisionOf(changes.shift());
    for (const wake of waiting) wake();
    return revision;
  };
  const expire = (): void => {
    const over = new Set([...leases].filter(([, { expiresAt }]) => expiresAt <= clock.now()).map(([id]) => id));
    for (const id of over) leases.delete(id);
    const gone = [...entries.values()].filter(({ lease }) => lease !== undefined && over.has(lease));
    if (gone.length > 0) apply(gone.map(({ key, revision: ifRevision }) => ({ op: 'delete', key, ifRevision })));
  };
  const plain = ({ key, value, revision: at }: IntentEntry): IntentEntry => ({
    key,
    value: copyOf(value),
    revision: at,
  });
  const write = (writes: readonly IntentWrite[]): CommitAnswer => {
    const conflict = writes
      .filter(({ key, ifRevision }) => (entries.get(key)?.revision ?? 0) !== ifRevision)
      .map(({ key }) => key);
    return conflict.length > 0 ? { conflict } : { revision: apply(writes) };
  };

  return {
    async get(key) {
      expire();
      const entry = entries.get(key);
      return entry === undefined ? undefined : plain(entry);
    },
    async list(prefix, { after = '', limit = intentsPerPage } = {}) {
      expire();
      const all = [...entries.values()]
        .filter(({ key }) => key.startsWith(prefix) && key > after)
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      const page = all.slice(0, Math.min(limit, intentsPerPage)).map(plain);
      const last = page.at(-1)?.key;
      return { entries: page, revision, ...(page.length < all.length && last !== undefined ? { next: last } : {}) };
    },
    async commit(writes) {
      const encoded = encodeWrites(writes);
      const fate = await beforeCommit?.(writes);
      expire();
      for (const each of writes)
        if (each.op === 'put' && each.lease !== undefined && !leases.has(each.lease)) throw leaseExpired(each.key);
      if (fate === 'lost-before') return { unknown: 'The store did not answer in time.' };
      const answer = write(encoded);
      return fate === 'lost-after' ? { unknown: 'The connection to the store broke.' } : answer;
    },
    async *watch(prefix, afterRevision, signal) {
      let seen = afterRevision;
      while (!signal.aborted) {
        expire();
        if (seen < compactedTo) {
          seen = revision;
          yield { type: 'compacted', revision };
          continue;
        }
        const upTo = revision;
        for (const change of changes.filter((each) => revisionOf(each) > seen && keyOf(each).startsWith(prefix))) {
          yield change;
          if (signal.aborted) return;
        }
        seen = upTo;
        if (seen === revision) await nextChange(signal);
      }
    },
    async grantLease(ttlMs) {
      granted += 1;
      const id = `lease-${granted}`;
      leases.set(id, { ttlMs, expiresAt: clock.now() + ttlMs });
      // a waiting reader waits for this one, too
      for (const wake of waiting) wake();
      return id;
    },
    async renewLease(id) {
      expire();
      const lease = leases.get(id);
      if (lease === undefined) return false;
      leases.set(id, { ...lease, expiresAt: clock.now() + lease.ttlMs });
      return true;
    },
  };

  /** Resolves at the next write, when a lease may have expired, or when the signal aborts. */
  async function nextChange(signal: AbortSignal): Promise<void> {
    const expiresAt = Math.min(...[...leases.values()].map((lease) => lease.expiresAt));
    await nextWake(waiting, clock, Number.isFinite(expiresAt) ? expiresAt : undefined, signal);
  }
}

const revisionOf = (change: Kept | undefined): number =>
  change === undefined ? 0 : change.type === 'put' ? change.entry.revision : change.revision;
const keyOf = (change: Kept): string => (change.type === 'put' ? change.entry.key : change.key);
