/**
 * What a drain would do, planned on a recorded fleet: the same members, checks and group placement as where hosts can be
 * asked. Pure.
 */
import { asWished, memberOf } from '../../batch/step.ts';
import { inOrder } from '../../batch/lanes.ts';
import { wayOf } from '../../batch/ways.ts';
import { refuseDrain, refuseTooMany } from '../../batch/begin.ts';
import type { SeenVm } from '../../batch/protocol.ts';
import { resolveHost } from '../../fleet/vms.ts';
import type { BatchMember } from '../../model/batch.ts';
import type { TimeMs, VmUuid } from '../../model/ids.ts';
import type { MigrationRequest } from '../../model/request.ts';
import type { Vm } from '../../model/vm.ts';
import { beyond, groupOf, proposalFrom, type Checked } from '../group/from-checks.ts';
import { placeGroup } from '../group/place.ts';
import { chooseHosts, planMove } from './choose.ts';
import type { Fleet } from './fleet.ts';
import { knownFleet } from './known-fleet.ts';

/** Hosts that are looked for, for each VM: enough for the others to be elsewhere. Of many VMs each looks at fewer. */
const hostsForEach = (vms: number): number => Math.round(Math.min(64, Math.max(16, 16_000 / vms)));
/** The first hosts of the ranking that a group looks at, for each of its VMs. */
const hostsPerVm = 2;

export interface DrainOptions {
  /** Also the last hosts of a cluster. */
  readonly force?: boolean;
  /** Only to hosts where every guest keeps the memory that it was given. */
  readonly neverDegrade?: boolean;
}

/** `refs`: hosts to empty. Throws FerryError with what is wrong with the drain. */
export function planDrain(
  fleet: Fleet,
  refs: readonly string[],
  now: TimeMs,
  { force = false, neverDegrade = false }: DrainOptions = {},
): readonly BatchMember[] {
  const drained = refs.map((ref) => resolveHost(fleet.hosts, ref));
  refuseDrain({ hosts: drained, force }, fleet.hosts, now);
  const closed = new Set(drained.map(({ host }) => host.id));
  const known = knownFleet({
    ...fleet,
    hosts: fleet.hosts.map((view) =>
      closed.has(view.host.id) ? { ...view, host: { ...view.host, service: { state: 'draining', since: now } } } : view,
    ),
  });
  const vms = drained.flatMap(({ host }) => known.vmsOn(host.id));
  const members = vms
    .map((vm) => seenVm(vm, fleet, drained.find(({ host }) => host.id === vm.hostId)?.host.name ?? ''))
    .filter(({ isActive }) => isActive)
    .map((vm) => asWished(neverDegrade ? { neverDegrade } : {}, memberOf(vm)));
  refuseTooMany(members.length);
  const leaving = inOrder(members).filter(({ way }) => way === 'live' || way === 'suspend' || way === 'cold');
  const group = new Set(leaving.map(({ vm }) => vm.uuid));
  const most = hostsForEach(leaving.length);
  const of = Math.max(most, hostsPerVm * leaving.length);
  const checked = leaving.map(({ vm: { uuid }, way }, index): Checked => {
    const vm = asItMoves(known.vm(uuid), way);
    const rules = known.rulesOf(vm);
    const request: MigrationRequest = {
      ...(way === 'suspend' ? { kind: 'suspended' } : way === 'cold' ? { autoStart: true } : {}),
      ...(neverDegrade ? { neverDegrade } : {}),
    };
    const start = { at: Math.floor((index * Math.min(of, fleet.hosts.length)) / leaving.length), of };
    const others = beyond(rules, group);
    const result = chooseHosts(known, vm, request, { rules: others, most, start });
    return { vm, rules, result: result ?? planMove(known, vm, request, others) };
  });
  const hosts = fleet.hosts.map(({ host: { id, name } }) => ({ id, name }));
  const plan = placeGroup(groupOf(checked, hosts));
  const proposals = new Map<VmUuid, ReturnType<typeof proposalFrom>>(
    checked.map((each) => [each.vm.uuid, proposalFrom(each, plan, hosts)]),
  );
  return members.map((member) => ({ ...member, ...proposals.get(member.vm.uuid) }));
}

/** Moved cold, it is shut down first. */
const asItMoves = (vm: Vm, way: BatchMember['way']): Vm => (way === 'cold' ? { ...vm, state: 'shut-off' } : vm);

const seenVm = (vm: Vm, { labels }: Fleet, host: string): SeenVm => ({
  uuid: vm.uuid,
  name: vm.name,
  memoryBytes: vm.memoryBytes,
  host: { id: vm.hostId, name: host },
  isPersistent: vm.instances.some(({ hostId, instance }) => hostId === vm.hostId && instance.persistent),
  isActive: vm.state !== 'shut-off' && vm.state !== 'crashed',
  ...wayOf(labels.get(vm.uuid) ?? []),
});
