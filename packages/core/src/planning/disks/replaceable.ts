/** What is in the way of a copy and may be replaced by it: only what Ferry recorded and nobody has touched since. Pure. */
import type { VmUuid } from '../../model/ids.ts';
import type { VolumeFacts, VolumeRecord } from '../../model/storage.ts';
import { isUntouched } from '../ownership.ts';

/** A volume that holds no more than this was never written by a copy. */
const untouchedBytes = 1_048_576;

/** What is there was made for the copy that the record speaks of. */
export const isMadeBy = (
  record: Pick<VolumeRecord, 'made' | 'what'>,
  there: { readonly allocationBytes: number },
): boolean => record.made === true || there.allocationBytes <= (record.what === undefined ? untouchedBytes : 0);

/** Why a volume that is in the way must stay; undefined when Ferry's own record proves it stale. */
export function notReplaceable(
  vm: { readonly uuid: VmUuid },
  there: Pick<VolumeFacts, 'modified' | 'allocationBytes'>,
  record: VolumeRecord | undefined,
): string | undefined {
  if (record === undefined) return 'Ferry has no record of it';
  if (record.vm.uuid !== vm.uuid) return `it belongs to ${record.vm.name}`;
  if (record.role === 'target') return isMadeBy(record, there) ? undefined : 'it was not made by Ferry';
  if (!isUntouched(record, there)) return `it was changed after migration ${record.migration} left it`;
  return undefined;
}
