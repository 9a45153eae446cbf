/**
 * For tests of the engine: a fleet of hosts that behave as libvirt does as far as the engine can tell, stores in memory, and a
 * clock of virtual time. It proves nothing about real hosts.
 */
import { FerryError, noNeeds, vmUuid, type CallFailure, type DomainState, type Instance, type InstanceView, type StateReason, type VmFacts, type VolumeFacts } from '@ferry/core';
import type { Clock, DirectSide, HostChange, HostLink, Hypervisor, IntentEntry, JournalEntry, Log, StoredDefinition, Stores } from './ports.ts';
import { boundedQueue, type Queue } from './queue.ts';
import { virtualTime } from './virtual-time.ts';

export interface FakeDomain {
  readonly uuid: string;
  readonly name: string;
  state: DomainState;
  reason: StateReason;
  persistent: boolean;
  autostart: boolean;
  /** Path of its one disk. */
  readonly disk?: string;
}

export interface FakeHost {
  readonly uri: string;
  readonly machineUuid: string;
  readonly domains: Map<string, FakeDomain>;
  /** By path. */
  readonly volumes: Map<string, VolumeFacts>;
  readonly watchers: Set<Queue<HostChange>>;
  readonly migrating: Set<string>;
  reachable: boolean;
  /** Hosts of one SAN see the same devices. */
  san: string;
  /** Deleting a volume fails. */
  sticky: boolean;
  drop: () => void;
}

/** What the next migration does: how long it takes, whether the call fails, whether the guest moves all the same. */
export interface NextMove {
  durationMs: number;
  failure?: CallFailure;
  moves: boolean;
  /** What is measured of any guest; absent: the hosts cannot. */
  dirtyBytesPerSecond?: number | Error;
}

export interface FakeFleet {
  readonly hypervisor: Hypervisor;
  readonly hosts: ReadonlyMap<string, FakeHost>;
  readonly next: NextMove;
  /** Every call that changes something, in order: `host call`. */
  readonly calls: string[];
  add(name: string): FakeHost;
  run(host: string, domain: Partial<FakeDomain> & { readonly uuid: string; readonly name: string }): void;
}

export const uriOf = (name: string): string => `qemu+tcp://${name}/system`;
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export function fakeFleet(clock: Clock): FakeFleet {
  const hosts = new Map<string, FakeHost>();
  const calls: string[] = [];
  const next: NextMove = { durationMs: 1_000, moves: true };
  const byUri = (uri: string): FakeHost => {
    const host = [...hosts.values()].find((each) => each.uri === uri);
    if (host?.reachable !== true) throw new FerryError('host-unreachable', `${uri} does not answer.`);
    return host;
  };
  const nameOf = (host: FakeHost): string => [...hosts].find(([, each]) => each === host)?.[0] ?? '?';
  const tell = (host: FakeHost, uuid: string, type: 'domain' | 'migration-suspended' = 'domain'): void => {
    for (const watcher of host.watchers) watcher.push({ type, uuid: vmUuid(uuid) });
  };
  const note = (host: FakeHost, call: string): void => void calls.push(`${nameOf(host)} ${call}`);
  const instanceOf = ({ uuid, name, state, reason, persistent, disk }: FakeDomain): Instance => ({
    uuid: vmUuid(uuid), name, state, reason, persistent, memoryBytes: 256 * 1_048_576, vcpus: 1,
    disks: disk === undefined ? [] : [{ target: 'vda', device: 'disk', type: 'file', source: disk, format: 'raw', readOnly: false }],
  });

  /** Carries the domain over after its time, whoever still waits for it. */
  const carry = async (from: FakeHost, to: FakeHost, uuid: string, persist: boolean, keepSource: boolean, copied: boolean): Promise<void> => {
    const domain = from.domains.get(uuid);
    if (domain === undefined) return;
    const was = domain.state;
    from.migrating.add(uuid);
    await clock.sleep(next.durationMs);
    if (!from.migrating.delete(uuid) || !next.moves) return;
    tell(from, uuid, 'migration-suspended');
    to.domains.set(uuid, { ...domain, state: was, reason: was === 'running' ? 'migrated' : 'user', persistent: persist });
    if (copied && domain.disk !== undefined) to.volumes.set(domain.disk, { pool: 'default', name: 'd', path: domain.disk, format: 'raw', capacityBytes: 1_000, allocationBytes: 500, modified: 'new' });
    if (keepSource && domain.persistent) Object.assign(domain, { state: 'shut-off', reason: 'migrated' });
    else from.domains.delete(uuid);
    tell(from, uuid);
    tell(to, uuid);
  };

  const linkTo = (host: FakeHost): HostLink => {
    const closed = Promise.withResolvers<Error | undefined>();
    const must = (): void => {
      if (!host.reachable) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
    };
    const find = (uuid: string): FakeDomain => {
      must();
      const domain = host.domains.get(uuid);
      if (domain === undefined) throw new Error(`no domain ${uuid}`);
      return domain;
    };
    const { drop } = host;
    host.drop = () => {
      drop();
      closed.resolve(new Error('connection lost'));
    };
    const remove = async (uuid: string): Promise<void> => {
      host.domains.delete(uuid);
      tell(host, uuid);
    };
    return {
      closed: closed.promise,
      close: async () => closed.resolve(undefined),
      inventory: {
        async facts() {
          must();
          return { hostname: nameOf(host), machineUuid: host.machineUuid, libvirtVersion: '9.0.0', qemuVersion: '7.2.0', cpu: { arch: 'x86_64', model: '', vendor: '', threads: 2 }, memoryBytes: 1e9, freeMemoryBytes: 1e9 };
        },
        async instances() {
          must();
          return [...host.domains.values()].map(instanceOf);
        },
        async instance(uuid) {
          must();
          const domain = host.domains.get(uuid);
          return domain === undefined ? undefined : instanceOf(domain);
        },
        async watch(signal) {
          must();
          const queue = boundedQueue<HostChange>(1_000, () => ({ type: 'gap' }), signal);
          host.watchers.add(queue);
          return queue;
        },
      },
      migration: {
        async mark(uuid) {
          find(uuid);
          note(host, 'mark');
        },
        async perform({ uuid, destinationUri, persist, undefineSource, copyDisks }) {
          find(uuid);
          note(host, 'perform');
          await carry(host, byUri(destinationUri), uuid, persist, !undefineSource, copyDisks.length > 0);
          return next.failure === undefined ? {} : { failure: next.failure };
        },
        async openSide(): Promise<DirectSide> {
          throw new Error('the fake fleet has no direct mode');
        },
        async tune(uuid, limits) {
          find(uuid);
          note(host, `tune ${JSON.stringify(limits)}`);
        },
        async startPostCopy(uuid) {
          find(uuid);
          note(host, 'post-copy');
        },
        async recover() {
          throw new Error('nothing breaks in post-copy in the fake fleet');
        },
        async suspend(uuid) {
          Object.assign(find(uuid), { state: 'paused', reason: 'user' });
          note(host, 'suspend');
        },
        async announce(uuid) {
          find(uuid);
          note(host, 'announce');
        },
        async setGuestTime(uuid) {
          find(uuid);
          return false;
        },
        async shutdown(uuid) {
          Object.assign(find(uuid), { state: 'shut-off', reason: 'other' });
          note(host, 'shutdown');
          tell(host, uuid);
        },
        async releaseThrottle(uuid) {
          find(uuid);
          note(host, 'release throttle');
        },
        async resume(uuid) {
          find(uuid).state = 'running';
          note(host, 'resume');
        },
        async dirtyRate(uuid) {
          find(uuid);
          note(host, 'dirty rate');
          if (next.dirtyBytesPerSecond instanceof Error) throw next.dirtyBytesPerSecond;
          return next.dirtyBytesPerSecond;
        },
        async sample(uuid) {
          must();
          return host.migrating.has(uuid) ? { processedBytes: 50, remainingBytes: 50, totalBytes: 100, dirtyBytesPerSecond: 1, throughputBytesPerSecond: 10, iteration: 1, elapsedMs: 1 } : undefined;
        },
        async observe(uuid): Promise<InstanceView> {
          must();
          const domain = host.domains.get(uuid);
          if (domain === undefined) return { kind: 'absent' };
          const { state, reason, persistent } = domain;
          return { kind: 'present', state, reason, persistent, migrating: host.migrating.has(uuid), ...(reason === 'migrated' && state === 'running' ? { completed: { downtimeMs: 7, transferredBytes: 99 } } : {}) };
        },
        async abortJob(uuid) {
          note(host, 'abort');
          find(uuid);
          host.migrating.delete(uuid);
        },
        async remove(uuid, what) {
          find(uuid);
          note(host, `remove ${what}`);
          await remove(uuid);
        },
      },
      resources: {
        look: async () => ({ networks: new Map(), filters: new Set(), secrets: new Set() }),
        read: async () => ({ xml: '' }),
        create: async () => {},
        remove: async () => {},
      },
      definitions: {
        async describe(uuid): Promise<VmFacts> {
          const { disk, autostart, persistent } = find(uuid);
          return {
            saved: false, autostart, persistent, stateFiles: [], nvram: false, hostDevices: 0, snapshots: 0, externalSnapshots: false, checkpoints: 0, needs: noNeeds,
            disks: disk === undefined ? [] : [{ target: 'vda', device: 'disk', type: disk.startsWith('/dev/') ? 'block' : 'file', source: disk, format: 'raw', readOnly: false, capacityBytes: 1_000, allocationBytes: 500, backing: [] }],
          };
        },
        read: async (uuid) => JSON.stringify(find(uuid)),
        readMigratable: async (uuid) => JSON.stringify(find(uuid)),
        async write(xml) {
          must();
          note(host, 'define');
          const domain = JSON.parse(xml) as FakeDomain;
          host.domains.set(domain.uuid, { ...domain, state: 'shut-off', reason: 'other', persistent: true, autostart: false });
          tell(host, domain.uuid);
        },
        dropSaved: async () => {},
        async setAutostart(uuid, autostart) {
          find(uuid).autostart = autostart;
        },
        async start(uuid) {
          note(host, 'start');
          Object.assign(find(uuid), { state: 'running', reason: 'booted' });
          tell(host, uuid);
        },
        readSnapshots: async () => [],
        stripSnapshots: async () => {},
        restoreSnapshots: async () => {},
        async startHelper({ uuid, name, disks }) {
          must();
          note(host, 'start helper');
          const [disk] = disks;
          host.domains.set(uuid, { uuid, name, state: 'paused', reason: 'user', persistent: false, autostart: false, ...(disk === undefined ? {} : { disk: disk.path }) });
        },
      },
      storage: {
        async pools() {
          must();
          return [{ name: 'default', path: '/pool', active: true, availableBytes: 1e6 }];
        },
        // the device of a SAN
        identityOf: async (path) => (path === '/dev/vg/lv' ? `lv-${host.san}` : undefined),
        volumeAt: async (path) => host.volumes.get(path),
        async createVolume({ pool, name, capacityBytes, format }) {
          must();
          note(host, 'create volume');
          const path = `/pool/${name}`;
          if (host.volumes.has(path)) throw new FerryError('volume-exists', `${path} is there.`);
          host.volumes.set(path, { pool, name, path, format, capacityBytes, allocationBytes: 0, modified: 'made' });
        },
        async deleteVolume(_pool, name) {
          must();
          if (host.sticky) throw new Error('the volume is in use');
        note(host, 'delete volume');
          host.volumes.delete(`/pool/${name}`);
        },
        // every host has a /pool of its own, and one /shared for all
        async marker(action, folder) {
          must();
          return { folder: true, found: action !== 'find' || folder === '/shared' || host.volumes.has(folder) };
        },
      },
      files: {
        look: async () => undefined,
        async *read() {
          // nothing belongs to a VM beside its disk here
        },
        write: async () => {},
        remove: async () => {},
      },
    };
  };

  return {
    hosts,
    next,
    calls,
    hypervisor: {
      async connect(uri) {
        return linkTo(byUri(uri));
      },
      identityOfDefinition: () => {
        throw new Error('the fake fleet reads no definitions');
      },
      rewriteDefinition: (xml) => xml,
      describeDefinition: () => {
        throw new Error('not a real definition');
      },
    },
    add(name) {
      const host: FakeHost = { uri: uriOf(name), machineUuid: `machine-${name}`, domains: new Map(), volumes: new Map(), watchers: new Set(), migrating: new Set(), reachable: true, sticky: false, san: 'one', drop: () => {} };
      hosts.set(name, host);
      return host;
    },
    run(name, domain) {
      const host = hosts.get(name);
      if (host === undefined) throw new Error(`no host ${name}`);
      const whole: FakeDomain = { state: 'running', reason: 'booted', persistent: true, autostart: false, ...domain };
      host.domains.set(whole.uuid, whole);
      if (whole.disk !== undefined && folderOf(whole.disk) === '/pool') host.volumes.set(whole.disk, { pool: 'default', name: whole.disk.slice('/pool/'.length), path: whole.disk, format: 'raw', capacityBytes: 1_000, allocationBytes: 500, modified: 'old' });
      tell(host, whole.uuid);
    },
  };
}

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** Virtual time; texts and ids are counted. */
export function countingClock(): Clock & Disposable {
  let serial = 0;
  return {
    ...virtualTime(),
    randomText: (length) => String((serial += 1)).padStart(length, '0'),
    randomUuid: () => `00000000-0000-4000-8000-${String((serial += 1)).padStart(12, '0')}`,
  };
}

/** Stores in memory. `beforeCommit` may throw, as a full disk would. */
export function memoryStores(options: { readonly beforeCommit?: () => void } = {}): Stores {
  const entries = new Map<string, IntentEntry>();
  const journal: JournalEntry[] = [];
  const definitions = new Map<string, StoredDefinition>();
  let revision = 0;
  return {
    intents: {
      get: async (key) => entries.get(key),
      list: async (prefix) => [...entries.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1)),
      async commit(writes) {
        options.beforeCommit?.();
        const conflict = writes.filter(({ key, ifRevision }) => ifRevision !== undefined && (entries.get(key)?.revision ?? 0) !== ifRevision).map(({ key }) => key);
        if (conflict.length > 0) return { conflict };
        revision += 1;
        // as a store would: what is kept is a copy
        for (const write of writes) {
          if (write.op === 'put') entries.set(write.key, { key: write.key, value: JSON.parse(JSON.stringify(write.value)) as unknown, revision });
          else entries.delete(write.key);
        }
        return { revision };
      },
      // eslint-disable-next-line require-yield
      async *watch() {
        throw new Error('not used by the engine yet');
      },
      lease: async () => {},
    },
    journal: {
      async append(added) {
        for (const each of added) journal.push({ ...each, seq: journal.length + 1 });
        return journal.length;
      },
      async read({ kind, subject, afterSeq = 0, newestFirst = false, limit = 1_000 }) {
        const found = journal.filter((each) => (kind === undefined || each.kind === kind) && (subject === undefined || each.subject === subject) && each.seq > afterSeq);
        return (newestFirst ? found.toReversed() : found).slice(0, limit);
      },
      bounds: async () => ({ first: journal.length === 0 ? 0 : 1, last: journal.length }),
      prune: async () => 0,
    },
    inventory: {
      save: async () => {},
      load: async () => new Map(),
      remove: async () => {},
      saveDefinition: async (definition) => void definitions.set(`${definition.uuid}/${definition.host}`, definition),
      definition: async (uuid, host) => definitions.get(`${uuid}/${host}`),
    },
    close: async () => {},
  };
}
