/** How drains and restores begin: what is refused, who the members are, and what becomes of the hosts. Pure. */
import { serviceStateOf } from '../fleet/service.ts';
import type { Batch, BatchMember } from '../model/batch.ts';
import { FerryError } from '../model/errors.ts';
import type { Host, HostRef, HostView } from '../model/host.ts';
import type { BatchId, HostId, TimeMs } from '../model/ids.ts';
import { notConnected } from '../fleet/machine.ts';
import type { SeenVm } from './protocol.ts';
import { hasEnded, mostMembers } from './step.ts';

export interface DrainWish {
  readonly hosts: readonly HostView[];
  /** Absent: now. */
  readonly beginsAt?: TimeMs | undefined;
  readonly deadlineAt?: TimeMs | undefined;
  /** Also the last host of a cluster that takes VMs. */
  readonly force: boolean;
}

/** In one transaction: the states of its hosts, and for each of their clusters the guard of a host that remains. */
const mostStored = 60;

const timeText = (at: TimeMs): string => new Date(at).toISOString();

/** Throws FerryError with what is wrong: nothing has begun. Of one that begins later, its hosts are looked at then. */
export function refuseDrain(
  { hosts, beginsAt, deadlineAt, force }: DrainWish,
  fleet: readonly HostView[],
  now: TimeMs,
): void {
  const twice = hosts.find(({ host }, index) => hosts.findIndex((each) => each.host.id === host.id) !== index);
  if (twice !== undefined) throw new FerryError('drain-refused', `The host ${twice.host.name} is named twice.`);
  const most = mostStored - new Set(hosts.map(({ host }) => host.cluster)).size;
  if (hosts.length > most)
    throw new FerryError(
      'drain-refused',
      `${hosts.length} hosts are named, and one drain takes ${most} of them at most: drain the others by another one.`,
    );
  if (beginsAt !== undefined && beginsAt <= now)
    throw new FerryError('drain-refused', `The time ${timeText(beginsAt)} has passed: name a later one, or none.`);
  if (deadlineAt !== undefined && deadlineAt <= now)
    throw new FerryError(
      'drain-refused',
      `The deadline ${timeText(deadlineAt)} has passed: name a later one, or none.`,
    );
  if (deadlineAt !== undefined && beginsAt !== undefined && deadlineAt <= beginsAt)
    throw new FerryError(
      'drain-refused',
      `The deadline ${timeText(deadlineAt)} is not after ${timeText(beginsAt)}, when the drain begins.`,
    );
  if (beginsAt === undefined) refuseUnready(hosts);
  if (!force) refuseLast(hosts, fleet);
}

function refuseUnready(hosts: readonly HostView[]): void {
  for (const view of hosts) {
    const { host, state } = view;
    if (host.service?.state === 'draining') throw drainingAlready(host);
    if (state !== 'connected')
      throw new FerryError('host-unreachable', `${notConnected(view)} Nothing can be moved off it by a drain.`);
  }
}

/** Throws FerryError `drain-refused`. */
export function refuseTooMany(members: number): void {
  if (members > mostMembers)
    throw new FerryError(
      'drain-refused',
      `${members} VMs would leave, and one drain takes ${mostMembers} at most: drain fewer hosts at a time.`,
    );
}

const drainingAlready = (host: Host): FerryError =>
  new FerryError('host-draining', `${host.name} is being drained already, by ${host.service?.drain?.id ?? 'a drain'}.`);

function refuseLast(hosts: readonly HostView[], fleet: readonly HostView[]): void {
  for (const { cluster, hosts: rest } of remaining(
    hosts.map(({ host }) => host),
    fleet,
  ))
    if (rest.length === 0)
      throw lastHosts(
        cluster,
        hosts.map(({ host }) => host),
      );
}

/** For each cluster that loses hosts, those that still take VMs. */
export const remaining = (
  drained: readonly Pick<Host, 'id' | 'cluster'>[],
  fleet: readonly HostView[],
): readonly { readonly cluster: string; readonly hosts: readonly Host[] }[] =>
  [...new Set(drained.map(({ cluster }) => cluster))].map((cluster) => ({
    cluster,
    hosts: fleet
      .filter(({ host, state }) => state === 'connected' && stillTakes(host, cluster, drained))
      .map(({ host }) => host),
  }));

const stillTakes = (host: Host, cluster: string, drained: readonly Pick<Host, 'id'>[]): boolean =>
  host.cluster === cluster && serviceStateOf(host) === 'schedulable' && !drained.some(({ id }) => id === host.id);

export const lastHosts = (cluster: string, hosts: readonly Pick<Host, 'name' | 'cluster'>[]): FerryError => {
  const names = hosts.filter((host) => host.cluster === cluster).map(({ name }) => name);
  return new FerryError(
    'drain-last-host',
    `The cluster ${cluster} has no host for the VMs of ${names.join(', ')}: with --force, the VMs that need one ` +
      'stay where they are, and no VM can be placed in the cluster.',
  );
};

/** What the host is once the batch is stored in this phase; `before`: as it was stored. Throws FerryError `host-draining`. */
export function hostAfter(batch: Batch, host: Host, now: TimeMs, before?: Batch): Host {
  const { service, ...schedulable } = host;
  if (batch.kind === 'restore') {
    // it opens its host once: what its operator does to it afterwards stands
    if (before !== undefined && !hasEnded(before)) return host;
    if (service?.state === 'draining') throw drainingAlready(host);
    return service === undefined || batch.phase !== 'running' ? host : schedulable;
  }
  const isOwn = service?.drain?.id === batch.id;
  const drain = {
    id: batch.id,
    before: isOwn ? service.drain.before : service === undefined ? ('schedulable' as const) : ('cordoned' as const),
  };
  switch (batch.phase) {
    case 'running':
      if (service?.state === 'draining' && !isOwn) throw drainingAlready(host);
      return isOwn && service.state === 'draining'
        ? host
        : { ...host, service: { state: 'draining', since: now, drain } };
    case 'scheduled':
    case 'cancelling':
      return host;
    case 'done':
      return isOwn ? { ...host, service: { state: 'maintenance', since: now, drain } } : host;
    case 'incomplete':
      return isOwn ? { ...host, service: { state: 'cordoned', since: now, drain } } : host;
    case 'cancelled':
      if (!isOwn) return host;
      return drain.before === 'schedulable' ? schedulable : { ...host, service: { state: 'cordoned', since: now } };
  }
}

/** One member for each VM that left `host` by the drain and is still where it was put; others are listed and left. */
export function restoreMembers(drain: Batch, host: HostRef, vms: readonly SeenVm[]): readonly BatchMember[] {
  const seen = new Map(vms.map((vm) => [vm.uuid, vm]));
  return drain.members
    .filter(({ from, state }) => from.id === host.id && (state === 'moved' || state === 'stopped'))
    .map((member): BatchMember => {
      const { vm, state, to } = member;
      const now = seen.get(vm.uuid);
      const base = { vm, memoryBytes: member.memoryBytes, tries: 0 };
      const stays = (note: string): BatchMember => ({
        ...base,
        from: now?.host ?? host,
        way: 'live',
        state: 'stays',
        note,
      });
      if (now === undefined) return stays('No host has it any more.');
      if (state === 'stopped')
        return now.host.id !== host.id
          ? stays(`It is on ${now.host.name} now; somebody else moved it.`)
          : { ...base, from: host, way: 'start', state: 'waiting' };
      if (now.host.id === host.id) return stays(`It is on ${host.name} already.`);
      if (now.host.id !== to?.id)
        return stays(`It is on ${now.host.name}, not on ${to?.name ?? 'its target'}; somebody else moved it.`);
      return { ...base, from: now.host, to: host, way: member.way, state: 'waiting' };
    });
}

/** As in `drain-kvm2-9c485`. */
export const batchName = (kind: Batch['kind'], hosts: readonly HostRef[], id: BatchId): string =>
  `${kind}-${hosts[0]?.name ?? ''}${hosts.length > 1 ? `+${hosts.length - 1}` : ''}-${id.slice(-5)}`;

/** The last drain that VMs left this host by. */
export const drainToRestore = (batches: readonly Batch[], id: HostId): Batch | undefined =>
  batches
    .filter(
      ({ kind, phase, members }) =>
        kind === 'drain' &&
        hasEnded({ phase }) &&
        members.some(({ from, state }) => from.id === id && (state === 'moved' || state === 'stopped')),
    )
    .toSorted((a, b) => (a.id < b.id ? 1 : -1))[0];
