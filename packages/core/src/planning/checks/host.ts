/** Rules that may forbid one host: every reason against it, not the first one. Pure. */
import { definitionThereReasons } from '../definition-there.ts';
import { machineReasons } from '../machine-type.ts';
import { notConnectedReason } from '../../fleet/machine.ts';
import { defaultCluster, type Host, type HostView } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import type { Vm } from '../../model/vm.ts';
import { cordonedReason } from './cordoned.ts';
import { type CheckInput, hostNameIn, memoryNeeded, needsIn, sourceOf, wantedCluster } from '../check-input.ts';
import { ruleReasons } from '../rules/judge.ts';
import { promisedReason } from '../wait-reasons.ts';

type Rule = (input: CheckInput, candidate: HostView) => Reason | undefined;

const rules: readonly Rule[] = [
  ({ vm }, { host }) =>
    host.id === vm.hostId
      ? {
          code: 'target-is-source',
          host: host.name,
          message: `${vm.name} is already on ${host.name}.`,
          remedy: 'Name another host.',
        }
      : undefined,
  (input, { host }) => triedReason(input, host),
  (_, view) =>
    view.state === 'connected'
      ? undefined
      : notConnectedReason(view, 'target-unreachable', 'Restore the connection, or choose another host.'),
  (_, view) => cordonedReason(view),
  ({ silent }, { host }) => silent?.get(host.id),
  (input, { host }) =>
    host.cluster === wantedCluster(input)
      ? undefined
      : {
          code: 'target-other-cluster',
          host: host.name,
          message:
            `${host.name} belongs to the cluster ${host.cluster}, ${input.vm.name} is in ` +
            `${sourceOf(input)?.host.cluster ?? defaultCluster}.`,
          remedy: `Add --to-cluster ${host.cluster} to move it there.`,
        },
  ({ vm, hosts }, { host, facts }) => {
    const source = hosts.find((each) => each.host.id === vm.hostId)?.facts;
    if (facts === undefined || source === undefined || facts.cpu.arch === source.cpu.arch) return undefined;
    return {
      code: 'target-arch',
      host: host.name,
      message: `${host.name} is ${facts.cpu.arch}, the source is ${source.cpu.arch}.`,
      remedy: 'Choose a host of the same architecture.',
    };
  },
  (input, { host, state, freeMemoryBytes }) => {
    const { vm } = input;
    return state !== 'connected' ||
      memoryNeeded(input) === 0 ||
      freeMemoryBytes === undefined ||
      freeMemoryBytes >= vm.memoryBytes
      ? undefined
      : {
          code: 'target-memory',
          host: host.name,
          message: `${host.name} has ${mib(freeMemoryBytes)} MiB free, ${vm.name} needs ${mib(vm.memoryBytes)} MiB.`,
          remedy: 'Free memory there, or choose another host.',
        };
  },
  (input, { host }) => nameTaken(input, host),
];

/** Where an earlier attempt failed: a host is tried again only when it was named. */
export function triedReason(
  { tried, request }: Pick<CheckInput, 'tried' | 'request'>,
  { id, name }: Pick<Host, 'id' | 'name'>,
): Reason | undefined {
  const why = tried?.get(id);
  return why === undefined || request.to !== undefined
    ? undefined
    : {
        code: 'target-tried',
        host: name,
        message: `An attempt to move to ${name} has failed already: ${why}`,
        remedy: 'Correct that, or choose another host.',
      };
}

/** libvirt has each name once; the VM that has it there loses nothing to one that comes. */
export function nameTaken({ vm, domainsOn }: Pick<CheckInput, 'vm' | 'domainsOn'>, host: Host): Reason | undefined {
  const other = domainsOn?.(host.id).find(({ uuid, name }) => name === vm.name && uuid !== vm.uuid);
  if (other === undefined) return undefined;
  return {
    code: 'target-name-taken',
    host: host.name,
    message: `${host.name} has another VM named ${vm.name} (${other.uuid}); this one is ${vm.uuid}.`,
    remedy: `Rename one of them while it is shut off (virsh domrename ${vm.name} NEW-NAME), or choose another host.`,
  };
}

export const reasonsFor = (input: CheckInput, candidate: HostView): readonly Reason[] => [
  ...rules.flatMap((rule) => rule(input, candidate) ?? []),
  ...machineReasons(input.vm.name, needsIn(input).machines, sourceOf(input), candidate),
  ...definitionThereReasons(input, candidate.host),
  ...ruleReasons(input.vm, input.rules ?? [], candidate.host, hostNameIn(input)),
];

/** There is memory, and other migrations will take it. */
export function memoryWaits(
  vm: Pick<Vm, 'name' | 'memoryBytes'>,
  { host, freeMemoryBytes }: HostView,
  needed: number,
  promised: number,
): readonly Reason[] {
  if (
    needed === 0 ||
    promised === 0 ||
    freeMemoryBytes === undefined ||
    freeMemoryBytes < needed ||
    freeMemoryBytes - promised >= needed
  )
    return [];
  return [promisedReason(host.name, vm.name, { freeMemoryBytes, promised, needed })];
}

const mib = (bytes: number): number => Math.floor(bytes / 1_048_576);
