/**
 * Where migrations are kept. An active one is an intent beside a lock on its VM, written in one transaction; a finished
 * one lives in the journal, with its figures and what was kept of a failed target. Each write is guarded by what was
 * last read or written here: whoever finds another migration in the store decides anew.
 */
import { FerryError, isFinished, type JobSample, type Migration, type TimeMs, type VmUuid } from '@ferry/core';
import type { Clock, IntentStore, IntentWrite, Journal } from '../ports/ports.ts';
import { collection, text, type Stored } from './collection.ts';
import {
  decodeDocument,
  decodeMeasured,
  encodeMigration,
  joinMigration,
  split,
  type Measured,
  type MigrationDocument,
} from './migration-documents.ts';
import { storedTexts } from './stored-texts.ts';

const activePrefix = 'migrations/';
const measuredPrefix = 'transfer-history/';
const lockPrefix = 'migration-of/';
const samplesShown = 10_000;
/** Finished ones that a list finds without reading and decoding them again. */
export const keptInMemory = 300;

/** Of a document, as it was last read or written here. */
interface Held {
  readonly revision: number;
  readonly json: string;
}
const none: Held = { revision: 0, json: '' };

/** What is kept of a failed target when that was asked. */
export interface Inspection {
  readonly migration: string;
  readonly at: number;
  readonly host: string;
  /** The end of QEMU's log on the target, with the command line. */
  readonly log?: string;
  /** What the target was to define. */
  readonly definition?: string;
  /** Paths on the target that stay. */
  readonly volumes: readonly string[];
  /** Why something is missing. */
  readonly notes: readonly string[];
}

/** A finished migration and its number in the journal. */
export interface Ended {
  readonly seq: number;
  readonly migration: Migration;
}

export interface MigrationRecords {
  /**
   * Stores a new one and locks its VM, with the writes `along`. `conflict`: the keys whose guard failed: that of the
   * lock, where another migration has the VM.
   */
  begin(
    migration: Migration,
    along?: readonly IntentWrite[],
  ): Promise<{ readonly revision: number } | { readonly conflict: readonly string[] }>;
  /**
   * Stores what has changed, and resolves with the revision; a finished one goes to the journal, and its VM is free.
   * `changed`: somebody else has written it since, nothing was stored, and this is what it is now; undefined when it is
   * gone. `conflict`: the migration is as it was, and the guard of a write of `along` failed.
   */
  store(
    migration: Migration,
    along?: readonly IntentWrite[],
  ): Promise<
    | { readonly revision: number }
    | { readonly changed: Migration | undefined }
    | { readonly conflict: readonly string[] }
  >;
  /** Those that an earlier control plane left unfinished. What has ended, and did not get to the journal, gets there. */
  active(): Promise<readonly Migration[]>;
  /** As it is stored, also if it has ended; for one that nobody works on. */
  one(id: string): Promise<Migration | undefined>;
  /** The id of the one that has locked the VM. */
  lockOf(vm: VmUuid): Promise<string | undefined>;
  /** In the order in which they ended, the last one first; those before this number of the journal. */
  finished(limit: number, before?: number): Promise<readonly Ended[]>;
  /** `at`: when it was taken. */
  keepSample(id: string, sample: JobSample, at: TimeMs): Promise<void>;
  /** Oldest first. */
  samples(id: string): Promise<readonly { readonly at: number; readonly sample: JobSample }[]>;
  keepInspection(inspection: Inspection): Promise<void>;
  /** The last one. Rejects with FerryError `inspection-none`. */
  inspection(id: string): Promise<Inspection>;
}

export function migrationRecords({
  intents,
  journal,
  clock,
}: {
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly clock: Clock;
}): MigrationRecords {
  const append = (kind: string, subject: string, data: unknown, at: TimeMs = clock.now()): Promise<number> =>
    journal.append([{ at, kind, subject, data }]);
  const read = async (limit: number, beforeSeq?: number): Promise<Ended[]> => {
    const range = beforeSeq === undefined ? {} : { beforeSeq };
    const entries = await journal.read({ kind: 'migration', newestFirst: true, limit, ...range });
    return entries.map(({ seq, data }) => ({ seq, migration: data as Migration }));
  };
  let newest: Promise<Ended[]> | undefined;
  const heads = collection<MigrationDocument>(intents, activePrefix, decodeDocument);
  const measures = collection(intents, measuredPrefix, decodeMeasured);
  const locks = collection(intents, lockPrefix, text);
  const texts = storedTexts(intents);
  const held = new Map<string, { readonly head: Held; readonly measured: Held }>();

  /** As it is stored, and from now on held. */
  const join = async (head: Stored<MigrationDocument>, measured: Stored<Measured> | undefined): Promise<Migration> => {
    const holding = <T>(stored: Stored<T> | undefined): Held =>
      stored === undefined ? none : { revision: stored.revision, json: JSON.stringify(stored.value) };
    held.set(head.key, { head: holding(head), measured: holding(measured) });
    const joined = await joinMigration(head.value, measured?.value ?? {}, (digest) => texts.read(head.key, digest));
    return { ...joined, revision: head.revision };
  };
  const readAgain = async (id: string): Promise<Migration | undefined> => {
    const head = await heads.get(id);
    return head === undefined ? undefined : join(head, await measures.get(id));
  };
  /**
   * What was stored as ended goes to the journal, then its documents go. A crash in between finds them again and only
   * repeats this. False: somebody else has ended it.
   */
  const finish = async (migration: Migration): Promise<boolean> => {
    const { id, vm } = migration;
    const [kept] = await journal.read({ kind: 'migration', subject: id, limit: 1 });
    if (kept === undefined) {
      const seq = await append('migration', id, migration);
      newest = newest?.then((all) =>
        [{ seq, migration }, ...all.filter((each) => each.seq !== seq)].slice(0, keptInMemory),
      );
    }
    const { head, measured } = held.get(id) ?? { head: none, measured: none };
    const lock = await locks.get(vm.uuid);
    const written = await heads.commit([
      heads.delete(id, head.revision),
      ...(measured.revision === 0 ? [] : [measures.delete(id, measured.revision)]),
      ...(lock?.value === id ? [locks.delete(vm.uuid, lock.revision)] : []),
    ]);
    if ('conflict' in written) return false;
    held.delete(id);
    await texts.drop(id);
    return true;
  };
  /** At the revisions at which it was last read or written here. `changed`: see MigrationRecords. */
  const write = async (migration: Migration, along: readonly IntentWrite[]): ReturnType<MigrationRecords['store']> => {
    const { id } = migration;
    const before = held.get(id) ?? { head: none, measured: none };
    const { decided, measured } = split(migration);
    const head = await encodeMigration(decided, (large) => texts.keep(id, large));
    const next = { head: JSON.stringify(head), measured: JSON.stringify(measured) };
    const writes = [
      next.head === before.head.json
        ? heads.check(id, before.head.revision)
        : heads.put(id, head, before.head.revision),
      ...(next.measured === before.measured.json ? [] : [measures.put(id, measured, before.measured.revision)]),
      ...along,
    ];
    if (writes.every(({ op }) => op === 'check')) return { revision: before.head.revision };
    const written = await heads.commit(writes);
    if ('conflict' in written) {
      const changed = await readAgain(id);
      const now = held.get(id);
      // an earlier try of ours, whose answer was lost
      if (changed !== undefined && now?.head.json === next.head && now.measured.json === next.measured)
        return { revision: now.head.revision };
      const isAsBefore =
        now?.head.revision === before.head.revision && now.measured.revision === before.measured.revision;
      return changed !== undefined && isAsBefore ? written : { changed };
    }
    const at = (was: Held, json: string): Held => (was.json === json ? was : { revision: written.revision, json });
    const after = { head: at(before.head, next.head), measured: at(before.measured, next.measured) };
    held.set(id, after);
    return { revision: after.head.revision };
  };
  return {
    async begin(migration, along = []) {
      const { decided, measured } = split(migration);
      const head = await encodeMigration(decided, (large) => texts.keep(migration.id, large));
      const written = await heads.commit([
        locks.put(migration.vm.uuid, migration.id, 0),
        heads.put(migration.id, head, 0),
        measures.put(migration.id, measured, 0),
        ...along,
      ]);
      if ('conflict' in written) {
        await texts.drop(migration.id);
        return written;
      }
      const { revision } = written;
      held.set(migration.id, {
        head: { revision, json: JSON.stringify(head) },
        measured: { revision, json: JSON.stringify(measured) },
      });
      return { revision };
    },
    async store(migration, along = []) {
      const stored = await write(migration, along);
      if (!('revision' in stored) || !isFinished(migration)) return stored;
      for (let ending = migration; !(await finish(ending));) {
        const now = await readAgain(migration.id);
        if (now === undefined || !isFinished(now)) return { changed: now };
        ending = now;
      }
      return stored;
    },
    async active() {
      const [{ items }, { items: beside }] = [await heads.list(), await measures.list()];
      const measuredOf = new Map(beside.map((each) => [each.key, each]));
      // an end goes in one transaction: what has no head was left by hand, or has begun between the two lists
      for (const { key } of beside)
        if (!items.some((head) => head.key === key) && (await heads.get(key)) === undefined)
          await measures.change(key, () => undefined);
      const all = await Promise.all(items.map((head) => join(head, measuredOf.get(head.key))));
      for (const each of all) if (isFinished(each)) await finish(each);
      return all.filter((each) => !isFinished(each));
    },
    async one(id) {
      const active = await readAgain(id);
      if (active !== undefined) return active;
      const [ended] = await journal.read({ kind: 'migration', subject: id, limit: 1 });
      return ended?.data as Migration | undefined;
    },
    lockOf: async (vm) => (await locks.get(vm))?.value,
    async finished(limit, before) {
      if (limit > keptInMemory || before !== undefined) return read(limit, before);
      newest ??= read(keptInMemory).catch((error: unknown) => {
        newest = undefined;
        throw error;
      });
      return (await newest).slice(0, limit);
    },
    keepSample: async (id, sample, at) => void (await append('sample', id, sample, at)),
    samples: async (id) =>
      (await journal.read({ kind: 'sample', subject: id, limit: samplesShown })).map(({ at, data }) => ({
        at,
        sample: data as JobSample,
      })),
    keepInspection: async (inspection) => void (await append('inspection', inspection.migration, inspection)),
    async inspection(id) {
      const [kept] = await journal.read({ kind: 'inspection', subject: id, newestFirst: true, limit: 1 });
      if (kept === undefined)
        throw new FerryError('inspection-none', `Nothing was kept of a target of migration ${id}.`);
      return kept.data as Inspection;
    },
  };
}
