/**
 * How a VM moves: by the state it is in, unless the operator asks for another way that this state allows. Pure.
 */
import type { Reason } from '../model/reasons.ts';
import type { MigrationKind, MigrationRequest } from '../model/request.ts';
import type { DomainState } from '../model/vm.ts';

/**
 * Running VMs move live (or suspended: paused, moved, resumed), paused ones suspended, VMs that are shut off cold, or
 * only their definition. `saved`: libvirt holds the memory of this shut-off VM in a file.
 */
export function chooseKind(
  vm: { readonly name: string; readonly state: DomainState; readonly saved: boolean },
  asked: MigrationRequest['kind'],
): { readonly kind: MigrationKind } | { readonly reason: Reason } {
  const allowed = kindsOf(vm.state, vm.saved);
  const [first] = allowed;
  if (first === undefined)
    return {
      reason: {
        code: 'vm-state',
        message: `${vm.name} is ${vm.state}, and a VM in that state cannot be moved.`,
        remedy: 'Start it or shut it down first.',
      },
    };
  if (asked === undefined || asked === first) return { kind: first };
  if (allowed.includes(asked)) return { kind: asked };
  const state = vm.saved ? 'saved' : vm.state;
  return {
    reason: {
      code: 'kind-unfit',
      message: `${vm.name} is ${state}; a VM in that state can move ${allowed.join(' or ')}, not ${asked}.`,
      remedy: `Omit --kind${wayOut(vm.state, vm.saved, asked)}.`,
    },
  };
}

function wayOut(state: DomainState, saved: boolean, asked: MigrationKind): string {
  if (asked === 'live') return state === 'paused' ? ', or resume it first' : ', or start the VM first';
  return saved || state === 'shut-off' || state === 'crashed' || asked === 'suspended'
    ? ''
    : ', or shut the VM down first';
}

function kindsOf(state: DomainState, saved: boolean): readonly MigrationKind[] {
  switch (state) {
    case 'running':
    case 'blocked':
      return ['live', 'suspended'];
    case 'paused':
      return ['suspended'];
    case 'shut-off':
    case 'crashed':
      return saved ? ['suspended'] : ['cold', 'configuration'];
    case 'shutting-down':
    case 'pm-suspended':
    case 'no-state':
    case 'unknown':
      return [];
  }
}
