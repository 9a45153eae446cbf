/**
 * A simulated fleet: the engine's hypervisor port over simulated hosts, guests and links. Definitions are JSON instead
 * of XML. For planning, comparing policies, days of faults and tests; it has no files other than disks.
 */
import { FerryError, noFacts, noNeeds, vmUuid, type VmFacts } from '@ferry/core';
import type { Clock, HostLink, Hypervisor, InventoryPort } from '@ferry/engine';
import { endDomain, simulatedDomains } from './domains.ts';
import {
  createDomain,
  createHost,
  createWorld,
  isAnswering,
  type GuestSpec,
  type Nature,
  type SimulatedDomain,
  type SimulatedHost,
  type SimulatedWorld,
} from './fleet.ts';
import { steadyLink, type Link } from './link.ts';
import { putVolume, simulatedFiles, simulatedStorage } from './storage.ts';

const gib = 1_073_741_824;

export interface SimulatedFleetOptions {
  readonly clock: Clock;
  readonly hosts: readonly Parameters<typeof createHost>[0][];
  readonly guests: readonly GuestSpec[];
  /**
   * Between two hosts, by their names; one link may serve many, who share it then. One link of 1 GiB/s for all by
   * default.
   */
  readonly links?: (from: string, to: string) => Link;
  /** What a day of faults adds; nothing by default. */
  readonly nature?: Partial<Nature>;
}

export interface SimulatedFleet {
  readonly hypervisor: Hypervisor;
  readonly hosts: ReadonlyMap<string, SimulatedHost>;
  add(host: SimulatedHost): void;
  /** Its guest, and the volumes of the guest's disks. */
  run(host: string, domain: SimulatedDomain): void;
  /** The connections of the control plane end; new ones may be made. */
  drop(host: string): void;
  readonly world: SimulatedWorld;
  /** The control plane loses the host; guests and migrations go on. */
  cutOff(host: string): void;
  mend(host: string): void;
}

export function simulatedHypervisor({
  clock,
  hosts: specs,
  guests,
  links,
  nature,
}: SimulatedFleetOptions): SimulatedFleet {
  const hosts = new Map(specs.map((spec) => [spec.name, createHost(spec)]));
  const one = steadyLink(gib);
  const world = createWorld(clock, hosts, links ?? (() => one), nature);
  const named = (name: string): SimulatedHost => {
    const host = hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  };
  const place = (host: SimulatedHost, domain: SimulatedDomain): void => {
    host.domains.set(domain.uuid, domain);
    for (const disk of domain.disks) putVolume(hosts, host, disk);
  };
  for (const guest of guests) place(named(guest.host), createDomain(guest));
  const drop = (name: string): void => {
    const { connections } = named(name);
    for (const lose of connections) lose(new Error('connection lost'));
    connections.clear();
  };
  return {
    hosts,
    add: (host) => void hosts.set(host.name, host),
    run(name, domain) {
      place(named(name), domain);
      world.tell(named(name), domain.uuid);
    },
    drop,
    world,
    hypervisor: {
      async connect(uri) {
        const host = world.byUri(uri);
        if (host === undefined || !isAnswering(host))
          throw new FerryError('host-unreachable', `${uri} does not answer.`);
        return linkTo(world, host, clock);
      },
      describeDefinition: (json) => factsOf(read(json)),
      identityOfDefinition: (json) => {
        const { uuid, name, disks } = read(json);
        return {
          uuid,
          name,
          disks: Object.fromEntries(disks.map(({ target, path }) => [target, path])),
          needs: noNeeds,
        };
      },
      rewriteDefinition: (json, { disks = {} }) => {
        const domain = read(json);
        return JSON.stringify({
          ...domain,
          disks: domain.disks.flatMap((disk) =>
            disks[disk.target] === null ? [] : [{ ...disk, path: disks[disk.target] ?? disk.path }],
          ),
        });
      },
    },
    cutOff(name) {
      named(name).reachable = false;
      drop(name);
    },
    mend: (name) => void (named(name).reachable = true),
  };
}

const read = (json: string): SimulatedDomain => JSON.parse(json) as SimulatedDomain;

const factsOf = ({ autostart, persistent, disks, snapshots }: SimulatedDomain): VmFacts => ({
  ...noFacts,
  snapshots: snapshots.length,
  autostart,
  persistent,
  disks: disks.map(({ target, path, capacityBytes, bytes }) => ({
    target,
    device: 'disk',
    type: path.startsWith('/dev/') ? 'block' : 'file',
    source: path,
    format: 'raw',
    readOnly: false,
    capacityBytes,
    allocationBytes: bytes,
    backing: [],
  })),
});

function linkTo(world: SimulatedWorld, host: SimulatedHost, clock: Pick<Clock, 'now'>): HostLink {
  const closed = Promise.withResolvers<Error | undefined>();
  const lose = (reason: Error): void => closed.resolve(reason);
  host.connections.add(lose);
  return {
    closed: closed.promise,
    close: async () => {
      host.connections.delete(lose);
      closed.resolve(undefined);
    },
    takesAnother: async () => answers(world, host),
    inventory: inventoryOf(world, host),
    ...simulatedDomains(world, host),
    ...definitionsOf(world, host),
    ...simulatedStorage(world.hosts, host, clock),
    resources: {
      look: async () => ({ networks: new Map(), filters: new Set(), secrets: new Map() }),
      read: async () => ({ xml: '' }),
      create: async () => {},
      remove: async () => {},
    },
    files: simulatedFiles(world.hosts, host),
  };
}

function answers(world: SimulatedWorld, host: SimulatedHost): void {
  if (!isAnswering(host)) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
  world.catchUp();
}

function inventoryOf(world: SimulatedWorld, host: SimulatedHost): InventoryPort {
  const freeMemoryBytes = (): number => {
    const used = [...host.domains.values()].reduce(
      (sum, { state, memory }) => sum + (state === 'shut-off' ? 0 : memory.totalBytes),
      0,
    );
    return Math.max(0, host.memoryBytes - used);
  };
  return {
    async freeMemory() {
      answers(world, host);
      return freeMemoryBytes();
    },
    async facts() {
      answers(world, host);
      return {
        hostname: host.name,
        machineUuid: `simulated-${host.name}`,
        libvirtVersion: '9.0.0',
        qemuVersion: '7.2.0',
        cpu: { arch: 'x86_64', model: 'simulated', vendor: '', threads: 64 },
        memoryBytes: host.memoryBytes,
        freeMemoryBytes: freeMemoryBytes(),
        ...(host.linkMbit === undefined ? {} : { linkMbit: host.linkMbit }),
      };
    },
    async machineUuid() {
      answers(world, host);
      return `simulated-${host.name}`;
    },
    hostModel: async () => '<cpu><model>simulated</model></cpu>',
    baselineCpu: async () => '<cpu><model>simulated</model></cpu>',
    freePages: async () => [],
    mediated: async () => ({ there: new Map(), free: new Map() }),
  };
}

function definitionsOf(
  world: SimulatedWorld,
  host: SimulatedHost,
): Pick<HostLink, 'definitions' | 'savedMemory' | 'snapshots'> {
  const find = (uuid: string): SimulatedDomain => {
    answers(world, host);
    const domain = host.domains.get(vmUuid(uuid));
    if (domain === undefined) throw new Error(`Domain not found: no domain with matching uuid '${uuid}'`);
    return domain;
  };
  return {
    definitions: {
      describe: async (uuid) => factsOf(find(uuid)),
      cpuOf: async () => undefined,
      compareCpu: async () => ({ answer: 'fits' }),
      async filesInUse() {
        answers(world, host);
        return {
          files: [...host.domains.values()].flatMap(({ uuid, name, disks }) =>
            disks.map(({ path }) => ({ path, as: 'disk' as const, vm: { uuid, name } })),
          ),
          untold: [],
        };
      },
      read: async (uuid) => JSON.stringify(find(uuid)),
      readMigratable: async (uuid) => JSON.stringify(find(uuid)),
      async write(json) {
        answers(world, host);
        const domain = read(json);
        host.domains.set(domain.uuid, {
          ...domain,
          state: 'shut-off',
          reason: 'other',
          persistent: true,
          autostart: false,
          snapshots: host.domains.get(domain.uuid)?.snapshots ?? [],
        });
        world.tell(host, domain.uuid);
      },
      async undefine(uuid) {
        endDomain(world, host, find(uuid), false);
      },
      async setAutostart(uuid, autostart) {
        find(uuid).autostart = autostart;
      },
    },
    savedMemory: {
      read: async () => '',
      write: async () => {},
      drop: async () => {},
    },
    snapshots: {
      read: async (uuid) => find(uuid).snapshots,
      async strip(uuid, taken) {
        const domain = find(uuid);
        domain.snapshots = domain.snapshots.filter(({ name }) => taken.every((each) => each.name !== name));
      },
      async restore(uuid, given) {
        const domain = find(uuid);
        const there = new Set(domain.snapshots.map(({ name }) => name));
        domain.snapshots = [...domain.snapshots, ...given.filter(({ name }) => !there.has(name))];
      },
    },
  };
}
