/** The guests of one simulated host, and how they move: the engine's ports over the simulated world. */
import { FerryError, type Instance, type InstanceView, type VmUuid } from '@ferry/core';
import type { HostLink } from '@ferry/engine';
import {
  createDomain,
  isAnswering,
  type Job,
  type SimulatedDomain,
  type SimulatedHost,
  type SimulatedWorld,
} from './fleet.ts';
import { writtenWithin } from './memory.ts';
import { sourceSide, targetSide } from './direct.ts';
import { abort, isOver, pauseGuest, releaseThrottle, resumeGuest, sampleOf, startPostCopy, tune } from './transfer.ts';

const mib = 1_048_576;
const vcpus = 2;

/** Waits for it or for the signal; what is waited for goes on. */
async function within<T>(waited: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([waited, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export const isActive = ({ state }: SimulatedDomain): boolean => state !== 'shut-off' && state !== 'crashed';

const instanceOf = ({ uuid, name, state, reason, persistent, memory, disks }: SimulatedDomain): Instance => ({
  uuid,
  name,
  state,
  reason,
  persistent,
  memoryBytes: memory.totalBytes,
  vcpus,
  disks: disks.map(({ target, path }) => ({
    target,
    device: 'disk',
    type: 'file',
    source: path,
    format: 'raw',
    readOnly: false,
  })),
});

/** The guest ends here, and with it what was to move it before it runs elsewhere. */
export function endDomain(world: SimulatedWorld, host: SimulatedHost, domain: SimulatedDomain, keep: boolean): void {
  const job = world.jobOf(host, domain.uuid);
  if (job !== undefined) world.endedIn(job);
  if (keep) Object.assign(domain, { state: 'shut-off', reason: 'other' });
  else host.domains.delete(domain.uuid);
  world.tell(host, domain.uuid);
}

export function simulatedDomains(
  world: SimulatedWorld,
  host: SimulatedHost,
): Pick<HostLink, 'instances' | 'power' | 'transfer' | 'steering' | 'guest'> {
  const answers = (): void => {
    if (!isAnswering(host)) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
    world.catchUp();
  };
  const find = (uuid: VmUuid): SimulatedDomain => {
    answers();
    const domain = host.domains.get(uuid);
    if (domain === undefined) throw new Error(`Domain not found: no domain with matching uuid '${uuid}'`);
    return domain;
  };
  /** The migration that leaves this host. */
  const leaving = (uuid: VmUuid): Job => {
    find(uuid);
    const job = world.jobOf(host, uuid);
    if (job === undefined || job.from !== host)
      throw new Error('Requested operation is not valid: no migration job is active');
    return job;
  };
  const result = async (job: Job, signal: AbortSignal) => {
    const failure = await within(job.call.promise, signal);
    return failure === undefined ? {} : { failure };
  };
  return {
    instances: {
      async all() {
        answers();
        return [...host.domains.values()].map(instanceOf);
      },
      async one(uuid) {
        answers();
        const domain = host.domains.get(uuid);
        return domain === undefined ? undefined : instanceOf(domain);
      },
      async observe(uuid): Promise<InstanceView> {
        answers();
        const domain = host.domains.get(uuid);
        if (domain === undefined) return { kind: 'absent' };
        const { state, reason, persistent, completed } = domain;
        const job = world.jobOf(host, uuid);
        return {
          kind: 'present',
          state,
          reason,
          persistent,
          migrating: job !== undefined && !job.interrupted && !(job.direct && isOver(job.transfer)),
          ...(completed === undefined ? {} : { completed }),
        };
      },
      async watch(signal) {
        answers();
        return host.watchers.watch(signal);
      },
      async mark(uuid) {
        find(uuid);
      },
    },
    power: {
      async start(uuid) {
        if (isActive(find(uuid))) throw new Error('Requested operation is not valid: domain is already running');
        Object.assign(find(uuid), { state: 'running', reason: 'booted' });
        world.tell(host, uuid);
      },
      async startHelper({ uuid, name, disks }) {
        answers();
        if (host.domains.has(uuid)) return;
        const held = disks.map(({ target, path, sizeBytes }) => ({
          target,
          path,
          capacityBytes: sizeBytes,
          bytes: host.volumes.get(path)?.allocationBytes ?? sizeBytes,
          writeBytesPerSecond: 0,
        }));
        host.domains.set(uuid, {
          ...createDomain({
            uuid,
            name,
            host: host.name,
            memory: { totalBytes: 1_048_576, sets: [] },
            disks: held,
            state: 'paused',
          }),
          persistent: false,
        });
        world.tell(host, uuid);
      },
      async suspend(uuid) {
        const domain = find(uuid);
        const job = world.jobOf(host, uuid);
        if (job?.from === host) {
          world.steer(job, pauseGuest);
          job.suspended = true;
        }
        Object.assign(domain, { state: 'paused', reason: job === undefined ? 'user' : 'migration' });
        world.tell(host, uuid);
      },
      async resume(uuid) {
        const domain = find(uuid);
        const job = world.jobOf(host, uuid);
        if (job?.from === host) {
          world.steer(job, resumeGuest);
          job.suspended = false;
        }
        Object.assign(domain, { state: 'running', reason: domain.completed === undefined ? 'other' : 'migrated' });
        world.tell(host, uuid);
      },
      async shutdown(uuid) {
        const domain = find(uuid);
        endDomain(world, host, domain, domain.persistent);
      },
      async end(uuid) {
        const domain = find(uuid);
        endDomain(world, host, domain, domain.persistent);
      },
    },
    transfer: {
      mayLeave: async () => ({ answer: 'may' }),
      async perform(request, signal) {
        const domain = find(request.uuid);
        const target = world.byUri(request.destinationUri);
        if (target === undefined || !world.reaches(host, target))
          return {
            failure: {
              outcome: 'refused',
              message: `unable to connect to server at '${request.destinationUri}'`,
              notReached: true,
            },
          };
        if (world.jobOf(host, request.uuid) !== undefined)
          return { failure: { outcome: 'refused', message: 'another migration job is already running' } };
        if (domain.snapshots.length > 0)
          return {
            failure: { outcome: 'refused', message: `cannot migrate domain with ${domain.snapshots.length} snapshots` },
          };
        const there = target.domains.get(request.uuid);
        if (there !== undefined && there.state !== 'shut-off')
          return {
            failure: { outcome: 'refused', message: `domain '${domain.name}' is already active on ${target.name}` },
          };
        const missing = domain.disks.find(
          ({ target: device, path }) =>
            request.copyDisks.includes(device) && request.definition === undefined && !target.volumes.has(path),
        );
        if (missing !== undefined)
          return { failure: { outcome: 'refused', message: `cannot precreate storage for disk ${missing.target}` } };
        if (target.full && request.copyDisks.length > 0)
          return { failure: { outcome: 'refused', message: `${target.name}: No space left on device` } };
        return result(world.begin(request, host, target), signal);
      },
      openSide: async (request, side) =>
        side === 'source' ? sourceSide(world, host, request) : targetSide(world, host, request),
      async recover({ uuid }, signal) {
        const job = leaving(uuid);
        if (!job.interrupted)
          return {
            failure: { outcome: 'refused', message: 'QEMU reports migration is still running', stillRunning: true },
          };
        if (!world.carries(job))
          return { failure: { outcome: 'refused', message: 'unable to connect to the target', notReached: true } };
        world.again(job);
        return result(job, signal);
      },
      async sample(uuid) {
        answers();
        const job = world.jobOf(host, uuid);
        return job?.from === host ? sampleOf(job.transfer) : undefined;
      },
      async abort(uuid) {
        const job = leaving(uuid);
        if (job.transfer.phase === 'post-copy')
          throw new Error('Requested operation is not valid: cannot abort migration in post-copy mode');
        world.steer(job, abort);
      },
    },
    steering: {
      async tune(
        uuid,
        { maxBandwidthMiBPerSecond, memoryBandwidthMiBPerSecond, postCopyBandwidthMiBPerSecond, maxDowntimeMs },
      ) {
        const domain = find(uuid);
        const bandwidth = maxBandwidthMiBPerSecond ?? memoryBandwidthMiBPerSecond;
        const limits = {
          ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth * mib }),
          ...(maxDowntimeMs === undefined ? {} : { downtimeMs: maxDowntimeMs }),
        };
        const inPostCopy =
          postCopyBandwidthMiBPerSecond === undefined
            ? {}
            : { postCopyBytesPerSecond: postCopyBandwidthMiBPerSecond * mib };
        Object.assign(domain.limits, limits);
        const job = world.jobOf(host, uuid);
        if (job?.from === host) world.steer(job, (transfer) => tune(transfer, { ...limits, ...inPostCopy }));
      },
      async startPostCopy(uuid) {
        const job = leaving(uuid);
        if (job.request.transfer.postCopy !== true)
          throw new Error('Requested operation is not valid: post-copy was not enabled');
        world.steer(job, (transfer) => startPostCopy(transfer, job.link.latencyMs));
      },
      async releaseThrottle(uuid) {
        world.steer(leaving(uuid), releaseThrottle);
      },
      async cutCopies(uuid) {
        world.steer(leaving(uuid), abort);
      },
    },
    guest: {
      setTime: async (uuid) => find(uuid).agent,
      log: async () => '',
      async announce(uuid) {
        find(uuid);
      },
      // an exact instrument, and it takes no time
      async dirtyRate(uuid, seconds) {
        const { memory, state } = find(uuid);
        return { bytesPerSecond: state === 'running' ? writtenWithin(memory, seconds) / seconds : 0 };
      },
      residentBytes: async () => undefined,
    },
  };
}
