/**
 * What becomes of a file that a move made, copied away, or finds in its way: it is deleted only where Ferry's own record
 * and every definition of its host say that nobody else can need it. Pure. Which files a host uses is a long list, so a
 * fate that depends on it says so first.
 */
import type { MigrationId, VmUuid } from '../model/ids.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { StatePlace, VolumeFacts, VolumeRecord } from '../model/storage.ts';
import { isMadeBy, notReplaceable } from '../planning/disks/replaceable.ts';
import { heldBy, isOwnState, isUntouched, otherUsers, type HostUses } from '../planning/ownership.ts';

interface Owner {
  readonly uuid: VmUuid;
  readonly name: string;
}
/** What a look at the file's place found. */
type There = Pick<VolumeFacts, 'modified' | 'allocationBytes'>;
type Needs = { readonly needs: 'uses' };

/** It was made for a copy of this migration that is not finished. */
export const isUnfinishedOf = (
  migration: { readonly id: MigrationId },
  record: VolumeRecord | undefined,
): record is VolumeRecord => record?.migration === migration.id && record.role === 'target';

/** What was made for a copy, once the move is taken back. `stays`: it is a leftover from then on. */
export function unfinishedFate(
  record: VolumeRecord,
  there: There | undefined,
  uses: HostUses | undefined,
): { readonly do: 'delete' | 'forget' } | { readonly do: 'stays'; readonly because: string } | Needs {
  if (there === undefined || !isMadeBy(record, there)) return { do: 'forget' };
  if (uses === undefined) return { needs: 'uses' };
  const users = otherUsers(uses, record.path, record.vm.uuid);
  return users.length > 0 ? { do: 'stays', because: `it is ${users.join(', ')}` } : { do: 'delete' };
}

/** The copied disk has arrived; a file that was copied as it is shows the size that the guest sees again. */
export const hasArrived = (
  { asFile, capacityBytes = 0 }: Pick<DiskPlan, 'asFile' | 'capacityBytes'>,
  arrived: Pick<VolumeFacts, 'capacityBytes'> | undefined,
): boolean => arrived !== undefined && (asFile === true || arrived.capacityBytes >= capacityBytes);

/** The source's disk after the move. `unseen`: the host does not show what is there. `gone`: an earlier try did it. */
export function sourceDiskFate(
  disk: { readonly path: string; readonly vm: Owner; readonly arrived: boolean; readonly deleteAsked: boolean },
  there: VolumeFacts | 'unseen' | undefined,
  uses: HostUses | undefined,
): { readonly do: 'delete' | 'gone' } | { readonly do: 'stays'; readonly because?: string } | Needs {
  if (!disk.arrived || !disk.deleteAsked || there === 'unseen') return { do: 'stays' };
  if (there === undefined) return { do: 'gone' };
  if (uses === undefined) return { needs: 'uses' };
  const held = heldBy(uses, disk.path, disk.vm.uuid);
  return held === undefined ? { do: 'delete' } : { do: 'stays', because: `it is ${held}` };
}

/** A leftover that an operator names; `except`: a VM that may name it, since its definition there is not the VM. */
export function leftoverFate(
  record: VolumeRecord,
  there: There | undefined,
  uses: HostUses | undefined,
  except: VmUuid | undefined,
): { readonly do: 'delete' | 'forget' } | { readonly do: 'stays'; readonly because: string } | Needs {
  if (there === undefined) return { do: 'forget' };
  if (record.role === 'source' && !isUntouched(record, there))
    return { do: 'stays', because: `was changed after migration ${record.migration} left it` };
  if (record.role === 'target' && !isMadeBy(record, there))
    return { do: 'stays', because: `was not made by migration ${record.migration}` };
  if (uses === undefined) return { needs: 'uses' };
  const held = heldBy(uses, record.path, except);
  return held === undefined ? { do: 'delete' } : { do: 'stays', because: `is ${held}` };
}

/** What is at the place of a planned volume, which may have changed since the plan was made. */
export function volumePlaceFate(
  { existing, replaces }: Pick<NonNullable<DiskPlan['volume']>, 'existing' | 'replaces'>,
  at: { readonly place: string; readonly vm: Owner; readonly uses: HostUses },
  seen?: { readonly there: There | undefined; readonly record: VolumeRecord | undefined },
):
  | { readonly do: 'use' | 'delete' }
  | { readonly do: 'refuse'; readonly because: string }
  | { readonly needs: 'look' } {
  const users = otherUsers(at.uses, at.place, at.vm.uuid);
  const held =
    existing || replaces ? heldBy(at.uses, at.place, at.vm.uuid) : users.length > 0 ? users.join(', ') : undefined;
  if (held !== undefined) return { do: 'refuse', because: `it is ${held}` };
  if (!replaces) return { do: 'use' };
  if (seen === undefined) return { needs: 'look' };
  if (seen.there === undefined) return { do: 'use' };
  const why = notReplaceable(at.vm, seen.there, seen.record);
  return why === undefined ? { do: 'delete' } : { do: 'refuse', because: why };
}

/** What is at the place of a file that goes along. `mine`: this migration made it before. */
export function filePlaceFate(
  { place, replaces }: { readonly place: string; readonly replaces: 'media' | StatePlace['what'] | undefined },
  migration: { readonly id: MigrationId; readonly vm: Owner },
  uses: HostUses,
  { there, record }: { readonly there: There | undefined; readonly record: VolumeRecord | undefined },
): { readonly do: 'use' | 'mine' | 'delete' } | { readonly do: 'refuse'; readonly because: string } {
  const refuse = (because: string) => ({ do: 'refuse' as const, because });
  const users = otherUsers(uses, place, migration.vm.uuid);
  if (users.length > 0) return refuse(`it is ${users.join(', ')}`);
  if (isUnfinishedOf(migration, record) && (there === undefined || isMadeBy(record, there))) return { do: 'mine' };
  if (there === undefined) return { do: 'use' };
  if (replaces === undefined) return refuse('it was made since the move was planned');
  const held = heldBy(uses, place, migration.vm.uuid);
  if (held !== undefined) return refuse(`it is ${held}`);
  const isOwn =
    replaces === 'media'
      ? notReplaceable(migration.vm, there, record) === undefined
      : isOwnState(
          migration.vm,
          { path: place, what: replaces },
          { ...there, ...(record === undefined ? {} : { record }) },
          uses,
        );
  return isOwn ? { do: 'delete' } : refuse('it was changed since the move was planned');
}
