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
import type { Clock, HostChange, PerformRequest, SnapshotMetadata } from '@ferry/engine';
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
  /** What libvirt on this host knows of them; the images are the disks' own. */
  snapshots: readonly SnapshotMetadata[];
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
  /** The control plane gets to it. */
  reachable: boolean;
  /** The machine has power; its libvirt daemon runs. */
  powered: boolean;
  daemon: boolean;
  /** Its own storage takes nothing more. */
  full: boolean;
}

export const isAnswering = ({ reachable, powered, daemon }: SimulatedHost): boolean => reachable && powered && daemon;

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
  interrupted: boolean;
  /** Driven by its two sides, call by call: the guest runs where it is told to. */
  readonly direct: boolean;
  /** The target runs, and the source has not heard of it; since when. */
  unconfirmedSinceMs?: number;
  /** The call that performs it. */
  call: PromiseWithResolvers<CallFailure | undefined>;
}

export interface SimulatedWorld {
  readonly hosts: ReadonlyMap<string, SimulatedHost>;
  /** Virtual time since the fleet began, ms: that of the links. */
  nowMs(): number;
  byUri(uri: string): SimulatedHost | undefined;
  jobOf(host: SimulatedHost, uuid: VmUuid): Job | undefined;
  /** The migration that brings this half, also when its source has let go of it. */
  bringing(incoming: SimulatedDomain): Job | undefined;
  begin(request: PerformRequest, from: SimulatedHost, to: SimulatedHost, direct?: boolean): Job;
  /** The link of this migration is not down. */
  carries(job: Job): boolean;
  /** The source's daemon gets to the target's. */
  reaches(from: SimulatedHost, to: SimulatedHost): boolean;
  /** The process of one half has ended, or its machine. */
  endedIn(job: Job): void;
  /** Both halves are where they belong. */
  over(job: Job): void;
  jobs(): readonly Job[];
  broke(job: Job): void;
  /** Takes up an interrupted post-copy. */
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

/** What is not as it should be between the hosts, and who is told of what happens. */
export interface Nature {
  /** A packet gets from one host to the other. */
  carries(from: SimulatedHost, to: SimulatedHost): boolean;
  /** Until the source ends its half after the target runs, ms; undefined: that message is lost. */
  confirmMs(job: Job): number | undefined;
  /** A migration has begun: its target has the incoming half. */
  began(job: Job): void;
  /** What a copied disk holds is complete. */
  copied(from: SimulatedHost, to: SimulatedHost, disks: readonly (readonly [from: string, to: string])[]): void;
  /** libvirt itself lets the source run again, since nobody said that the target runs. */
  resumedItself(job: Job): void;
  changed(): void;
}

const kindNature: Nature = {
  carries: () => true,
  confirmMs: () => 0,
  began: () => {},
  copied: () => {},
  resumedItself: () => {},
  changed: () => {},
};
/** libvirt's keepalive: the source waits this long for the target's word. */
export const keepaliveMs = 30_000;
const postCopyConfirmMs = 100;

export function createWorld(
  clock: Clock,
  hosts: ReadonlyMap<string, SimulatedHost>,
  linkOf: (from: string, to: string) => Link,
  given: Partial<Nature> = {},
): SimulatedWorld {
  const nature = { ...kindNature, ...given };
  const startMs = clock.now();
  const jobs = new Set<Job>();
  const arriving = new WeakMap<SimulatedDomain, Job>();
  let doneMs = 0;
  let driving = false;
  const nowMs = (): number => clock.now() - startMs;
  const tell: SimulatedWorld['tell'] = (host, uuid, type = 'domain') => {
    host.watchers.tell({ type, uuid });
    nature.changed();
  };
  const isConnected = ({ from, to }: Job): boolean =>
    from.powered && to.powered && nature.carries(from, to) && nature.carries(to, from);
  const over = (job: Job): void => {
    jobs.delete(job);
    job.call.resolve(undefined);
    for (const host of [job.from, job.to]) tell(host, job.domain.uuid);
  };

  /** The target runs: the source's half ends once it hears of it, and runs again where it never does. */
  const confirm = async (job: Job): Promise<void> => {
    // a source in post-copy never runs again by itself
    const ms = job.domain.reason === 'post-copy' ? postCopyConfirmMs : nature.confirmMs(job);
    job.unconfirmedSinceMs = nowMs();
    if (ms === 0) {
      endSource(job);
      return over(job);
    }
    const until = nowMs() + keepaliveMs;
    await clock.sleep(ms ?? keepaliveMs);
    for (;;) {
      if (!jobs.has(job)) return;
      if (ms !== undefined && isConnected(job) && job.from.daemon && job.to.daemon) {
        endSource(job);
        return over(job);
      }
      if (nowMs() >= until) break;
      await clock.sleep(500);
    }
    if (job.domain.reason === 'post-copy') {
      Object.assign(job.domain, { reason: 'post-copy-failed' });
      return over(job);
    }
    Object.assign(job.domain, job.ran ? { state: 'running', reason: 'migration-canceled' } : { reason: 'user' });
    job.call.resolve({ outcome: 'unknown', message: 'internal error: client socket is closed' });
    nature.resumedItself(job);
    over(job);
  };

  const set = (job: Job, transfer: Transfer): void => {
    const before = job.transfer;
    job.transfer = transfer;
    // the mirrors end before the guest runs on the target
    const isOverThere = (phase: Transfer['phase']): boolean => phase === 'post-copy' || phase === 'done';
    if (isOverThere(transfer.phase) && !isOverThere(before.phase)) arrivedDisks(job);
    show(job, before, tell);
    if (isOver(transfer) && !isOver(before)) {
      if (transfer.phase === 'done' && job.direct) return job.call.resolve(undefined);
      if (transfer.phase === 'done') return void confirm(job);
      jobs.delete(job);
      job.call.resolve({
        outcome: 'refused',
        message: 'operation aborted: migration out job: canceled by client',
      });
    }
  };

  const arrivedDisks = ({ request, from, to, domain, incoming }: Job): void => {
    const copied = domain.disks
      .map((disk, index) => [disk, incoming.disks[index] ?? disk] as const)
      .filter(([{ target }]) => request.copyDisks.includes(target));
    for (const [disk, there] of copied) {
      const volume = to.volumes.get(there.path);
      if (volume !== undefined)
        to.volumes.set(there.path, { ...volume, allocationBytes: disk.bytes, modified: `copied at ${nowMs()}` });
    }
    nature.copied(
      from,
      to,
      copied.map(([disk, there]) => [disk.path, there.path]),
    );
  };

  const endedIn = (job: Job): void => {
    if (!jobs.has(job)) return;
    const { phase } = job.transfer;
    if (phase === 'post-copy') return broke(job);
    if (!isOver(job.transfer)) return set(job, abort(job.transfer));
    jobs.delete(job);
    job.call.resolve({ outcome: 'refused', message: 'operation failed: domain is not running' });
  };

  const broke = (job: Job): void => {
    if (isOver(job.transfer)) return;
    if (job.transfer.phase === 'post-copy') {
      if (job.interrupted) return;
      job.interrupted = true;
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
      const users = [...jobs].filter((job) => job.link === link && !job.interrupted && !isOver(job.transfer));
      const shares = fairShares(
        capacity,
        users.map((job) => (isConnected(job) ? wants(job.transfer) : 0)),
      );
      for (const [index, job] of users.entries()) {
        set(job, advance(job.transfer, ms, shares[index] ?? 0, link.latencyMs));
        if (capacity > 0 && isConnected(job)) delete job.silentSinceMs;
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
    bringing: (incoming) => arriving.get(incoming),
    over,
    endedIn,
    broke,
    jobs: () => [...jobs],
    reaches: (from, to) => to.powered && to.daemon && nature.carries(from, to) && nature.carries(to, from),
    begin(request, from, to, direct = false) {
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
        snapshots: [],
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
        interrupted: false,
        direct,
        call: Promise.withResolvers(),
      };
      to.domains.set(domain.uuid, incoming);
      jobs.add(job);
      arriving.set(incoming, job);
      nature.began(job);
      tell(to, domain.uuid);
      if (!driving) void drive();
      return job;
    },
    carries: (job) => capacityAt(job.link, nowMs()) > 0 && isConnected(job),
    again(job) {
      job.interrupted = false;
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

const arrive = (
  { ran, suspended, request, incoming, to }: Job,
  reason: StateReason,
  tell: SimulatedWorld['tell'],
): void => {
  const runs = ran && !suspended && request.transfer.handover !== true;
  Object.assign(incoming, runs ? { state: 'running', reason } : { state: 'paused', reason: 'user' });
  if (runs) tell(to, incoming.uuid, 'migration-resumed');
};

/** The guest is the target's own from now on. */
export function receive(job: Job, tell: SimulatedWorld['tell']): void {
  job.incoming.persistent ||= job.request.persist;
  arrive(job, 'migrated', tell);
}

/** The source has heard that the guest runs elsewhere. */
export function endSource({ request, from, domain }: Job): void {
  if (domain.persistent && !request.undefineSource) Object.assign(domain, { state: 'shut-off', reason: 'migrated' });
  else from.domains.delete(domain.uuid);
}

/** What both hosts show of the VM once the transfer has come to another phase. */
function show(job: Job, before: Transfer, tell: SimulatedWorld['tell']): void {
  const { transfer, domain, incoming, from, to } = job;
  const { uuid } = domain;
  const { phase } = transfer;
  const startsInPostCopy =
    phase === 'post-copy' && guestRuns(transfer) && !(before.phase === 'post-copy' && guestRuns(before));
  // never before its source is paused, however short that is
  if ((startsInPostCopy || (phase === 'done' && phase !== before.phase)) && domain.state === 'running') {
    Object.assign(domain, { state: 'paused', reason: phase === 'done' ? 'migration' : 'post-copy' });
    tell(from, uuid, 'migration-suspended');
  }
  if (startsInPostCopy) arrive(job, 'post-copy', tell);
  if (phase === before.phase) return;
  switch (phase) {
    case 'switching':
    case 'post-copy':
      // a guest that is paused already does not tell of it again
      if (domain.state === 'running') tell(from, uuid, 'migration-suspended');
      if (!job.ran && phase === 'switching') return;
      Object.assign(domain, { state: 'paused', reason: phase === 'switching' ? 'migration' : 'post-copy' });
      return;
    case 'aborted':
      if (incoming.persistent) Object.assign(incoming, { state: 'shut-off', reason: 'other' });
      else if (to.domains.get(uuid) === incoming) to.domains.delete(uuid);
      if (domain.reason === 'migration') Object.assign(domain, { state: 'running', reason: 'migration-canceled' });
      break;
    case 'done':
      incoming.completed = {
        downtimeMs: Math.round(transfer.downtimeMs),
        transferredBytes: Math.round(transfer.sentBytes),
      };
      if (job.direct) return;
      receive(job, tell);
      break;
    case 'disks':
    case 'pre-copy':
      return;
  }
  for (const host of [from, to]) tell(host, uuid);
}

export type HostSpec = Pick<SimulatedHost, 'name'> &
  Partial<Pick<SimulatedHost, 'uri' | 'memoryBytes' | 'linkMbit' | 'sharedFolders'>>;

export const createHost = (spec: HostSpec): SimulatedHost => ({
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
  powered: true,
  daemon: true,
  full: false,
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
  /** Names of its snapshots, parents first. */
  readonly snapshots?: readonly string[];
}

export const createDomain = ({
  uuid,
  name,
  memory,
  deviceMs = 20,
  disks = [],
  state = 'running',
  agent = false,
  snapshots = [],
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
  snapshots: snapshots.map((each) => ({ kind: 'snapshot', name: each, xml: each, current: each === snapshots.at(-1) })),
});
