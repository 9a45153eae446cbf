/**
 * Hosts and guests of the simulated fleet, and the migrations between them over virtual time. It behaves as libvirt was
 * seen to: which state each side shows in which phase, when the call ends, what is left behind. No decision about a
 * migration is made here.
 */
import {
  vmUuid,
  type CallFailure,
  type CompletedJob,
  type DomainState,
  type StateReason,
  type VmUuid,
  type VolumeFacts,
} from '@ferry/core';
import type { Clock, HostChange, PerformRequest } from '@ferry/engine';
import { createWatchers, type Watchers } from './changes.ts';
import { capacityAt, fairShares, nextChange, windowMs, type Link } from './link.ts';
import type { GuestMemory } from './memory.ts';
import {
  abort,
  advance,
  beginTransfer,
  guestRuns,
  isOver,
  pauseGuest,
  wants,
  type Transfer,
  type TransferSettings,
} from './transfer.ts';

export interface SimulatedDisk {
  /** Device, e.g. `vda`. */
  readonly target: string;
  readonly path: string;
  readonly capacityBytes: number;
  /** What it holds. */
  readonly bytes: number;
  readonly writeBytesPerSecond: number;
}

/** A domain on one host. What changes while it lives is changed in place. */
export interface SimulatedDomain {
  readonly uuid: VmUuid;
  readonly name: string;
  readonly memory: GuestMemory;
  readonly deviceMs: number;
  readonly disks: readonly SimulatedDisk[];
  state: DomainState;
  reason: StateReason;
  persistent: boolean;
  autostart: boolean;
  /** An agent runs in the guest. */
  agent: boolean;
  /** For migrations that begin from now on. */
  limits: Pick<TransferSettings, 'downtimeMs' | 'bandwidthBytesPerSecond'>;
  completed?: CompletedJob;
}

export interface SimulatedHost {
  readonly name: string;
  readonly uri: string;
  readonly memoryBytes: number;
  readonly linkMbit?: number;
  /** Folders that every host with the same name of it sees; all others are its own. */
  readonly sharedFolders: readonly string[];
  readonly domains: Map<VmUuid, SimulatedDomain>;
  /** By path. */
  readonly volumes: Map<string, VolumeFacts>;
  readonly watchers: Watchers;
  /** Connections of the control plane; each closes when the host is cut off. */
  readonly connections: Set<(reason: Error) => void>;
  reachable: boolean;
}

/** A migration under way. */
export interface Job {
  readonly request: PerformRequest;
  readonly from: SimulatedHost;
  readonly to: SimulatedHost;
  readonly domain: SimulatedDomain;
  readonly incoming: SimulatedDomain;
  readonly link: Link;
  /** The guest ran when it began. */
  readonly ran: boolean;
  transfer: Transfer;
  /** Somebody paused the guest on its way. */
  suspended: boolean;
  /** Since when the link has carried nothing. */
  silentSinceMs?: number;
  broken: boolean;
  /** The call that performs it. */
  call: PromiseWithResolvers<CallFailure | undefined>;
}

export interface SimulatedWorld {
  readonly hosts: ReadonlyMap<string, SimulatedHost>;
  /** Virtual time since the fleet began, ms: that of the links. */
  nowMs(): number;
  byUri(uri: string): SimulatedHost | undefined;
  jobOf(host: SimulatedHost, uuid: VmUuid): Job | undefined;
  begin(request: PerformRequest, from: SimulatedHost, to: SimulatedHost): Job;
  /** The link of this migration is not down. */
  carries(job: Job): boolean;
  /** Takes up a broken post-copy. */
  again(job: Job): void;
  /** Brings everything up to now. */
  catchUp(): void;
  steer(job: Job, change: (transfer: Transfer) => Transfer): void;
  tell(host: SimulatedHost, uuid: VmUuid, type?: Exclude<HostChange['type'], 'gap'>): void;
}

/**
 * A link that is silent for this time breaks the stream, as libvirt's keepalive and QEMU's connection were seen to, ms.
 */
const silenceMs = 28_500;
const mib = 1_048_576;

export function createWorld(
  clock: Clock,
  hosts: ReadonlyMap<string, SimulatedHost>,
  linkOf: (from: string, to: string) => Link,
): SimulatedWorld {
  const startMs = clock.now();
  const jobs = new Set<Job>();
  let doneMs = 0;
  let driving = false;
  const nowMs = (): number => clock.now() - startMs;
  const tell: SimulatedWorld['tell'] = (host, uuid, type = 'domain') => host.watchers.tell({ type, uuid });

  const set = (job: Job, transfer: Transfer): void => {
    const before = job.transfer;
    job.transfer = transfer;
    show(job, before, tell);
    if (isOver(transfer) && !isOver(before)) {
      jobs.delete(job);
      job.call.resolve(
        transfer.phase === 'done'
          ? undefined
          : { outcome: 'refused', message: 'operation aborted: migration out job: canceled by client' },
      );
    }
  };

  const broke = (job: Job): void => {
    if (job.transfer.phase === 'post-copy') {
      if (job.broken) return;
      job.broken = true;
      Object.assign(job.domain, { reason: 'post-copy-failed' });
      Object.assign(job.incoming, { reason: 'post-copy-failed' });
      for (const host of [job.from, job.to]) tell(host, job.domain.uuid);
      job.call.resolve({ outcome: 'unknown', message: "job 'migration out' failed in post-copy phase" });
      return;
    }
    job.call.resolve({ outcome: 'unknown', message: 'internal error: client socket is closed' });
    set(job, abort(job.transfer));
  };

  /** One piece of time in which every link gives the same. */
  const pieceOf = (ms: number, atMs: number): void => {
    for (const link of new Set([...jobs].map((job) => job.link))) {
      const capacity = capacityAt(link, atMs);
      const users = [...jobs].filter((job) => job.link === link && !job.broken);
      const shares = fairShares(
        capacity,
        users.map(({ transfer }) => wants(transfer)),
      );
      for (const [index, job] of users.entries()) {
        set(job, advance(job.transfer, ms, shares[index] ?? 0, link.latencyMs));
        if (capacity > 0) delete job.silentSinceMs;
        else if (atMs + ms - (job.silentSinceMs ??= atMs) >= silenceMs && !isOver(job.transfer)) broke(job);
      }
    }
  };

  const catchUp = (): void => {
    const until = nowMs();
    while (doneMs < until) {
      const next = Math.min(until, ...[...jobs].map(({ link }) => nextChange(link, doneMs)));
      if (jobs.size > 0) pieceOf(next - doneMs, doneMs);
      doneMs = jobs.size > 0 ? next : until;
    }
  };

  const drive = async (): Promise<void> => {
    driving = true;
    while (jobs.size > 0) {
      await clock.sleep(windowMs);
      catchUp();
    }
    driving = false;
  };

  return {
    hosts,
    nowMs,
    catchUp,
    tell,
    byUri: (uri) => [...hosts.values()].find((host) => host.uri === uri),
    jobOf: (host, uuid) => [...jobs].find((job) => job.domain.uuid === uuid && (job.from === host || job.to === host)),
    begin(request, from, to) {
      catchUp();
      const domain = from.domains.get(request.uuid);
      if (domain === undefined) throw new Error(`no domain ${request.uuid}`);
      const ran = domain.state === 'running';
      const held = ran && !request.live;
      const disks = domain.disks.filter(({ target }) => request.copyDisks.includes(target));
      const cap =
        request.maxBandwidthMiBPerSecond === undefined
          ? domain.limits.bandwidthBytesPerSecond
          : request.maxBandwidthMiBPerSecond * mib;
      const inPostCopy =
        request.postCopyBandwidthMiBPerSecond === undefined
          ? {}
          : { postCopyBytesPerSecond: request.postCopyBandwidthMiBPerSecond * mib };
      const settings = {
        downtimeMs: domain.limits.downtimeMs,
        ...(cap === undefined ? {} : { bandwidthBytesPerSecond: cap }),
        ...inPostCopy,
        ...(request.transfer.throttle === undefined ? {} : { throttle: request.transfer.throttle }),
      };
      const memory = ran ? domain.memory : { ...domain.memory, sets: [] };
      const begun = beginTransfer({ memory, disks, deviceMs: domain.deviceMs }, settings);
      const transfer = held ? pauseGuest(begun) : begun;
      const incoming: SimulatedDomain = {
        ...domain,
        disks: arrivingDisks(request, domain),
        state: 'paused',
        reason: 'migration',
        persistent: to.domains.get(domain.uuid)?.persistent ?? false,
      };
      if (held) Object.assign(domain, { state: 'paused', reason: 'migration' });
      const job: Job = {
        request,
        from,
        to,
        domain,
        incoming,
        link: linkOf(from.name, to.name),
        ran,
        transfer,
        suspended: false,
        broken: false,
        call: Promise.withResolvers(),
      };
      to.domains.set(domain.uuid, incoming);
      jobs.add(job);
      tell(to, domain.uuid);
      if (!driving) void drive();
      return job;
    },
    carries: ({ link }) => capacityAt(link, nowMs()) > 0,
    again(job) {
      job.broken = false;
      delete job.silentSinceMs;
      job.call = Promise.withResolvers();
      Object.assign(job.domain, { reason: 'post-copy' });
      Object.assign(job.incoming, { reason: 'post-copy' });
    },
    steer(job, change) {
      catchUp();
      if (!isOver(job.transfer)) set(job, change(job.transfer));
    },
  };
}

/** The disks as the target's definition names them. */
const arrivingDisks = ({ definition }: PerformRequest, { disks }: SimulatedDomain): readonly SimulatedDisk[] =>
  definition === undefined ? disks : (JSON.parse(definition.live) as Pick<SimulatedDomain, 'disks'>).disks;

/** What both hosts show of the VM once the transfer has come to another phase. */
function show(job: Job, before: Transfer, tell: SimulatedWorld['tell']): void {
  const { transfer, domain, incoming, from, to, request } = job;
  const { uuid } = domain;
  const { phase } = transfer;
  const arrives = (reason: StateReason): void => {
    const runs = job.ran && !job.suspended && request.transfer.handover !== true;
    Object.assign(incoming, runs ? { state: 'running', reason } : { state: 'paused', reason: 'user' });
    if (runs) tell(to, uuid, 'migration-resumed');
  };
  if (phase === 'post-copy' && guestRuns(transfer) && !(before.phase === 'post-copy' && guestRuns(before)))
    arrives('post-copy');
  if (phase === before.phase) return;
  switch (phase) {
    case 'switching':
    case 'post-copy':
      // a guest that is paused already does not tell of it again
      if (domain.state === 'running') tell(from, uuid, 'migration-suspended');
      Object.assign(domain, { state: 'paused', reason: phase === 'switching' ? 'migration' : 'post-copy' });
      return;
    case 'aborted':
      if (incoming.persistent) Object.assign(incoming, { state: 'shut-off', reason: 'other' });
      else to.domains.delete(uuid);
      if (domain.reason === 'migration') Object.assign(domain, { state: 'running', reason: 'migration-canceled' });
      break;
    case 'done':
      incoming.completed = {
        downtimeMs: Math.round(transfer.downtimeMs),
        transferredBytes: Math.round(transfer.sentBytes),
      };
      incoming.persistent ||= request.persist;
      arrives('migrated');
      if (domain.persistent && !request.undefineSource)
        Object.assign(domain, { state: 'shut-off', reason: 'migrated' });
      else from.domains.delete(uuid);
      break;
    case 'disks':
    case 'pre-copy':
      return;
  }
  for (const host of [from, to]) tell(host, uuid);
}

export const createHost = (
  spec: Pick<SimulatedHost, 'name'> &
    Partial<Pick<SimulatedHost, 'uri' | 'memoryBytes' | 'linkMbit' | 'sharedFolders'>>,
): SimulatedHost => ({
  name: spec.name,
  uri: spec.uri ?? `qemu+tcp://${spec.name}/system`,
  memoryBytes: spec.memoryBytes ?? 64 * 1_024 * mib,
  ...(spec.linkMbit === undefined ? {} : { linkMbit: spec.linkMbit }),
  sharedFolders: spec.sharedFolders ?? [],
  domains: new Map(),
  volumes: new Map(),
  watchers: createWatchers(),
  connections: new Set(),
  reachable: true,
});

export interface GuestSpec {
  readonly uuid: string;
  readonly name: string;
  /** Name of its host. */
  readonly host: string;
  readonly memory: GuestMemory;
  readonly deviceMs?: number;
  readonly disks?: readonly SimulatedDisk[];
  readonly state?: 'running' | 'paused' | 'shut-off';
  readonly agent?: boolean;
}

export const createDomain = ({
  uuid,
  name,
  memory,
  deviceMs = 20,
  disks = [],
  state = 'running',
  agent = false,
}: GuestSpec): SimulatedDomain => ({
  uuid: vmUuid(uuid),
  name,
  memory,
  deviceMs,
  disks,
  state,
  reason: state === 'running' ? 'booted' : state === 'paused' ? 'user' : 'other',
  persistent: true,
  autostart: false,
  agent,
  limits: { downtimeMs: 300 },
});
