/**
 * Carries the metadata of snapshots and checkpoints through a move. It is stored before it is taken off the source, and
 * dropped from the store only once it has been put back on the side where the VM ended: a crash in between loses
 * nothing.
 */
import type { Migration } from '@ferry/core';
import type { HostLink, IntentStore, SnapshotMetadata } from '../../ports/ports.ts';

const prefixOf = (migration: Migration): string => `snapshots/${migration.id}/`;
/** Writes of one transaction. */
const batch = 32;

export interface CarriedSnapshots {
  takeOff(migration: Migration, source: HostLink, signal: AbortSignal): Promise<void>;
  /** Puts back what was taken off; nothing was: nothing happens. */
  putBack(migration: Migration, at: HostLink, signal: AbortSignal): Promise<void>;
}

export function carriedSnapshots(intents: IntentStore): CarriedSnapshots {
  const stored = async (migration: Migration): Promise<readonly SnapshotMetadata[]> =>
    (await intents.list(prefixOf(migration))).map(({ value }) => value as SnapshotMetadata);
  return {
    async takeOff(migration, source, signal) {
      const before = await stored(migration);
      const known = new Set(before.map(({ kind, name }) => `${kind} ${name}`));
      const found = (await source.snapshots.read(migration.vm.uuid, signal)).filter(
        ({ kind, name }) => !known.has(`${kind} ${name}`),
      );
      const all = [...before, ...found];
      for (let at = before.length; at < all.length; at += batch) {
        await intents.commit(
          all.slice(at, at + batch).map((value, index) => ({
            op: 'put',
            key: `${prefixOf(migration)}${String(at + index).padStart(6, '0')}`,
            value,
          })),
        );
      }
      await source.snapshots.strip(migration.vm.uuid, all, signal);
    },
    async putBack(migration, at, signal) {
      const all = await stored(migration);
      if (all.length === 0) return;
      await at.snapshots.restore(migration.vm.uuid, all, signal);
      for (const { key } of await intents.list(prefixOf(migration))) await intents.commit([{ op: 'delete', key }]);
    },
  };
}
