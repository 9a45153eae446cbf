/**
 * Between a recorded fleet and its file: hosts are named in the file, absent fields have their usual values. What the
 * schema cannot say of a file is checked here: names that nobody has, or several have.
 */
import {
  configurationProblems,
  defaultCluster,
  hostId,
  hostKey,
  isUuid,
  migrationId,
  presets,
  vmUuid,
  type Configuration,
  type Fleet,
  type HostId,
  type HostView,
  type Reservation,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import { fleetFileVersion, type FleetFileJson } from '../schemas/fleet-file.ts';

type FileHost = FleetFileJson['hosts'][number];
type FileVm = FleetFileJson['vms'][number];

export type ReadFleet =
  | { readonly fleet: Fleet }
  /** Sentence by sentence, each with its place. */
  | { readonly problems: readonly string[] };

export function fleetOfFile(file: FleetFileJson): ReadFleet {
  const problems = problemsOf(file);
  if (problems.length > 0) return { problems };
  const { configuration = { version: 1 }, settings = {}, migrations = [], reservations = {} } = file;
  const { hostLabels = {}, vmLabels = {}, rules = {}, clusters = {}, policies = {}, bindings = {} } = configuration;
  const nameOfVm = new Map(file.vms.map(({ uuid, name }) => [uuid, name]));
  const uuidOf = new Map(file.vms.map(({ uuid, name }) => [name, uuid]));
  const named = <T extends object>(record: Readonly<Record<string, T>>) =>
    Object.entries(record).map(([name, content]) => ({ ...content, name }));
  return {
    fleet: {
      takenAt: Date.parse(file.takenAt),
      hosts: file.hosts.map((host) => viewOf(host, hostLabels[host.name])),
      vms: file.vms.map(vmOf),
      labels: new Map(
        Object.entries(vmLabels).map(([ref, labels]) => [vmUuid(isUuid(ref) ? ref : (uuidOf.get(ref) ?? ref)), labels]),
      ),
      parkedOn: new Map(
        file.vms.flatMap(({ uuid, others = [] }) => {
          const kept = others.flatMap((each) => (each.kept === true ? [hostId(each.host)] : []));
          return kept.length === 0 ? [] : [[vmUuid(uuid), new Set(kept)] as const];
        }),
      ),
      arrivedPaused: new Set(
        file.vms.flatMap(({ uuid, arrivedPaused }) => (arrivedPaused === true ? [vmUuid(uuid)] : [])),
      ),
      rules: named(rules as NonNullable<Configuration['rules']>),
      clusters: named(clusters as NonNullable<Configuration['clusters']>),
      policies: named(policies as NonNullable<Configuration['policies']>).map((policy) => ({ ...policy, version: 1 })),
      bindings: Object.entries(bindings).map(([label, policy]) => ({ label, policy })),
      settings: settings.maxMigrations === undefined ? {} : { maxMigrations: settings.maxMigrations },
      migrations: migrations.map(({ id, vm, from, to, requestedTo }) => ({
        id: migrationId(id),
        vm: { uuid: vmUuid(vm), name: nameOfVm.get(vm) ?? vm },
        from: { id: hostId(from), name: from },
        ...(to === undefined ? {} : { to: { id: hostId(to), name: to } }),
        request: requestedTo === undefined ? {} : { to: requestedTo },
      })),
      reservations: Object.fromEntries(
        Object.entries(reservations).map(([key, held]) => [
          key,
          Object.fromEntries(held.map(({ migration, ...rest }) => [migration, rest as Reservation])),
        ]),
      ),
    },
  };
}

function viewOf(
  { name, state = 'connected', stateDetail, service, freeMemoryBytes, facts, ...host }: FileHost,
  labels: readonly string[] | undefined,
): HostView {
  const { uri, cluster = defaultCluster, migrationAddress, machineUuid = name } = host;
  return {
    host: {
      id: hostId(name),
      name,
      uri,
      cluster,
      machineUuid,
      addedAt: 0,
      ...(migrationAddress === undefined ? {} : { migrationAddress }),
      ...(labels === undefined ? {} : { labels }),
      ...(service === undefined ? {} : { service: { state: service, since: 0 } }),
    },
    state,
    ...(stateDetail === undefined ? {} : { stateDetail }),
    ...(freeMemoryBytes === undefined ? {} : { freeMemoryBytes }),
    ...(facts === undefined
      ? {}
      : { facts: { ...facts, hostname: name, machineUuid } as NonNullable<HostView['facts']> }),
  };
}

function vmOf({ uuid: id, name, host, state = 'running', memoryBytes, vcpus = 1, transient, others = [] }: FileVm): Vm {
  const uuid = vmUuid(id);
  const instance = {
    uuid,
    name,
    state,
    reason: 'other',
    persistent: transient !== true,
    memoryBytes,
    vcpus,
    disks: [],
  } as const;
  return {
    uuid,
    name,
    hostId: hostId(host),
    state,
    memoryBytes,
    vcpus,
    disks: [],
    instances: [
      { hostId: hostId(host), role: 'authoritative', instance },
      ...others.map((other) => ({
        hostId: hostId(other.host),
        role: other.role,
        instance: { ...instance, name: other.name ?? name, state: other.state, persistent: other.transient !== true },
      })),
    ],
  };
}

function problemsOf({
  counts,
  hosts,
  vms,
  configuration,
  migrations = [],
  reservations = {},
}: FleetFileJson): readonly string[] {
  if (counts !== undefined && (counts.hosts !== hosts.length || counts.vms !== vms.length))
    return [
      `It is not whole: it says that it has ${counts.hosts} hosts and ${counts.vms} VMs, and has ${hosts.length} and ` +
        `${vms.length}. Export it again; or remove "counts" if you changed it.`,
    ];
  const problems: string[] = [];
  const known = new Set<string>();
  for (const [index, { name }] of hosts.entries()) {
    if (known.has(name)) problems.push(`hosts.${index}: There is another host ${name}.`);
    known.add(name);
  }
  const isHost = (at: string, name: string | undefined): void => {
    if (name !== undefined && !known.has(name)) problems.push(`${at}: There is no host "${name}".`);
  };
  const uuids = new Set<string>();
  const names = new Map<string, number>();
  for (const [index, { uuid, name, host, others = [] }] of vms.entries()) {
    if (uuids.has(uuid)) problems.push(`vms.${index}: There is another VM with the UUID ${uuid}.`);
    uuids.add(uuid);
    names.set(name, (names.get(name) ?? 0) + 1);
    isHost(`vms.${index}`, host);
    for (const other of others) isHost(`vms.${index}.others`, other.host);
  }
  for (const [index, { from, to }] of migrations.entries()) {
    isHost(`migrations.${index}`, from);
    isHost(`migrations.${index}`, to);
  }
  for (const key of Object.keys(reservations))
    if (key.startsWith('host/')) isHost(`reservations.${key}`, key.slice('host/'.length));
  const configured = configurationProblems((configuration ?? { version: 1 }) as Configuration, {
    isPreset: (name) => presets.has(name),
    isPolicy: (name) => presets.has(name),
    isHost: (name) => known.has(name),
    vmsNamed: (ref) => (uuids.has(ref) ? 1 : (names.get(ref) ?? 0)),
  });
  return [...problems, ...configured.map((sentence) => `configuration.${sentence}`)];
}

/** Policies, clusters, rules and labels come as the configuration, which is printed in the same way by itself. */
export function fileOfFleet(fleet: Fleet, configuration: Configuration): FleetFileJson {
  const names = new Map<HostId, string>(fleet.hosts.map(({ host }) => [host.id, host.name]));
  const nameOf = (id: HostId): string => names.get(id) ?? id;
  const keys = new Map<string, string>(fleet.hosts.map(({ host }) => [hostKey(host.id), `host/${host.name}`]));
  return {
    version: fleetFileVersion,
    takenAt: new Date(fleet.takenAt).toISOString(),
    counts: { hosts: fleet.hosts.length, vms: fleet.vms.length },
    configuration: configuration as FleetFileJson['configuration'],
    settings: { ...fleet.settings },
    hosts: fleet.hosts.map(fileHostOf),
    vms: fleet.vms.map((vm) => fileVmOf(vm, fleet, nameOf)),
    migrations: fleet.migrations.map(({ id, vm, from, to, request }) => ({
      id,
      vm: vm.uuid,
      from: from.name,
      ...(to === undefined ? {} : { to: to.name }),
      ...(request.to === undefined ? {} : { requestedTo: request.to }),
    })),
    reservations: Object.fromEntries(
      Object.entries(fleet.reservations).flatMap(([key, held]) => {
        // of a host that has left the fleet nothing is planned
        const named = key.startsWith('host/') ? keys.get(key) : key;
        const entries = Object.entries(held);
        if (named === undefined || entries.length === 0) return [];
        return [[named, entries.map(([migration, entry]) => ({ migration, ...reservationOf(entry) }))]];
      }),
    ),
  };
}

const reservationOf = ({ vm, side, memoryBytes, ports }: Reservation) => ({
  vm,
  ...(side === undefined ? {} : { side }),
  ...(memoryBytes === undefined ? {} : { memoryBytes }),
  ...(ports === undefined ? {} : { ports: [...ports] }),
});

function fileHostOf({ host, state, stateDetail, freeMemoryBytes, facts }: HostView): FileHost {
  return {
    name: host.name,
    uri: host.uri,
    cluster: host.cluster,
    ...(host.migrationAddress === undefined ? {} : { migrationAddress: host.migrationAddress }),
    machineUuid: host.machineUuid,
    state,
    ...(stateDetail === undefined ? {} : { stateDetail }),
    ...(host.service === undefined ? {} : { service: host.service.state }),
    ...(freeMemoryBytes === undefined ? {} : { freeMemoryBytes }),
    ...(facts === undefined ? {} : { facts: fileFactsOf(facts) }),
  };
}

function fileFactsOf({
  hostname: _hostname,
  machineUuid: _machine,
  cards: _cards,
  ...facts
}: NonNullable<HostView['facts']>): NonNullable<FileHost['facts']> {
  return facts as NonNullable<FileHost['facts']>;
}

function fileVmOf(vm: Vm, { parkedOn, arrivedPaused }: Fleet, nameOf: (id: HostId) => string): FileVm {
  const { uuid, name, hostId: at, state, memoryBytes, vcpus, instances } = vm;
  const isKept = (id: VmUuid, host: HostId): boolean => parkedOn.get(id)?.has(host) === true;
  const own = instances.find(({ role }) => role === 'authoritative')?.instance;
  const others = instances.flatMap(({ hostId: there, role, instance }) =>
    role === 'authoritative'
      ? []
      : [
          {
            host: nameOf(there),
            role,
            ...(instance.name === name ? {} : { name: instance.name }),
            state: instance.state,
            ...(instance.persistent ? {} : { transient: true as const }),
            ...(isKept(uuid, there) ? { kept: true as const } : {}),
          },
        ],
  );
  return {
    uuid,
    name,
    host: nameOf(at),
    state,
    memoryBytes,
    vcpus,
    ...(own?.persistent === false ? { transient: true as const } : {}),
    ...(arrivedPaused.has(uuid) ? { arrivedPaused: true as const } : {}),
    ...(others.length === 0 ? {} : { others }),
  };
}
