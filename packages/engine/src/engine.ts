/**
 * Puts the engine together: hosts with their followers, the fleet as VMs, the migrations, and the events about all of
 * them. It owns no rule (core) and no driver (adapters).
 */
import {
  clusterWithoutHosts,
  cordoned,
  defaultCluster,
  isClosing,
  isFinished,
  refuseAnnouncing,
  uncordoned,
  type Cluster,
  type HostView,
  type Migration,
} from '@ferry/core';
import { createBatches } from './batch/batches.ts';
import { drainLabelledHosts } from './batch/labelled.ts';
import { createEventHub } from './events/event-hub.ts';
import type { Engine } from './facade.ts';
import { keepDefinitions } from './fleet/definition-archive.ts';
import { cpuBaseline } from './fleet/cpu-baseline.ts';
import { diagnose } from './fleet/doctor.ts';
import { externalHosts } from './fleet/external-hosts.ts';
import { createKnownHosts } from './fleet/hosts.ts';
import { openKeptInstances } from './fleet/kept-instances.ts';
import { createPeers } from './fleet/peer-reachability.ts';
import { createSettle } from './fleet/settle.ts';
import { watchTwoCopies } from './fleet/split-brain.ts';
import { pageOfVms } from './fleet/vm-list.ts';
import { createFleet } from './fleet/vms.ts';
import { createCarriedFiles } from './migration/effects/carried-files.ts';
import { createVolumes } from './migration/effects/volumes.ts';
import { noHooks } from './hooks/call-hook.ts';
import { createMigrations } from './migration/migrations.ts';
import { createDirtyCurves } from './planning/dirty-curves.ts';
import { openMarkers } from './planning/markers.ts';
import { createSharing } from './planning/sharing.ts';
import type { Clock, HookCaller, Hypervisor, Log, Stores } from './ports/ports.ts';
import { createRollouts } from './rollout/rollouts.ts';
import { openClusters, type ClusterView } from './settings/clusters.ts';
import { createConfiguration } from './settings/configuration.ts';
import { openFleetSettings } from './settings/fleet-settings.ts';
import { openPolicies } from './settings/policies.ts';
import { openRules } from './settings/rules.ts';
import { createLeftovers } from './migration/leftovers.ts';
import { collection, expectRevision, text } from './state/collection.ts';
import { createFirstAnswers } from './state/first-answers.ts';
import { createRecords } from './state/ownership.ts';
import { recordedFleet } from './fleet/recorded-fleet.ts';
import { openReservations } from './state/reservations.ts';

const eventsKeptMs = 7 * 24 * 3_600_000;
const pruneEveryMs = 3_600_000;

export interface EngineOptions {
  readonly hypervisor: Hypervisor;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly log: Log;
  readonly hooks?: HookCaller;
  /** Aborts when the first answers of the hosts are not worth waiting for any more. */
  readonly hurry?: AbortSignal;
}

export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { hypervisor, stores, clock, log, hurry, hooks = noHooks } = options;
  const { intents, journal, inventory } = stores;
  const hub = createEventHub(journal, clock, log);
  const closing = new AbortController();
  const firstAnswers = createFirstAnswers(intents, log);
  const kept = await openKeptInstances(intents, clock, (vm) => fleet.changed([vm]));
  const records = createRecords(intents);
  const markers = await openMarkers({ intents, clock, log, signal: closing.signal });
  const sharing = createSharing({ intents, markers, clock });
  const curves = createDirtyCurves({ clock });
  const peers = createPeers(intents, clock);
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
  const fleetSettings = await openFleetSettings(intents, following, (view) => {
    hub.publish({ type: 'fleet', ...view });
    migrations.lookAgain();
  });
  const reservations = await openReservations(intents, following, () => migrations.lookAgain());
  const active = (): readonly Migration[] => migrations.active();
  const publishHost = (host: HostView): void => {
    const { id } = host.host;
    const attention = labelled.attentionOf(id);
    hub.publish({
      type: 'host',
      host,
      vms: fleet.countOn(id),
      revision: knownHosts.revisionOf(id),
      ...(attention === undefined ? {} : { attention }),
    });
  };
  const knownHosts = createKnownHosts({
    hypervisor,
    stores,
    clock,
    log,
    clusters,
    active,
    leaving: async ({ id, name, machineUuid }) => {
      for (const { uuid, instances } of fleet.on(id)) {
        // where only a definition was kept here, too, it is elsewhere
        if (kept.isParked(uuid, id)) continue;
        for (const { hostId } of instances)
          if (hostId !== id && kept.isParked(uuid, hostId)) await kept.goes(uuid, hostId, { name, machineUuid });
      }
      // whoever removes it to add it again means that they share other storage now, or that it is reached
      await sharing.forget(id);
      await peers.forget(id);
    },
    events: {
      changed: (view) => {
        const { id, name, machineUuid } = view.host;
        if (view.state === 'connected')
          void markers.sweep({ name, machine: machineUuid, paths: knownHosts.linkOf(id).paths });
        fleet.changed([], id);
        publishHost(view);
        rollouts.hostChanged(view);
        labelled.hostChanged(view);
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
    knownHosts,
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
  const rules = await openRules(
    intents,
    {
      vms: () => fleet.all(),
      vmByUuid: (uuid) => fleet.get(uuid),
      vmsNamed: (name) => fleet.named(name),
      labelsOf: (vm) => policies.labelsOf(vm),
      labelled: (selector) => policies.labelled(selector),
      hosts: () => knownHosts.hosts(),
    },
    following,
    (name, rule) => hub.publish(rule === undefined ? { type: 'rule-removed', rule: name } : { type: 'rule', rule }),
  );
  const clusterOf = (id: string): Cluster | undefined =>
    clusters.all(knownHosts.members()).get(knownHosts.followerOf(id).host().cluster);
  const clusterViews = (): readonly ClusterView[] =>
    [...clusters.all(knownHosts.members()).values()].map((cluster) => ({
      cluster,
      revision: clusters.revisionOf(cluster.name),
      hosts: knownHosts
        .members()
        .filter((each) => each.cluster === cluster.name)
        .map(({ name }) => name)
        .sort(),
    }));

  const twoCopies = watchTwoCopies({
    clock,
    log,
    linkOf: (id) => knownHosts.linkOf(id),
    hostNameOf: (id) => knownHosts.nameOf(id),
    suspends: (each) => policies.resolve({}, each.uuid, clusterOf(each.hostId)).twoCopies === 'suspend-both',
    isClosing: (id) => active().some((each) => each.id === id && isClosing(each)),
    alarm: (each, message) => {
      log.error({ vm: each.name }, message);
      hub.publish({ type: 'alarm', code: 'vm-two-copies', vm: each.name, message });
    },
    again: () => fleet.lookAgain(),
    signal: closing.signal,
  });
  const keeper = keepDefinitions({ inventory, clock, log, linkOf: (id) => knownHosts.linkOf(id) });
  const installation = await installationOf(stores, clock);
  const migrations = createMigrations({
    intents,
    journal,
    reservations,
    storedHost: (id) => knownHosts.storedHost(id),
    settings: {
      clusterOf: (id) => clusters.get(knownHosts.follower(id)?.host().cluster ?? defaultCluster),
      fleet: () => fleetSettings.view().settings,
    },
    clock,
    log,
    installation,
    hooks,
    volumes,
    sharing,
    records,
    carried: createCarriedFiles({ records, clock, log, sharing }),
    machineOf: (id) => knownHosts.follower(id)?.host().machineUuid ?? '',
    kept,
    stored: (uuid, host) => inventory.definition(uuid, host),
    hypervisor,
    rewriteDefinition: (xml, plan) => hypervisor.rewriteDefinition(xml, plan),
    identityOfDefinition: (xml) => hypervisor.identityOfDefinition(xml),
    peers,
    curves,
    policies,
    rules,
    labelsOf: (vm) => policies.labelsOf(vm),
    clusters: () => clusters.all(knownHosts.members()),
    fleet: {
      hosts: () => knownHosts.hosts(),
      vms: () => fleet.all(),
      vm: (ref) => fleet.find(ref),
      vmByUuid: (uuid) => fleet.get(uuid),
      instancesOn: (id) => knownHosts.follower(id)?.instances() ?? [],
    },
    linkOf: (id) => knownHosts.linkOf(id),
    uriOf: (id) => knownHosts.followerOf(id).host().uri,
    refresh: async (uuid, hosts, signal) => {
      await Promise.all(hosts.map(async (id) => knownHosts.follower(id)?.refresh(uuid, signal)));
    },
    changed: (migration, kept) => {
      hub.publish({ type: 'migration', migration }, { keep: kept });
      batches.changed(migration);
      if (kept) fleet.changed([migration.vm.uuid]);
      if (isFinished(migration))
        void external
          .forget()
          .catch((error: unknown) => log.warn({ err: error }, 'a host outside the fleet could not be forgotten'));
    },
  });

  const batches = createBatches({
    intents,
    clock,
    log,
    knownHosts,
    fleet,
    labelsOf: (vm) => policies.labelsOf(vm),
    clusterOf: (id) => clusters.get(knownHosts.follower(id)?.host().cluster ?? defaultCluster),
    policyOf: (uuid) => {
      const vm = fleet.get(uuid);
      const cluster = vm === undefined ? undefined : knownHosts.follower(vm.hostId)?.host().cluster;
      return cluster === undefined ? undefined : policies.resolve({}, uuid, clusters.get(cluster));
    },
    curves,
    migrations,
    isNeeded: (id) => rollouts.needs(id),
    published: (batch, revision) => hub.publish({ type: 'batch', batch, revision }),
  });
  const rollouts = createRollouts({
    intents,
    clock,
    log,
    hooks,
    knownHosts,
    batches,
    published: (rollout, revision) => hub.publish({ type: 'rollout', rollout, revision }),
  });
  const labelled = drainLabelledHosts({
    intents,
    clock,
    log,
    knownHosts,
    batches,
    refuseOn: (id) => rollouts.refuseOn(id),
    said: publishHost,
  });
  const leftovers = createLeftovers({ volumes, knownHosts, vms: () => fleet.all(), active });
  const external = externalHosts({ knownHosts, clock, active });

  await knownHosts.open(hurry ?? closing.signal);
  await migrations.recover();
  // their VMs were read before they were known
  fleet.changed(active().map(({ vm }) => vm.uuid));
  await batches.recover();
  await rollouts.recover();
  await labelled.recover();
  await external.forget();
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
    hosts: () => knownHosts.hosts(),
    host: (ref) => knownHosts.host(ref),
    hostNameOf: (id) => knownHosts.nameOf(id),
    once: (asked, make, again) => firstAnswers.once(asked, make, again),
    addHost: (request, signal, along) => knownHosts.add(request, signal, along),
    changeHost: (ref, settings, expected) => knownHosts.change(ref, settings, expected),
    async cordonHosts(refs, expected) {
      await knownHosts.serve(refs, (host, revision) => {
        expectRevision(`The host ${host.name}`, revision, expected);
        return cordoned(host, clock.now());
      });
      return refs.map((ref) => knownHosts.host(ref));
    },
    async uncordonHosts(refs, expected) {
      await knownHosts.serve(refs, (host, revision) => {
        expectRevision(`The host ${host.name}`, revision, expected);
        rollouts.refuseOn(host.id);
        return uncordoned(host);
      });
      return refs.map((ref) => knownHosts.host(ref));
    },
    batches: {
      ...batches,
      restore: async (ref, by, along) => {
        rollouts.refuseOn(knownHosts.host(ref).host.id);
        return batches.restore(ref, by, along);
      },
    },
    rollouts,
    removeHost: (ref, expected) => knownHosts.remove(ref, expected),
    hostRevisionOf: (id) => knownHosts.revisionOf(id),
    vmCountOf: (id) => fleet.countOn(id),
    hostAttentionOf: (id) => labelled.attentionOf(id),
    vms: () => fleet.all(),
    vmPage: (filter, page) =>
      pageOfVms(filter, page, {
        index: fleet,
        host: (ref) => knownHosts.host(ref),
        hosts: () => knownHosts.hosts(),
        isCluster: (name) => clusters.all(knownHosts.members()).has(name),
        labelsOf: (vm) => policies.labelsOf(vm),
        labelled: (selector) => policies.labelled(selector),
      }),
    vm: (ref) => fleet.find(ref),
    migrations: (query) => migrations.list(query),
    migration: (ref) => migrations.find(ref),
    queue: () => migrations.queue(),
    planMigration: (request, signal) => migrations.plan(request, signal),
    startMigration: (request, by, along) => migrations.start(request, by, along),
    abortMigration: (ref, expected) => migrations.abort(ref, expected),
    startPostCopy: (ref, expected) => migrations.startPostCopy(ref, expected),
    pauseMigration: (ref, expected) => migrations.pause(ref, expected),
    policies: {
      ...policies,
      remove: (name, expected) => policies.remove(name, () => clusters.stored(), expected),
    },
    async examineHosts(refs, signal) {
      const chosen =
        refs === undefined
          ? knownHosts.hosts()
          : [...new Map(refs.map((ref) => knownHosts.host(ref)).map((view) => [view.host.id, view])).values()];
      const findings = await diagnose(
        {
          clock,
          markers,
          peers,
          linkOf: (id) => knownHosts.linkOf(id),
          hosts: () => knownHosts.hosts(),
          clusters: () => clusters.all(knownHosts.members()),
        },
        chosen,
        signal,
      );
      return { hosts: chosen.map(({ host }) => host.name), findings };
    },
    labelHost: (ref, labels, expected) => knownHosts.change(ref, { labels }, expected),
    rules: () => rules.views(),
    rule: (name) => rules.view(name),
    changeRule: (name, change, expected) => rules.change(name, change, expected),
    removeRule: (name, expected) => rules.remove(name, expected),
    configuration: createConfiguration({
      policies,
      clusters,
      rules,
      hosts: {
        all: () => knownHosts.hosts(),
        change: (ref, settings, expected) => knownHosts.change(ref, settings, expected),
        revisionOf: (id) => knownHosts.revisionOf(id),
      },
      vmByUuid: (uuid) => fleet.get(uuid),
      vmsNamed: (name) => fleet.named(name),
      relabelled: (vm) => fleet.changed([vm]),
    }),
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
      hostNameOf: (id) => knownHosts.nameOf(id),
      hostIdOf: (ref) => knownHosts.host(ref).host.id,
      linkOf: (id) => knownHosts.linkOf(id),
      answers: (id) => knownHosts.follower(id)?.view().state === 'connected',
      active,
      migrationsOf: async (uuid) => (await migrations.list({ vm: uuid, state: 'finished' })).items,
      leftovers: () => leftovers.list(),
      purge: (record, signal) => leftovers.purge(record, signal),
      refresh: async (id, { uuid }, signal) => knownHosts.followerOf(id).refresh(uuid, signal),
      kept,
    }),
    predictionStats: () => migrations.predictionStats(),
    async measureDirtyRate(ref, longestSeconds, signal) {
      const found = fleet.find(ref);
      const on = { name: knownHosts.nameOf(found.hostId), guest: () => knownHosts.linkOf(found.hostId).guest };
      return { vm: found, curve: await curves.measureNow(found, on, longestSeconds, signal) };
    },
    async announceVm(ref, signal) {
      const found = fleet.find(ref);
      refuseAnnouncing(found, knownHosts.nameOf(found.hostId));
      await knownHosts.linkOf(found.hostId).guest.announce(found.uuid, signal);
      return found;
    },
    tuneMigration: (ref, limits, expected) => migrations.tune(ref, limits, expected),
    leftovers: () => leftovers.list(),
    purgeLeftover: (hostRef, path, signal) => leftovers.purgeAt(hostRef, path, signal),
    fleetSettings: () => fleetSettings.view(),
    recordedFleet: () =>
      recordedFleet({
        clock,
        knownHosts,
        fleet,
        kept,
        rules,
        clusters,
        policies,
        settings: fleetSettings,
        active,
        reservations,
      }),
    changeFleetSettings: (change, expected) => fleetSettings.change(change, expected),
    clusters: clusterViews,
    async changeCluster(name, change, expected) {
      const cluster = await clusters.change(name, change, expected);
      return clusterViews().find((each) => each.cluster.name === name) ?? { cluster, hosts: [], revision: 0 };
    },
    async cpuBaseline(name, signal) {
      const views = knownHosts.hosts().filter(({ host }) => host.cluster === name);
      if (views.length === 0) throw clusterWithoutHosts(name);
      return cpuBaseline({ linkOf: (id) => knownHosts.linkOf(id), vms: () => fleet.all() }, name, views, signal);
    },
    removeCluster: (name, expected) => clusters.remove(name, () => knownHosts.stored(), expected),
    withExternalHost: (uri, signal, use) => external.with(uri, signal, use),
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
      await labelled.stop();
      await rollouts.stop();
      await batches.stop();
      await migrations.stop();
      await knownHosts.stop();
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
