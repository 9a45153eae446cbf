/**
 * Where migrations are kept. An active one is an intent beside a lock on its VM, written in one transaction; a finished
 * one lives in the journal, with its figures and what was kept of a failed target.
 */
import { FerryError, isFinished, type JobSample, type Migration, type TimeMs } from '@ferry/core';
import type { Inspection } from '../migration/effects/inspection.ts';
import type { Clock, IntentStore, Journal } from '../ports/ports.ts';

const activePrefix = 'migrations/';
const lockPrefix = 'migration-of/';
const samplesShown = 10_000;
/** Finished ones that a list finds without reading and decoding them again. */
const keptInMemory = 300;

export interface MigrationRecords {
  /** Stores a new one and locks its VM. False: another one holds the lock. */
  begin(migration: Migration): Promise<boolean>;
  /** Stores what has changed; a finished one goes to the journal, and its VM is free. */
  store(migration: Migration): Promise<void>;
  /** Those that an earlier control plane left unfinished, or did not get to the journal. */
  active(): Promise<readonly Migration[]>;
  /** In the order in which they ended, the last one first. */
  finished(limit: number): Promise<readonly Migration[]>;
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
  const append = async (kind: string, subject: string, data: unknown, at: TimeMs = clock.now()): Promise<void> =>
    void (await journal.append([{ at, kind, subject, data }]));
  const read = async (limit: number): Promise<Migration[]> =>
    (await journal.read({ kind: 'migration', newestFirst: true, limit })).map(({ data }) => data as Migration);
  let newest: Promise<Migration[]> | undefined;
  return {
    async begin(migration) {
      const written = await intents.commit([
        { op: 'put', key: lockPrefix + migration.vm.uuid, value: migration.id, ifRevision: 0 },
        { op: 'put', key: activePrefix + migration.id, value: migration, ifRevision: 0 },
      ]);
      return !('conflict' in written);
    },
    async store(migration) {
      if (!isFinished(migration)) {
        await intents.commit([{ op: 'put', key: activePrefix + migration.id, value: migration }]);
        return;
      }
      // The journal first: a crash in between finds the intent again and only repeats this step.
      const [kept] = await journal.read({ kind: 'migration', subject: migration.id, limit: 1 });
      if (kept === undefined) {
        await append('migration', migration.id, migration);
        newest = newest?.then((all) =>
          [migration, ...all.filter(({ id }) => id !== migration.id)].slice(0, keptInMemory),
        );
      }
      await intents.commit([
        { op: 'delete', key: activePrefix + migration.id },
        { op: 'delete', key: lockPrefix + migration.vm.uuid },
      ]);
    },
    active: async () => (await intents.list(activePrefix)).map(({ value }) => value as Migration),
    async finished(limit) {
      if (limit > keptInMemory) return read(limit);
      newest ??= read(keptInMemory).catch((error: unknown) => {
        newest = undefined;
        throw error;
      });
      return (await newest).slice(0, limit);
    },
    keepSample: (id, sample, at) => append('sample', id, sample, at),
    samples: async (id) =>
      (await journal.read({ kind: 'sample', subject: id, limit: samplesShown })).map(({ at, data }) => ({
        at,
        sample: data as JobSample,
      })),
    keepInspection: (inspection) => append('inspection', inspection.migration, inspection),
    async inspection(id) {
      const [kept] = await journal.read({ kind: 'inspection', subject: id, newestFirst: true, limit: 1 });
      if (kept === undefined)
        throw new FerryError('inspection-none', `Nothing was kept of a target of migration ${id}.`);
      return kept.data as Inspection;
    },
  };
}
