/**
 * Puts the engine together: hosts with their followers, the fleet as VMs, the migrations, and the events about all of
 * them. It owns no rule (core) and no driver (adapters).
 */
import { defaultCluster, FerryError, outsideCluster, hostId, isFinished, isInNetwork, resolve, vmsOf, type Cluster, type Host, type HostFacts, type HostView, type Migration, type Vm } from '@ferry/core';
import { openClusters } from './clusters.ts';
import { keepDefinitions } from './definition-keeper.ts';
import { createEventHub } from './event-hub.ts';
import type { ClusterView, Engine, HostSettings } from './facade.ts';
import { followHost, type HostFollower } from './host-follower.ts';
import { openKeptInstances } from './kept-instances.ts';
import { createMigrations } from './migrations.ts';
import { outsideHosts } from './outside.ts';
import { createPeers } from './peers.ts';
import { openPolicies } from './policies.ts';
import type { Clock, HostLink, Hypervisor, Log, Stores } from './ports.ts';
import { createSettle } from './settle.ts';
import { watchTwoCopies } from './two-copies.ts';
import { createVolumes } from './volumes.ts';

const hostPrefix = 'hosts/';
const machinePrefix = 'machines/';
/** Changes of VMs are gathered this long before they are compared and told. */
const gatherMs = 20;
const eventsKeptMs = 7 * 24 * 3_600_000;
const recoverPatienceMs = 5_000;

export interface EngineOptions {
  readonly hypervisor: Hypervisor;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly log: Log;
}

export async function startEngine({ hypervisor, stores, clock, log }: EngineOptions): Promise<Engine> {
  const { intents, journal, inventory } = stores;
  const hub = createEventHub(journal, clock, log);
  const followers = new Map<string, HostFollower>();
  const closing = new AbortController();
  const told = new Map<string, string>();
  let gathering = false;
  let fleet: readonly Vm[] | undefined;
  const kept = await openKeptInstances(intents, clock);
  const volumes = createVolumes({ intents, clock, log });
  const policies = await openPolicies(intents, clock);
  const clusters = await openClusters(intents, policies);
  const members = (): readonly Host[] => [...followers.values()].map((each) => each.host());
  const clusterViews = (): readonly ClusterView[] =>
    [...clusters.all(members()).values()].map((cluster) => ({ cluster, hosts: members().filter((each) => each.cluster === cluster.name).map(({ name }) => name).sort() }));

  const hosts = (): readonly HostView[] => [...followers.values()].map((each) => each.view()).sort((a, b) => (a.host.name < b.host.name ? -1 : 1));
  const vms = (): readonly Vm[] =>
    (fleet ??= vmsOf([...followers.values()].map((each) => ({ host: each.host(), state: each.view().state, instances: each.instances() })), migrations.active(), kept.parked()));
  const host = (ref: string): HostView => resolve(hosts(), ref, { kind: 'host', id: (view) => view.host.id, name: (view) => view.host.name, describe: (view) => view.host.name });
  const hostNameOf = (id: string): string => followers.get(id)?.host().name ?? id;
  const vm = (ref: string): Vm =>
    resolve(vms(), ref, { kind: 'vm', id: ({ uuid }) => uuid, name: ({ name }) => name, describe: (each) => `${each.uuid} (${each.name} on ${hostNameOf(each.hostId)})` });
  const vmCountOf = (id: string): number => vms().filter((each) => each.hostId === id).length;

  const tellVms = (): void => {
    fleet = undefined;
    const now = new Map(vms().map((each) => [each.uuid as string, each]));
    for (const [uuid, each] of now) {
      const text = JSON.stringify(each);
      if (told.get(uuid) === text) continue;
      told.set(uuid, text);
      hub.publish({ type: 'vm', vm: each });
    }
    for (const [uuid, text] of told) {
      if (now.has(uuid)) continue;
      told.delete(uuid);
      hub.publish({ type: 'vm-removed', uuid, name: (JSON.parse(text) as Vm).name });
    }
  };

  const fleetChanged = (): void => {
    fleet = undefined;
    if (gathering) return;
    gathering = true;
    void gather().catch((error: unknown) => {
      gathering = false;
      if (!closing.signal.aborted) log.error({ err: error }, 'changes of VMs could not be told');
    });
  };

  const gather = async (): Promise<void> => {
    await clock.sleep(gatherMs, closing.signal);
    gathering = false;
    for (const each of followers.values()) if (each.view().state === 'connected') await kept.seen(each.host().id, each.instances());
    tellVms();
    twoCopies.look(vms());
    await Promise.all([...followers.values()].map((each) => saveInventory(each)));
  };

  const saveInventory = async (follower: HostFollower): Promise<void> => {
    const { facts, state } = follower.view();
    if (state === 'connected') await inventory.save(follower.host().id, { ...(facts === undefined ? {} : { facts }), instances: follower.instances() });
  };

  const clusterOf = (id: string): Cluster | undefined => clusters.all(members()).get(followerOf(id).host().cluster);
  const followerOf = (id: string): HostFollower => {
    const follower = followers.get(id);
    if (follower === undefined) throw new FerryError('host-unknown', `There is no host with the id ${id}.`);
    return follower;
  };

  /** An address that was just given has to be in the migration network. */
  const fitsItsCluster = (changed: Host, { migrationAddress }: HostSettings): void => {
    const network = clusters.all([changed]).get(changed.cluster)?.migrationNetwork;
    if (migrationAddress === undefined || migrationAddress === '' || network === undefined || isInNetwork(migrationAddress, network)) return;
    throw new FerryError('request-invalid', `${migrationAddress} is not in ${network}, the migration network of the cluster ${changed.cluster}.`);
  };

  const follow = (added: Host, link?: HostLink, cached?: Parameters<typeof followHost>[2]): void => {
    const follower = followHost(added, link, cached, {
      hypervisor,
      clock,
      log,
      events: {
        changed: () => {
          fleet = undefined;
          hub.publish({ type: 'host', host: follower.view(), vms: vmCountOf(added.id) });
        },
        instancesChanged: fleetChanged,
        domainTouched: (uuid) => keeper.touch(added.id, uuid),
        switching: (uuid, what) => migrations.switching(uuid, what),
      },
    });
    followers.set(added.id, follower);
  };

  const twoCopies = watchTwoCopies({
    clock,
    log,
    linkOf: (id) => followerOf(id).link(),
    hostNameOf,
    suspends: (each) => policies.resolve({}, each.uuid, clusterOf(each.hostId)).twoCopies === 'suspend-both',
    alarm: (each, message) => {
      log.error({ vm: each.name }, message);
      hub.publish({ type: 'alarm', code: 'vm-two-copies', vm: each.name, message });
    },
    again: fleetChanged,
    signal: closing.signal,
  });
  const keeper = keepDefinitions({ inventory, clock, log, linkOf: (id) => followerOf(id).link() });
  const installation = await installationOf(stores, clock);
  const migrations = createMigrations({
    intents,
    journal,
    clock,
    log,
    installation,
    volumes,
    kept,
    stored: (uuid, host) => inventory.definition(uuid, host),
    hypervisor,
    rewriteDefinition: (xml, plan) => hypervisor.rewriteDefinition(xml, plan),
    peers: createPeers(intents, clock),
    policies,
    clusters: () => clusters.all(members()),
    fleet: { hosts, vm, vmByUuid: (uuid) => vms().find((each) => each.uuid === uuid) },
    linkOf: (id) => followerOf(id).link(),
    uriOf: (id) => followerOf(id).host().uri,
    refresh: async (migration, signal) => {
      const both = [followers.get(migration.from.id), followers.get(migration.to?.id ?? '')].filter((each) => each !== undefined);
      await Promise.all(both.map((each) => each.refresh(migration.vm.uuid, signal)));
    },
    changed: (migration, kept) => {
      hub.publish({ type: 'migration', migration }, { keep: kept });
      if (kept) fleetChanged();
      if (isFinished(migration)) void outside.forget().catch((error: unknown) => log.warn({ err: error }, 'a host outside of the fleet stays known'));
    },
  });

  /** The host at this URI and its open connection; one that is known already comes without. */
  const reach = async (uri: string, signal: AbortSignal): Promise<{ readonly known: HostView } | { readonly link: HostLink; readonly facts: HostFacts }> => {
    const byUri = hosts().find((each) => each.host.uri === uri);
    if (byUri !== undefined) return { known: byUri };
    const link = await hypervisor.connect(uri, signal);
    try {
      const { freeMemoryBytes: _, ...facts } = await link.inventory.facts(signal);
      const known = hosts().find((each) => each.host.machineUuid === facts.machineUuid);
      if (known === undefined) return { link, facts };
      await link.close();
      return { known };
    } catch (error) {
      await link.close();
      throw error;
    }
  };

  /** Stores the host and begins to follow it. The connection is closed when that fails. */
  const enrol = async (uri: string, { link, facts }: { readonly link: HostLink; readonly facts: HostFacts }, { name = facts.hostname, cluster = defaultCluster, migrationAddress = '', outside }: HostSettings & { readonly name?: string; readonly outside?: true }, signal: AbortSignal): Promise<HostView> => {
    try {
      const added: Host = {
        id: hostId(`h${clock.randomText(9)}`), name, uri, cluster, ...(migrationAddress === '' ? {} : { migrationAddress }), machineUuid: facts.machineUuid, addedAt: clock.now(), ...(outside === undefined ? {} : { outside }),
      };
      fitsItsCluster(added, { migrationAddress });
      if (hosts().some((each) => each.host.name === added.name)) throw new FerryError('host-name-taken', `There is already a host named ${added.name}.`);
      const written = await intents.commit([
        { op: 'put', key: machinePrefix + added.machineUuid, value: added.id, ifRevision: 0 },
        { op: 'put', key: hostPrefix + added.id, value: added, ifRevision: 0 },
      ]);
      if ('conflict' in written) throw new FerryError('host-duplicate', `${uri} leads to a host that is already there.`);
      follow(added, link);
      await connected(new Map([[added.id, followerOf(added.id)]]), clock, signal);
      return followerOf(added.id).view();
    } catch (error) {
      await link.close();
      throw error;
    }
  };

  const removeHost = async (ref: string): Promise<void> => {
    const { host: removed } = host(ref);
    const busy = migrations.active().filter(({ from, to }) => from.id === removed.id || to?.id === removed.id);
    if (busy.length > 0) throw new FerryError('host-in-use', `${removed.name} takes part in ${busy.length} running migration(s): ${busy.map(({ id }) => id).join(', ')}.`);
    await intents.commit([
      { op: 'delete', key: hostPrefix + removed.id },
      { op: 'delete', key: machinePrefix + removed.machineUuid },
    ]);
    const follower = followerOf(removed.id);
    followers.delete(removed.id);
    await follower.stop();
    await inventory.remove(removed.id);
    hub.publish({ type: 'host-removed', host: removed.name });
    fleetChanged();
  };

  const outside = outsideHosts({
    reach,
    enrol: (uri, found, signal) => {
      const { hostname } = found.facts;
      const name = hosts().some((each) => each.host.name === hostname) ? `${hostname}-${clock.randomText(4)}` : hostname;
      return enrol(uri, found, { name, cluster: outsideCluster, outside: true }, signal);
    },
    hosts,
    active: () => migrations.active(),
    forget: removeHost,
  });

  const cached = await inventory.load();
  for (const { value } of await intents.list(hostPrefix)) {
    // stored by a version that knew no clusters
    const stored = { cluster: defaultCluster, ...(value as Omit<Host, 'cluster'>) };
    follow(stored, undefined, cached.get(stored.id));
  }
  await connected(followers, clock, closing.signal);
  await migrations.recover();
  await outside.forget();
  for (const kind of ['event', 'sample', 'inspection']) await journal.prune(kind, clock.now() - eventsKeptMs);

  return {
    hosts,
    host,
    hostNameOf,
    vmCountOf,
    vms,
    vm,
    migrations: (query) => migrations.list(query),
    migration: (ref) => migrations.find(ref),
    planMigration: (request, signal) => migrations.plan(request, signal),
    startMigration: (request, by) => migrations.start(request, by),
    abortMigration: (ref) => migrations.abort(ref),
    startPostCopy: (ref, signal) => migrations.startPostCopy(ref, signal),
    pauseMigration: (ref) => migrations.pause(ref),
    policies: { ...policies, remove: (name) => policies.remove(name, clusters.all(members()).values()) },
    async labelVm(ref, { add, remove }) {
      const { uuid } = vm(ref);
      await policies.label(uuid, [...policies.labelsOf(uuid).filter((label) => !remove.includes(label)), ...add]);
      return vm(uuid);
    },
    migrationSamples: (ref) => migrations.samples(ref),
    inspection: (ref) => migrations.inspection(ref),
    settling: createSettle({
      vm,
      hostNameOf,
      hostIdOf: (ref) => host(ref).host.id,
      linkOf: (id) => followerOf(id).link(),
      answers: (id) => followers.get(id)?.view().state === 'connected',
      active: () => migrations.active(),
      migrationsOf: async (uuid) => (await migrations.list({ vm: uuid, state: 'finished' })),
      leftovers: () => volumes.leftovers(),
      purge: (record, signal) => volumes.purge(record, followerOf(record.host).link().storage, signal),
      refresh: async (id, { uuid }, signal) => followerOf(id).refresh(uuid, signal),
    }),
    async announceVm(ref, signal) {
      const found = vm(ref);
      await followerOf(found.hostId).link().migration.announce(found.uuid, signal);
      return found;
    },
    tuneMigration: (ref, limits, signal) => migrations.tune(ref, limits, signal),
    leftovers: () => volumes.leftovers(),
    async purgeLeftover(hostRef, path, signal) {
      const { host: at } = host(hostRef);
      const record = (await volumes.leftovers()).find((each) => each.host === at.id && each.path === path);
      if (record === undefined) throw new FerryError('volume-unknown', `Ferry left nothing at ${path} on ${at.name}.`);
      const busy = migrations.active().find(({ vm: { uuid } }) => uuid === record.vm.uuid);
      if (busy !== undefined) throw new FerryError('vm-already-migrating', `${record.vm.name} is being moved by migration ${busy.id}.`);
      const user = vms().find((each) => each.hostId === at.id && each.disks.some(({ source }) => source === path));
      if (user !== undefined) throw new FerryError('volume-changed', `${path} on ${at.name} is a disk of ${user.name} there.`);
      await volumes.purge(record, followerOf(at.id).link().storage, signal);
      return record;
    },
    clusters: clusterViews,
    async putCluster(cluster) {
      const { name } = await clusters.put(cluster);
      return clusterViews().find((each) => each.cluster.name === name) ?? { cluster, hosts: [] };
    },
    removeCluster: (name) => clusters.remove(name, members()),
    async changeHost(ref, settings) {
      const { host: before } = host(ref);
      const { migrationAddress: _, ...rest } = before;
      const migrationAddress = settings.migrationAddress ?? before.migrationAddress;
      const changed: Host = { ...rest, cluster: settings.cluster ?? before.cluster, ...(migrationAddress === undefined || migrationAddress === '' ? {} : { migrationAddress }) };
      fitsItsCluster(changed, settings);
      await intents.commit([{ op: 'put', key: hostPrefix + changed.id, value: changed }]);
      const follower = followerOf(changed.id);
      follower.change(changed);
      hub.publish({ type: 'host', host: follower.view(), vms: vmCountOf(changed.id) });
      return follower.view();
    },
    async addHost({ uri, name, ...settings }, signal) {
      const found = await reach(uri, signal);
      if ('known' in found) throw new FerryError('host-duplicate', `${uri} leads to host ${found.known.host.name}, which was added as ${found.known.host.uri}.`);
      return enrol(uri, found, { ...settings, ...(name === undefined ? {} : { name }) }, signal);
    },
    removeHost,
    withOutside: (uri, signal, use) => outside.with(uri, signal, use),
    async *watchMigration(ref, signal) {
      const done = new AbortController();
      const events = hub.subscribe(undefined, AbortSignal.any([signal, done.signal]))[Symbol.asyncIterator]();
      try {
        let next = events.next();
        let last: Migration = await migrations.find(ref);
        yield last;
        while (last.outcome === undefined) {
          const { value, done: over } = await next;
          if (over === true) return;
          next = events.next();
          if (value.event.type === 'reset') last = await migrations.find(last.id);
          else if (value.event.type === 'migration' && value.event.migration.id === last.id) last = value.event.migration;
          else continue;
          yield last;
        }
      } finally {
        done.abort(new Error('watch over'));
      }
    },
    events: (afterSeq, signal) => hub.subscribe(afterSeq, signal),
    async close() {
      closing.abort(new Error('the control plane stops'));
      await keeper.stop();
      await migrations.stop();
      await Promise.all([...followers.values()].map((each) => each.stop()));
      await hub.flush();
    },
  };
}

/** Waits a little for the first answer of each host, so that what follows meets a fleet that is known. */
async function connected(followers: ReadonlyMap<string, HostFollower>, clock: Clock, signal: AbortSignal): Promise<void> {
  const deadline = clock.now() + recoverPatienceMs;
  while (clock.now() < deadline && [...followers.values()].some((each) => each.view().state === 'connecting')) await clock.sleep(10, signal);
}

async function installationOf({ intents }: Stores, clock: Clock): Promise<string> {
  const kept = await intents.get('installation');
  if (kept !== undefined) return String(kept.value);
  const made = clock.randomText(16);
  await intents.commit([{ op: 'put', key: 'installation', value: made, ifRevision: 0 }]);
  return made;
}
