/**
 * Puts the engine together: hosts with their followers, the fleet as VMs, the migrations, and the events about all of
 * them. It owns no rule (core) and no driver (adapters).
 */
import { FerryError, isFinished, type Cluster, type Migration } from '@ferry/core';
import { createEventHub } from './events/event-hub.ts';
import type { Engine } from './facade.ts';
import { keepDefinitions } from './fleet/definition-archive.ts';
import { outsideHosts } from './fleet/external-hosts.ts';
import { createRoster } from './fleet/hosts.ts';
import { openKeptInstances } from './fleet/kept-instances.ts';
import { createPeers } from './fleet/peer-reachability.ts';
import { createSettle } from './fleet/settle.ts';
import { watchTwoCopies } from './fleet/split-brain.ts';
import { pageOfVms } from './fleet/vm-list.ts';
import { createFleet } from './fleet/vms.ts';
import { createCarriedFiles } from './migration/effects/carried-files.ts';
import { createVolumes } from './migration/effects/volumes.ts';
import { createMigrations } from './migration/migrations.ts';
import { createSharing } from './planning/sharing.ts';
import type { Clock, Hypervisor, Log, Stores } from './ports/ports.ts';
import { openClusters, type ClusterView } from './settings/clusters.ts';
import { openPolicies } from './settings/policies.ts';
import { createLeftovers } from './migration/leftovers.ts';
import { collection, text } from './state/collection.ts';
import { createFirstAnswers } from './state/first-answers.ts';
import { createRecords } from './state/ownership.ts';

const eventsKeptMs = 7 * 24 * 3_600_000;
const pruneEveryMs = 3_600_000;

export interface EngineOptions {
  readonly hypervisor: Hypervisor;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the first answers of the hosts are not worth waiting for any more. */
  readonly hurry?: AbortSignal;
}

export async function startEngine({ hypervisor, stores, clock, log, hurry }: EngineOptions): Promise<Engine> {
  const { intents, journal, inventory } = stores;
  const hub = createEventHub(journal, clock, log);
  const closing = new AbortController();
  const firstAnswers = createFirstAnswers(intents, log);
  const kept = await openKeptInstances(intents, clock, (vm) => fleet.changed([vm]));
  const records = createRecords(intents);
  const sharing = createSharing({ intents, clock, log });
  const volumes = createVolumes({ records, clock, log, sharing });
  const following = { clock, log, signal: closing.signal };
  const policies = await openPolicies(intents, following, {
    policy: (name, policy, revision) =>
      hub.publish(
        policy === undefined ? { type: 'policy-removed', policy: name } : { type: 'policy', policy, revision },
      ),
    binding: (label, policy) =>
      hub.publish({ type: 'policy-binding', label, ...(policy === undefined ? {} : { policy }) }),
    labels: (vm) => fleet.changed([vm]),
  });
  const clusters = await openClusters(intents, policies, following, (name) => {
    const view = clusterViews().find(({ cluster }) => cluster.name === name);
    hub.publish(view === undefined ? { type: 'cluster-removed', cluster: name } : { type: 'cluster', ...view });
    migrations.lookAgain();
  });
  const active = (): readonly Migration[] => migrations.active();
  const roster = createRoster({
    hypervisor,
    stores,
    clock,
    log,
    clusters,
    active,
    events: {
      changed: (view) => {
        const { id } = view.host;
        fleet.changed([], id);
        hub.publish({ type: 'host', host: view, vms: fleet.countOn(id), revision: roster.revisionOf(id) });
        migrations.lookAgain();
      },
      removed: ({ id, name }, vms) => {
        hub.publish({ type: 'host-removed', host: name });
        fleet.changed(vms, id);
      },
      instancesChanged: (id, vms) => fleet.changed(vms, id),
      domainTouched: (id, uuid) => keeper.touch(id, uuid),
      switching: (uuid, what) => migrations.switching(uuid, what),
    },
  });
  const fleet = createFleet({
    roster,
    kept,
    inventory,
    labelsOf: (vm) => policies.labelsOf(vm),
    labelsRevisionOf: (vm) => policies.labelsRevisionOf(vm),
    hub,
    clock,
    log,
    active,
    seen: (vms) => twoCopies.look(vms),
    signal: closing.signal,
  });
  const clusterOf = (id: string): Cluster | undefined =>
    clusters.all(roster.members()).get(roster.followerOf(id).host().cluster);
  const clusterViews = (): readonly ClusterView[] =>
    [...clusters.all(roster.members()).values()].map((cluster) => ({
      cluster,
      revision: clusters.revisionOf(cluster.name),
      hosts: roster
        .members()
        .filter((each) => each.cluster === cluster.name)
        .map(({ name }) => name)
        .sort(),
    }));

  const twoCopies = watchTwoCopies({
    clock,
    log,
    linkOf: (id) => roster.linkOf(id),
    hostNameOf: (id) => roster.nameOf(id),
    suspends: (each) => policies.resolve({}, each.uuid, clusterOf(each.hostId)).twoCopies === 'suspend-both',
    alarm: (each, message) => {
      log.error({ vm: each.name }, message);
      hub.publish({ type: 'alarm', code: 'vm-two-copies', vm: each.name, message });
    },
    again: () => fleet.lookAgain(),
    signal: closing.signal,
  });
  const keeper = keepDefinitions({ inventory, clock, log, linkOf: (id) => roster.linkOf(id) });
  const installation = await installationOf(stores, clock);
  const migrations = createMigrations({
    intents,
    journal,
    clock,
    log,
    installation,
    volumes,
    sharing,
    records,
    carried: createCarriedFiles({ records, clock, log }),
    machineOf: (id) => roster.follower(id)?.host().machineUuid ?? '',
    kept,
    stored: (uuid, host) => inventory.definition(uuid, host),
    hypervisor,
    rewriteDefinition: (xml, plan) => hypervisor.rewriteDefinition(xml, plan),
    identityOfDefinition: (xml) => hypervisor.identityOfDefinition(xml),
    peers: createPeers(intents, clock),
    policies,
    labelsOf: (vm) => policies.labelsOf(vm),
    clusters: () => clusters.all(roster.members()),
    fleet: {
      hosts: () => roster.hosts(),
      vms: () => fleet.all(),
      vm: (ref) => fleet.find(ref),
      vmByUuid: (uuid) => fleet.get(uuid),
      instancesOn: (id) => roster.follower(id)?.instances() ?? [],
    },
    linkOf: (id) => roster.linkOf(id),
    uriOf: (id) => roster.followerOf(id).host().uri,
    refresh: async (uuid, hosts, signal) => {
      await Promise.all(hosts.map(async (id) => roster.follower(id)?.refresh(uuid, signal)));
    },
    changed: (migration, kept) => {
      hub.publish({ type: 'migration', migration }, { keep: kept });
      if (kept) fleet.changed([migration.vm.uuid]);
      if (isFinished(migration))
        void outside
          .forget()
          .catch((error: unknown) => log.warn({ err: error }, 'a host outside the fleet could not be forgotten'));
    },
  });

  const leftovers = createLeftovers({ volumes, roster, vms: () => fleet.all(), active });
  const outside = outsideHosts({ roster, clock, active });

  await roster.open(hurry ?? closing.signal);
  await migrations.recover();
  // their VMs were read before they were known
  fleet.changed(active().map(({ vm }) => vm.uuid));
  await outside.forget();
  const prune = async (): Promise<void> => {
    for (const kind of ['event', 'sample', 'inspection']) await journal.prune(kind, clock.now() - eventsKeptMs);
  };
  const pruneRegularly = async (): Promise<void> => {
    for (;;) {
      await clock.sleep(pruneEveryMs, closing.signal);
      // a full disk passes
      await prune().catch((error: unknown) => log.warn({ err: error }, 'old journal entries could not be pruned'));
    }
  };
  await prune();
  void pruneRegularly().catch(() => undefined);

  return {
    hosts: () => roster.hosts(),
    host: (ref) => roster.host(ref),
    hostNameOf: (id) => roster.nameOf(id),
    once: (asked, make, again) => firstAnswers.once(asked, make, again),
    addHost: (request, signal, along) => roster.add(request, signal, along),
    changeHost: (ref, settings, expected) => roster.change(ref, settings, expected),
    removeHost: (ref, expected) => roster.remove(ref, expected),
    hostRevisionOf: (id) => roster.revisionOf(id),
    vmCountOf: (id) => fleet.countOn(id),
    vms: () => fleet.all(),
    vmPage: (filter, page) =>
      pageOfVms(filter, page, {
        index: fleet,
        host: (ref) => roster.host(ref),
        hosts: () => roster.hosts(),
        isCluster: (name) => clusters.all(roster.members()).has(name),
        labelsOf: (vm) => policies.labelsOf(vm),
        labelled: (selector) => policies.labelled(selector),
      }),
    vm: (ref) => fleet.find(ref),
    migrations: (query) => migrations.list(query),
    migration: (ref) => migrations.find(ref),
    planMigration: (request, signal) => migrations.plan(request, signal),
    startMigration: (request, by, along) => migrations.start(request, by, along),
    abortMigration: (ref, expected) => migrations.abort(ref, expected),
    startPostCopy: (ref, expected) => migrations.startPostCopy(ref, expected),
    pauseMigration: (ref, expected) => migrations.pause(ref, expected),
    policies: {
      ...policies,
      remove: (name, expected) => policies.remove(name, () => clusters.stored(), expected),
    },
    async labelVm(ref, change, expected) {
      const vm = fleet.find(ref);
      await policies.label(vm, change, expected);
      fleet.changed([vm.uuid]);
      return fleet.find(vm.uuid);
    },
    migrationSamples: (ref) => migrations.samples(ref),
    inspection: (ref) => migrations.inspection(ref),
    settling: createSettle({
      clock,
      vm: (ref) => fleet.find(ref),
      hostNameOf: (id) => roster.nameOf(id),
      hostIdOf: (ref) => roster.host(ref).host.id,
      linkOf: (id) => roster.linkOf(id),
      answers: (id) => roster.follower(id)?.view().state === 'connected',
      active,
      migrationsOf: async (uuid) => (await migrations.list({ vm: uuid, state: 'finished' })).items,
      leftovers: () => leftovers.list(),
      purge: (record, signal) => leftovers.purge(record, signal),
      refresh: async (id, { uuid }, signal) => roster.followerOf(id).refresh(uuid, signal),
      kept,
    }),
    async announceVm(ref, signal) {
      const found = fleet.find(ref);
      if (found.state === 'shut-off' || found.state === 'crashed')
        throw new FerryError(
          'vm-not-running',
          `${found.name} does not run (on ${roster.nameOf(found.hostId)}): only a running guest can be announced.`,
        );
      await roster.linkOf(found.hostId).guest.announce(found.uuid, signal);
      return found;
    },
    tuneMigration: (ref, limits, expected) => migrations.tune(ref, limits, expected),
    leftovers: () => leftovers.list(),
    purgeLeftover: (hostRef, path, signal) => leftovers.purgeAt(hostRef, path, signal),
    clusters: clusterViews,
    async changeCluster(name, change, expected) {
      const cluster = await clusters.change(name, change, expected);
      return clusterViews().find((each) => each.cluster.name === name) ?? { cluster, hosts: [], revision: 0 };
    },
    removeCluster: (name, expected) => clusters.remove(name, () => roster.stored(), expected),
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
          else if (value.event.type === 'migration' && value.event.migration.id === last.id)
            last = value.event.migration;
          else continue;
          yield last;
        }
      } finally {
        done.abort(new Error('watch over'));
      }
    },
    events: (after, signal) => hub.subscribe(after, signal),
    eventPlace: () => hub.place(),
    eventRun: hub.run,
    async close() {
      closing.abort(new Error('the control plane stops'));
      await keeper.stop();
      await migrations.stop();
      await roster.stop();
      await fleet.flush();
      await hub.flush();
    },
  };
}

async function installationOf({ intents }: Stores, clock: Clock): Promise<string> {
  const own = collection(intents, '', text);
  const { value = '' } = await own.change('installation', (before) => before?.value ?? clock.randomText(16));
  return value;
}
