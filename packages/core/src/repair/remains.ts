/**
 * What interrupted migrations have left of a VM, and what cleanup does with each: a half next to a running copy is
 * ended, a half alone runs again, and an unclear one is left alone. Pure.
 */
import type { HostId } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { VolumeRecord } from '../model/storage.ts';
import type { Vm } from '../model/vm.ts';
import { holdsMemory, isActive, isLostHalf, type Placed } from './copies.ts';
import type { RepairStep } from './steps.ts';

export interface Remain {
  readonly kind: 'half' | 'volume';
  readonly host: string;
  readonly what: string;
  /** What cleaning up does with it, or why it does not. */
  readonly remedy: string;
  readonly settles: boolean;
}

export type RemainWithSteps = Remain & { readonly steps: readonly RepairStep[] };

export interface RemainsEvidence {
  /** The migration that ended last. */
  readonly last: Migration | undefined;
  readonly leftovers: readonly VolumeRecord[];
  /** The host is connected. */
  readonly answers: (host: HostId) => boolean;
  readonly hostNameOf: (host: HostId) => string;
}

export function remainsOf(vm: Vm, evidence: RemainsEvidence): readonly RemainWithSteps[] {
  const halves = vm.instances.flatMap((each): readonly RemainWithSteps[] => {
    const fate = fateOf(vm, each, evidence);
    if (fate === undefined) return [];
    const what = `a half of a migration, ${each.instance.state} (${each.instance.reason})`;
    const { remedy, steps = [] } = fate;
    return [{ kind: 'half', host: evidence.hostNameOf(each.hostId), what, remedy, settles: steps.length > 0, steps }];
  });
  const volumes = evidence.leftovers
    .filter(({ vm: { uuid }, role }) => uuid === vm.uuid && role === 'target')
    .map((record): RemainWithSteps => ({
      kind: 'volume',
      host: record.hostName,
      what: `an unfinished copy, ${record.path}, of migration ${record.migration}`,
      remedy: 'Deleted.',
      settles: true,
      steps: [{ type: 'delete-volume', record }],
    }));
  return [...halves, ...volumes];
}

/** Undefined: it is no half of anything. */
function fateOf(
  vm: Vm,
  each: Placed,
  { last, answers, hostNameOf }: RemainsEvidence,
): { readonly remedy: string; readonly steps?: readonly RepairStep[] } | undefined {
  if (holdsMemory(each)) return { remedy: 'Left alone: it holds memory that no other copy has.' };
  if (!isLostHalf(each)) return undefined;
  const other = vm.instances.find(
    (beside) => beside !== each && isActive(beside) && !isLostHalf(beside) && !holdsMemory(beside),
  );
  if (other !== undefined)
    return {
      remedy: `Ended: ${vm.name} is ${other.instance.state} on ${hostNameOf(other.hostId)}.`,
      steps: [
        { type: 'prove-apart', hosts: [each.hostId, other.hostId] },
        { type: 'end', host: each.hostId },
      ],
    };
  const silent = placesOf(last).filter(({ id }) => !answers(id));
  if (silent.length > 0)
    return { remedy: `Left alone: ${silent.map(({ name }) => name).join(', ')} does not answer, and may run the VM.` };
  const alone =
    vm.instances.filter(isActive).length === 1 && vm.instances.every(({ instance }) => instance.state !== 'unknown');
  return alone
    ? { remedy: 'Let run again: no other host has an active copy.', steps: [{ type: 'resume', host: each.hostId }] }
    : { remedy: 'Left alone: Ferry cannot tell which copy is right. Settle it with "ferry vm settle".' };
}

const placesOf = (last: Migration | undefined): readonly Migration['from'][] =>
  last === undefined ? [] : [last.from, ...(last.to === undefined ? [] : [last.to])];
