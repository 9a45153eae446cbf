/** Copies of one VM, for the tests of this folder. */
import { hostId, vmUuid } from '../model/ids.ts';
import type { DomainState, InstanceRole, StateReason, Vm } from '../model/vm.ts';

export const uuid = vmUuid('a');

export const copyOn = (
  host: string,
  state: DomainState,
  reason: StateReason,
  role: InstanceRole = 'authoritative',
  more: Partial<Vm['instances'][number]['instance']> = {},
): Vm['instances'][number] => ({
  hostId: hostId(host),
  role,
  instance: { uuid, name: 'web', state, reason, persistent: true, memoryBytes: 1, vcpus: 1, disks: [], ...more },
});

export const vmWith = (...instances: Vm['instances']): Vm => ({
  uuid,
  name: 'web',
  hostId: instances[0]?.hostId ?? hostId('h1'),
  state: instances[0]?.instance.state ?? 'running',
  memoryBytes: 1,
  vcpus: 1,
  disks: [],
  instances,
});
