/**
 * What a target has of the VM already: a definition that would be replaced. Only one that is known to be kept by Ferry
 * may be; any other could be the newer one. Pure.
 */
import type { Host } from '../model/host.ts';
import type { HostId } from '../model/ids.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import type { MigrationRequest } from '../model/request.ts';
import type { Vm } from '../model/vm.ts';
import { namesOf } from './wait-reasons.ts';

export interface DefinitionThere {
  readonly vm: Vm;
  readonly request: Pick<MigrationRequest, 'temporary'>;
  /** Hosts that keep a definition of the VM because Ferry, or the operator by settling it, said so. */
  readonly parkedOn?: ReadonlySet<HostId>;
}

export const isDefinedOn = ({ instances }: Pick<Vm, 'instances'>, host: HostId): boolean =>
  instances.some(({ hostId, instance }) => hostId === host && instance.persistent);

export function definitionThereReasons(
  { vm, request, parkedOn }: DefinitionThere,
  host: Pick<Host, 'id' | 'name'>,
): readonly Reason[] {
  const there = vm.instances.find(({ hostId, role }) => hostId === host.id && role !== 'authoritative');
  if (there === undefined || !['shut-off', 'crashed'].includes(there.instance.state)) return [];
  const reasons: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, host: host.name, message, remedy });
  const { name } = there.instance;
  if (request.temporary === true) {
    refuse(
      'target-has-definition',
      `${host.name} keeps a definition of ${vm.name}, so a guest that arrives there would not be temporary.`,
      'Undefine it there, or omit --temporary.',
    );
  }
  if (name !== vm.name) {
    refuse(
      'target-name-differs',
      `${host.name} has ${vm.name} under the name ${name}, and libvirt takes one UUID under one name only.`,
      `On ${host.name}: virsh domrename ${name} ${vm.name}`,
    );
  }
  // a definition next to a transient guest is its home, and is not replaced when the guest returns
  const persistent = vm.instances.find(({ role }) => role === 'authoritative')?.instance.persistent !== false;
  if (persistent && parkedOn?.has(host.id) !== true) {
    refuse(
      'target-definition-unknown',
      `${host.name} has a definition of ${vm.name} that Ferry did not leave there, and the move would replace it.`,
      `Compare the two with "ferry vm settle ${vm.name}". If the one on ${host.name} may be replaced: ` +
        `ferry vm settle ${vm.name} --keep HOST, where HOST has the right one.`,
    );
  }
  return reasons;
}

/**
 * More than one copy that may run, one on a host that does not answer included, or two definitions that are shut off,
 * and no proof of which one is the VM. `nameOf`: of a host.
 */
export function conflictReasons(vm: Vm, nameOf: (id: HostId) => string): readonly Reason[] {
  const conflicts = vm.instances.filter(({ role }) => role === 'conflict');
  if (conflicts.length === 0) return [];
  const remedy =
    `See what is known of each with "ferry vm settle ${vm.name}", then choose the one to keep: ferry vm ` +
    `settle ${vm.name} --keep HOST`;
  const copies = vm.instances.filter(({ role }) => role === 'conflict' || role === 'authoritative');
  const places = copies
    .map(({ hostId, instance }) => `${nameOf(hostId)}${instance.name === vm.name ? '' : ` (as ${instance.name})`}`)
    .join(' and ');
  const silent = conflicts.filter(({ instance: { state } }) => state === 'unknown').map(({ hostId }) => nameOf(hostId));
  if (silent.length > 0)
    return [
      {
        code: 'vm-two-copies',
        message:
          `${vm.name} was active on ${namesOf(silent)} too when Ferry last saw ${silent.length > 1 ? 'them' : 'it'}, ` +
          `and nothing answers there; Ferry cannot tell which copy is right.`,
        remedy:
          `Wait until ${namesOf(silent)} answers, then: ferry vm settle ${vm.name}. If it is gone for good, remove it: ` +
          `ferry host remove ${silent[0] ?? ''}`,
      },
    ];
  return copies.every(({ instance: { state } }) => state === 'shut-off' || state === 'crashed')
    ? [
        {
          code: 'vm-two-definitions',
          message: `${vm.name} is defined on ${places}, shut off on each; Ferry cannot tell which definition is the VM.`,
          remedy,
        },
      ]
    : [
        {
          code: 'vm-two-copies',
          message: `${vm.name} has more than one active copy, on ${places}; Ferry cannot tell which one is right.`,
          remedy,
        },
      ];
}
