/**
 * An operator says which copy is the VM: what follows for every other one, or why nothing may be done. Definitions are
 * not undefined: all but one are parked. Pure.
 */
import type { ErrorCode } from '../model/errors.ts';
import type { HostId } from '../model/ids.ts';
import type { Vm } from '../model/vm.ts';
import { holdsMemory, isActive, isOff, isUnseen, type Placed } from './copies.ts';
import type { RepairStep } from './steps.ts';

export type Settlement =
  | { readonly steps: readonly RepairStep[] }
  | { readonly refusal: { readonly code: ErrorCode; readonly message: string } };

const refuse = (code: ErrorCode, message: string): Settlement => ({ refusal: { code, message } });

/** `keep`: the host whose copy is the VM, and what the operator called it. */
export function settlement(
  vm: Vm,
  keep: { readonly id: HostId; readonly called: string },
  known: {
    readonly isParked: (host: HostId) => boolean;
    readonly isSaved: (host: HostId) => boolean;
    readonly hostNameOf: (host: HostId) => string;
  },
): Settlement {
  const kept = vm.instances.find(({ hostId }) => hostId === keep.id);
  if (kept === undefined) return refuse('request-invalid', `${keep.called} has no copy of ${vm.name}.`);
  if (!isActive(kept) && (!isOff(kept) || vm.instances.some(isActive)))
    return refuse('request-invalid', `${keep.called} has no active copy of ${vm.name}.`);
  const unseen = vm.instances.find((each) => each !== kept && each.role === 'conflict' && isUnseen(each));
  if (unseen !== undefined)
    return refuse(
      'host-unreachable',
      `${known.hostNameOf(unseen.hostId)} does not answer, and had an active copy of ${vm.name} when it last did.`,
    );
  const others = vm.instances.filter((each) => each !== kept && isActive(each));
  const conflict = vm.instances.some(({ role }) => role === 'conflict');
  const stray = vm.instances.filter((each) => each !== kept && isOff(each) && !known.isParked(each.hostId));
  // the definition next to a transient guest is its home
  const parks = conflict || kept.instance.persistent ? stray : [];
  // one that was kept on purpose, and is to be the VM
  const unparks = isOff(kept) && vm.hostId === keep.id && known.isParked(keep.id);
  if (others.length === 0 && !conflict && !unparks && (parks.length === 0 || !isActive(kept)))
    return refuse('vm-not-in-conflict', `${vm.name} has one copy that counts, on ${known.hostNameOf(vm.hostId)}.`);
  const needed = others.find(holdsMemory);
  if (needed !== undefined)
    return refuse('copy-needed', `${vm.name} on ${known.hostNameOf(needed.hostId)} is the source of a post-copy.`);
  const saved = parks.find(({ hostId }) => known.isSaved(hostId));
  if (saved !== undefined)
    return refuse('copy-saved', `The memory of ${vm.name} is saved on ${known.hostNameOf(saved.hostId)}.`);
  return { steps: stepsOf(kept, others, parks) };
}

function stepsOf(kept: Placed, others: readonly Placed[], parks: readonly Placed[]): readonly RepairStep[] {
  // an ended copy leaves a definition, which autostart may start
  const left = kept.instance.persistent ? others.filter(({ instance }) => instance.persistent) : [];
  return [
    ...[...others, ...parks].map(({ hostId }) => ({
      type: 'prove-apart' as const,
      hosts: [kept.hostId, hostId] as const,
    })),
    ...others.map(({ hostId }) => ({ type: 'end' as const, host: hostId })),
    ...[...parks, ...left].map(({ hostId }) => ({ type: 'park' as const, host: hostId })),
    ...(isOff(kept) ? [{ type: 'unpark' as const, host: kept.hostId }] : []),
    // it may have been paused until this was settled
    ...(kept.instance.state === 'paused' ? [{ type: 'resume' as const, host: kept.hostId }] : []),
  ];
}
