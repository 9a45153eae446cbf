/**
 * Carries the metadata of snapshots and checkpoints through a move. It is stored before it is taken off the source, and
 * dropped from the store only once it has been put back on the side where the VM ended: a crash in between loses
 * nothing.
 */
import type { Migration } from '@ferry/core';
import { collection, document } from '../../state/collection.ts';
import { storedTexts } from '../../state/stored-texts.ts';
import type { HostLink, IntentStore, SnapshotMetadata } from '../../ports/ports.ts';

const prefixOf = (migration: Migration): string => `${migration.id}/`;
/** Characters of a definition that its document holds itself. */
const largestInline = 40_000;

export interface CarriedSnapshots {
  takeOff(migration: Migration, source: Pick<HostLink, 'snapshots'>, signal: AbortSignal): Promise<void>;
  /** Puts back what was taken off; nothing was: nothing happens. */
  putBack(migration: Migration, at: Pick<HostLink, 'snapshots'>, signal: AbortSignal): Promise<void>;
}

/** `text`: the digest of its definition, in place of one that is too large for a document. */
type Kept = SnapshotMetadata & { readonly text?: string };

export function carriedSnapshots(intents: IntentStore): CarriedSnapshots {
  const snapshots = collection(
    intents,
    'snapshots/',
    document<Kept>({ kind: 'string', name: 'string', xml: 'string' }),
  );
  const texts = storedTexts(intents);
  const ownerOf = ({ id }: Migration): string => `${id}-snapshots`;
  const stored = async (migration: Migration): Promise<readonly SnapshotMetadata[]> =>
    Promise.all(
      (await snapshots.list(prefixOf(migration))).items.map(async ({ value: { text, ...rest } }) =>
        text === undefined ? rest : { ...rest, xml: await texts.read(ownerOf(migration), text) },
      ),
    );
  return {
    async takeOff(migration, source, signal) {
      const before = await stored(migration);
      const known = new Set(before.map(({ kind, name }) => `${kind} ${name}`));
      const found = (await source.snapshots.read(migration.vm.uuid, signal)).filter(
        ({ kind, name }) => !known.has(`${kind} ${name}`),
      );
      const all = [...before, ...found];
      for (const [index, each] of found.entries()) {
        const key = `${prefixOf(migration)}${String(before.length + index).padStart(6, '0')}`;
        const large = each.xml.length > largestInline;
        const kept = large ? { ...each, xml: '', text: await texts.keep(ownerOf(migration), each.xml) } : each;
        await snapshots.change(key, () => kept);
      }
      await source.snapshots.strip(migration.vm.uuid, all, signal);
    },
    async putBack(migration, at, signal) {
      const all = await stored(migration);
      if (all.length === 0) return;
      await at.snapshots.restore(migration.vm.uuid, all, signal);
      for (const { key } of (await snapshots.list(prefixOf(migration))).items)
        await snapshots.change(key, () => undefined);
      await texts.drop(ownerOf(migration));
    },
  };
}
