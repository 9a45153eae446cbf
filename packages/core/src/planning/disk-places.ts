/** Where the disks of a VM are on a target, and what its definition has to say of them there. Pure. */
import type { HostId } from '../model/ids.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { DiskFacts } from '../model/storage.ts';
import { type CheckInput, type VmFacts } from './check-input.ts';
import { type DiskEdits, placeOf, type Places } from './definition.ts';
import type { TargetStorage } from './disks/question.ts';

/** The operator's own definition says itself where its disks are. */
export function storageOn({ storage, ownXml, facts }: CheckInput, id: HostId): TargetStorage {
  const surveyed = storage?.get(id) ?? emptyStorage;
  return ownXml === undefined || 'problem' in ownXml
    ? surveyed
    : { ...surveyed, places: ownPlaces(ownXml.disks, facts) };
}

/** Where the operator's own definition has the disks of the VM. */
export const ownPlaces = (disks: Readonly<Record<string, string>>, facts: Pick<VmFacts, 'disks'> | undefined): Places =>
  (facts?.disks ?? []).flatMap(({ target, source, pool }): Places => {
    const own = disks[target];
    if (source === undefined || own === undefined) return [];
    // named by its pool, as before
    return pool !== undefined && own === `${pool}/${source.slice(source.lastIndexOf('/') + 1)}` ? [] : [[source, own]];
  });

/** What of the disks is other in a definition on the target. */
export const editsOf = (facts: readonly DiskFacts[], disks: readonly DiskPlan[], places: Places): DiskEdits => ({
  disks: Object.fromEntries(movedDisks(facts, disks, places)),
  chains: Object.fromEntries(disks.flatMap(({ target, chain }) => (chain === undefined ? [] : [[target, chain]]))),
  volumePools: Object.fromEntries(
    disks.flatMap(({ target, namedPool }) => (namedPool === undefined ? [] : [[target, namedPool]])),
  ),
});

/** Disks whose source is another one on the target, or none. */
function movedDisks(
  facts: readonly DiskFacts[],
  disks: readonly DiskPlan[],
  places: Places,
): readonly (readonly [string, string | null])[] {
  return facts.flatMap(({ target, source, written = source }): readonly (readonly [string, string | null])[] => {
    if (source === undefined || !source.startsWith('/')) return [];
    if (disks.find((disk) => disk.target === target)?.how === 'eject') return [[target, null]];
    const place = placeOf(source, places);
    return place === written ? [] : [[target, place]];
  });
}

const emptyStorage: TargetStorage = { pools: [], sharing: new Map(), volumes: new Map(), records: new Map() };
