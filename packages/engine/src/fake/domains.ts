/**
 * The guests of a fake host, and how they move: a guest is on the other host once its time has passed, even if nobody
 * waits for it.
 */
import { vmUuid, type Instance, type InstanceView } from '@ferry/core';
import { boundedQueue } from '../events/bounded-queue.ts';
import type { DirectSide, HostChange, HostLink } from '../ports/ports.ts';
import { domainOn, mustAnswer, tell, type FakeDomain, type FakeHost, type FakeSurroundings } from './host.ts';

const instanceOf = ({ uuid, name, state, reason, persistent, disk }: FakeDomain): Instance => ({
  uuid: vmUuid(uuid),
  name,
  state,
  reason,
  persistent,
  memoryBytes: 256 * 1_048_576,
  vcpus: 1,
  disks:
    disk === undefined
      ? []
      : [{ target: 'vda', device: 'disk', type: 'file', source: disk, format: 'raw', readOnly: false }],
});

export function fakeDomains(
  host: FakeHost,
  { clock, next, byUri, note }: FakeSurroundings,
): Pick<HostLink, 'instances' | 'power' | 'transfer' | 'steering' | 'guest'> {
  const find = (uuid: string): FakeDomain => domainOn(host, uuid);

  /** Moves the domain after its time, even if nobody waits for it. */
  const carry = async (
    to: FakeHost,
    uuid: string,
    persist: boolean,
    keepSource: boolean,
    copied: boolean,
  ): Promise<void> => {
    const domain = host.domains.get(uuid);
    if (domain === undefined) return;
    const was = domain.state;
    host.migrating.add(uuid);
    to.incoming.add(uuid);
    await clock.sleep(next.durationMs);
    to.incoming.delete(uuid);
    if (!host.migrating.delete(uuid) || !next.moves) return;
    tell(host, uuid, 'migration-suspended');
    to.domains.set(uuid, {
      ...domain,
      state: was,
      reason: was === 'running' ? 'migrated' : 'user',
      persistent: persist,
    });
    if (copied && domain.disk !== undefined)
      to.volumes.set(domain.disk, {
        pool: 'default',
        name: 'd',
        path: domain.disk,
        format: 'raw',
        capacityBytes: 1_000,
        allocationBytes: 500,
        modified: 'new',
      });
    if (keepSource && domain.persistent) Object.assign(domain, { state: 'shut-off', reason: 'migrated' });
    else host.domains.delete(uuid);
    tell(host, uuid);
    tell(to, uuid);
  };

  return {
    instances: {
      async all() {
        mustAnswer(host);
        return [...host.domains.values()].map(instanceOf);
      },
      async one(uuid) {
        mustAnswer(host);
        const domain = host.domains.get(uuid);
        return domain === undefined ? undefined : instanceOf(domain);
      },
      async observe(uuid): Promise<InstanceView> {
        if (host.slowMs > 0) await clock.sleep(host.slowMs);
        mustAnswer(host);
        const domain = host.domains.get(uuid);
        if (host.incoming.has(uuid))
          return { kind: 'present', state: 'paused', reason: 'migration', persistent: false, migrating: false };
        if (domain === undefined) return { kind: 'absent' };
        const { state, reason, persistent } = domain;
        return {
          kind: 'present',
          state,
          reason,
          persistent,
          migrating: host.migrating.has(uuid),
          ...(reason === 'migrated' && state === 'running'
            ? { completed: { downtimeMs: 7, transferredBytes: 99 } }
            : {}),
        };
      },
      async watch(signal) {
        mustAnswer(host);
        const queue = boundedQueue<HostChange>(1_000, () => ({ type: 'gap' }), signal);
        host.watchers.add(queue);
        return queue;
      },
      async mark(uuid) {
        find(uuid);
        note(host, 'mark');
      },
    },
    power: {
      async start(uuid) {
        if (host.broken !== undefined) throw new Error(host.broken);
        note(host, 'start');
        Object.assign(find(uuid), { state: 'running', reason: 'booted' });
        tell(host, uuid);
      },
      async startHelper({ uuid, name, disks }) {
        mustAnswer(host);
        note(host, 'start helper');
        const [disk] = disks;
        host.domains.set(uuid, {
          uuid,
          name,
          state: 'paused',
          reason: 'user',
          persistent: false,
          autostart: false,
          ...(disk === undefined ? {} : { disk: disk.path }),
        });
      },
      async suspend(uuid) {
        Object.assign(find(uuid), { state: 'paused', reason: 'user' });
        note(host, 'suspend');
      },
      async resume(uuid) {
        find(uuid).state = 'running';
        note(host, 'resume');
      },
      async shutdown(uuid) {
        Object.assign(find(uuid), { state: 'shut-off', reason: 'other' });
        note(host, 'shutdown');
        tell(host, uuid);
      },
      async end(uuid) {
        find(uuid);
        note(host, 'remove process');
        host.domains.delete(uuid);
        tell(host, uuid);
      },
    },
    transfer: {
      async perform({ uuid, destinationUri, persist, undefineSource, copyDisks }) {
        find(uuid);
        note(host, 'perform');
        await carry(byUri(destinationUri), uuid, persist, !undefineSource, copyDisks.length > 0);
        return next.failure === undefined ? {} : { failure: next.failure };
      },
      async openSide(): Promise<DirectSide> {
        throw new Error('the fake fleet has no direct mode');
      },
      async recover() {
        throw new Error('nothing breaks in post-copy in the fake fleet');
      },
      async sample(uuid) {
        mustAnswer(host);
        return host.migrating.has(uuid)
          ? {
              processedBytes: 50,
              remainingBytes: 50,
              totalBytes: 100,
              dirtyBytesPerSecond: 1,
              throughputBytesPerSecond: 10,
              iteration: 1,
              elapsedMs: 1,
            }
          : undefined;
      },
      async abort(uuid) {
        note(host, 'abort');
        find(uuid);
        host.migrating.delete(uuid);
      },
    },
    steering: {
      async tune(uuid, limits) {
        find(uuid);
        note(host, `tune ${JSON.stringify(limits)}`);
      },
      async startPostCopy(uuid) {
        find(uuid);
        note(host, 'post-copy');
      },
      async releaseThrottle(uuid) {
        find(uuid);
        note(host, 'release throttle');
      },
      async cutCopies(uuid) {
        find(uuid);
        note(host, 'cut copies');
      },
    },
    guest: {
      async setTime(uuid) {
        find(uuid);
        return false;
      },
      log: async () => '',
      async announce(uuid) {
        find(uuid);
        note(host, 'announce');
      },
      async dirtyRate(uuid) {
        find(uuid);
        note(host, 'dirty rate');
        const { dirtyBytesPerSecond: bytesPerSecond } = next;
        if (bytesPerSecond instanceof Error) throw bytesPerSecond;
        return bytesPerSecond === undefined ? { refused: 'this QEMU cannot measure it' } : { bytesPerSecond };
      },
      async residentBytes(uuid) {
        find(uuid);
        return undefined;
      },
    },
  };
}
