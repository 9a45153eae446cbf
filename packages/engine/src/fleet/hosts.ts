/**
 * The hosts that Ferry knows, each with its follower: changed, removed, and found again after a restart. How a host comes
 * to be one of them: joining.ts.
 */
import {
  changedByMany,
  defaultCluster,
  refuseAddress,
  refuseRemoval,
  resolveHost,
  unknownHost,
  unknownHostId,
  type Host,
  type HostId,
  type HostView,
  type Migration,
  type VmUuid,
} from '@ferry/core';
import type { Clock, HostLink, Hypervisor, IntentWrite, Log, Stores } from '../ports/ports.ts';
import type { ClusterStore } from '../settings/clusters.ts';
import { collection, document, expectRevision, text, type Stored } from '../state/collection.ts';
import { changedLabels, type LabelChange } from '../settings/policies.ts';
import { followHost, type FollowerEvents, type HostFollower } from './host-follower.ts';
import { createJoining, type HostSettings, type Joining } from './joining.ts';
import { turnsOf } from './turns.ts';

export interface HostChange extends HostSettings {
  readonly labels?: LabelChange;
}

const hostPrefix = 'hosts/';
const machinePrefix = 'machines/';
/** The id that a machine had as a host: what is kept of its definitions is still true when it is added again. */
const formerPrefix = 'former-hosts/';
/** Of many that change the same hosts at once, one gets through each time. */
const mostAttempts = 100;
/** Connections that are being made at a time: a host that is switched off takes its place for 15 s. */
const connectionsAtOnce = 256;
const connectPatienceMs = 5_000;
/** A host with thousands of VMs takes this long to read; it is added when they are known. */
const addPatienceMs = 300_000;

export interface KnownHostsDeps {
  readonly hypervisor: Hypervisor;
  readonly stores: Pick<Stores, 'intents' | 'inventory'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly clusters: Pick<ClusterStore, 'get' | 'use'>;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  /** The host is about to be removed. */
  readonly leaving: (host: Host) => Promise<void>;
  readonly events: KnownHostsEvents;
}

export interface KnownHostsEvents extends Pick<FollowerEvents, 'switching'> {
  /** The host's own state, facts or settings changed. */
  changed(host: HostView): void;
  /** `vms`: those that it had. */
  removed(host: Host, vms: readonly VmUuid[]): void;
  /** See FollowerEvents. */
  instancesChanged(host: HostId, vms: Iterable<VmUuid>): void;
  /** See FollowerEvents. */
  domainTouched(host: HostId, uuid: VmUuid): void;
}

/** Those of a version that knew no clusters are in the default one. */
const decodeHost = (value: unknown): Host =>
  document<Host>({ id: 'string', name: 'string', uri: 'string', cluster: 'string', machineUuid: 'string' })(
    typeof value === 'object' ? { cluster: defaultCluster, ...value } : value,
  );

export interface KnownHosts extends Joining {
  followers(): Iterable<HostFollower>;
  follower(id: string): HostFollower | undefined;
  /** Throws FerryError `host-unknown`. */
  followerOf(id: string): HostFollower;
  /** The open connection; throws FerryError `host-unknown`, `host-unreachable`. */
  linkOf(id: string): HostLink;
  members(): readonly Host[];
  /** As the store has them. */
  stored(): Promise<readonly Host[]>;
  /** As the store has it, and what guards a transaction against a change of it. */
  storedHost(id: HostId): Promise<{ readonly host: Host | undefined; readonly asRead: IntentWrite }>;
  /** By name. */
  hosts(): readonly HostView[];
  host(ref: string): HostView;
  /** The id itself, of a host that is not known any more. */
  nameOf(id: string): string;
  /** Follows the stored hosts, and waits a little for their first answers, until the signal aborts. */
  open(signal: AbortSignal): Promise<void>;
  /** `expected`: the revision that it must have. Rejects with FerryError `revision-stale`. */
  change(ref: string, settings: HostChange, expected?: number): Promise<HostView>;
  /**
   * Changes the state of these hosts in service, all or none; `decide` is called again after a conflict. `along`: writes
   * of the same transaction, whose revision it resolves with; 0 where nothing was to be written. `revision`: of the host
   * as it was read.
   */
  serve(
    refs: readonly string[],
    decide: (host: Host, revision: number) => Host,
    along?: () => Promise<readonly IntentWrite[]>,
  ): Promise<number>;
  /** As it is stored, and what refuses a transaction once that has changed. Throws FerryError `host-unknown`. */
  guard(id: HostId): Promise<{ readonly host: Host; readonly write: IntentWrite }>;
  remove(ref: string, expected?: number): Promise<void>;
  /** Of the stored host; 0 of one that is not known. */
  revisionOf(id: string): number;
  stop(): Promise<void>;
}

export function createKnownHosts({
  hypervisor,
  stores: { intents, inventory },
  clock,
  log,
  clusters,
  active,
  leaving,
  events,
}: KnownHostsDeps): KnownHosts {
  const stored = collection(intents, hostPrefix, decodeHost);
  const machines = collection(intents, machinePrefix, text);
  const formerIds = collection(intents, formerPrefix, text);
  const followers = new Map<string, HostFollower>();
  const revisions = new Map<string, number>();
  const connecting = turnsOf(connectionsAtOnce);
  const all = (): readonly HostFollower[] => [...followers.values()];
  const views = (): HostView[] => all().map((each) => each.view());
  const hosts = (): readonly HostView[] => views().sort((a, b) => (a.host.name < b.host.name ? -1 : 1));
  const memberWith = (is: (member: Host) => boolean): HostView | undefined =>
    followers
      .values()
      .find((each) => is(each.host()))
      ?.view();
  const host = (ref: string): HostView => resolveHost(views(), ref);
  const followerOf = (id: string): HostFollower => {
    const follower = followers.get(id);
    if (follower === undefined) throw unknownHostId(id);
    return follower;
  };

  const follow = (added: Host, link?: HostLink, cached?: Parameters<typeof followHost>[2]): void => {
    const follower = followHost(added, link, cached, {
      hypervisor,
      clock,
      log,
      hosts: () => all().map((each) => each.host()),
      fleetSize: () => followers.size,
      connecting,
      events: {
        changed: () => events.changed(follower.view()),
        instancesChanged: (vms) => events.instancesChanged(added.id, vms),
        domainTouched: (uuid) => events.domainTouched(added.id, uuid),
        switching: (uuid, what) => events.switching(uuid, what),
      },
    });
    followers.set(added.id, follower);
    if (cached !== undefined)
      events.instancesChanged(
        added.id,
        cached.instances.map(({ uuid }) => uuid),
      );
  };

  /** Waits a little for the first answer of each, so that what follows meets a fleet that is known. */
  const connected = async (
    each: readonly HostFollower[],
    signal: AbortSignal,
    patienceMs = connectPatienceMs,
  ): Promise<void> => {
    const deadline = clock.now() + patienceMs;
    while (clock.now() < deadline && each.some((follower) => follower.view().state === 'connecting'))
      await clock.sleep(10, signal);
  };

  const joining = createJoining({
    hypervisor,
    clock,
    stored,
    machines,
    formerIds,
    clusters,
    memberWith,
    async joined(added, revision, link, signal) {
      revisions.set(added.id, revision);
      follow(added, link);
      await connected([followerOf(added.id)], signal, addPatienceMs);
      return followerOf(added.id).view();
    },
  });

  /** Of two changes at once the later one holds, in whatever order their answers come. */
  const took = (id: string, changed: Host, revision: number): void => {
    const follower = followerOf(id);
    if (revision > (revisions.get(id) ?? 0)) {
      revisions.set(id, revision);
      follower.change(changed);
    }
    events.changed(follower.view());
  };
  const storedHost = async (id: HostId): Promise<Stored<Host>> => {
    const now = await stored.get(id);
    // it was removed meanwhile
    if (now === undefined) throw unknownHostId(id);
    return now;
  };

  return {
    followers: () => followers.values(),
    follower: (id) => followers.get(id),
    followerOf,
    linkOf: (id) => followerOf(id).link(),
    members: () => all().map((each) => each.host()),
    stored: async () => (await stored.list()).items.map(({ value }) => value),
    async storedHost(id) {
      const now = await stored.get(id);
      // the answer to a change may have been lost: what is checked next is what is stored
      if (now !== undefined && followers.has(id) && now.revision > (revisions.get(id) ?? 0))
        took(id, now.value, now.revision);
      return { host: now?.value, asRead: stored.check(id, now?.revision ?? 0) };
    },
    hosts,
    host,
    nameOf: (id) => followers.get(id)?.host().name ?? id,
    async open(signal) {
      const cached = await inventory.load();
      for (const { value, revision } of (await stored.list()).items) {
        revisions.set(value.id, revision);
        follow(value, undefined, cached.get(value.id));
      }
      await connected(all(), signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    },
    ...joining,
    revisionOf: (id) => revisions.get(id) ?? 0,
    async change(ref, settings, expected) {
      const { id } = host(ref).host;
      const { value: changed, revision } = await stored.change(
        id,
        (now) => {
          // it was removed meanwhile
          if (now === undefined) throw unknownHost(ref);
          expectRevision(`The host ${now.value.name}`, now.revision, expected);
          const { migrationAddress: before, labels: old = [], ...rest } = now.value;
          const labels = settings.labels === undefined ? old : changedLabels(old, settings.labels);
          const migrationAddress = settings.migrationAddress ?? before;
          const next: Host = {
            ...rest,
            cluster: settings.cluster ?? rest.cluster,
            ...(labels.length === 0 ? {} : { labels }),
            ...(migrationAddress === undefined || migrationAddress === '' ? {} : { migrationAddress }),
          };
          refuseAddress(settings.migrationAddress, clusters.get(next.cluster));
          return next;
        },
        async () => (settings.cluster === undefined ? [] : clusters.use(settings.cluster)),
      );
      if (changed !== undefined) took(id, changed, revision);
      return followerOf(id).view();
    },
    async serve(refs, decide, along) {
      const ids = [...new Set(refs.map((ref) => host(ref).host.id))];
      for (let attempt = 0; attempt < mostAttempts; attempt += 1) {
        const before = await Promise.all(ids.map(storedHost));
        // the answer to an earlier change may have been lost
        for (const { key, value, revision } of before)
          if (revision > (revisions.get(key) ?? 0)) took(key, value, revision);
        const next = before.map((each) => ({ ...each, decided: decide(each.value, each.revision) }));
        const changed = next.filter(({ value, decided }) => decided !== value);
        const writes = [
          ...changed.map(({ key, decided, revision }) => stored.put(key, decided, revision)),
          ...((await along?.()) ?? []),
        ];
        if (writes.length === 0) return 0;
        const written = await stored.commit(writes);
        if ('conflict' in written) continue;
        for (const { key, decided } of changed) took(key, decided, written.revision);
        return written.revision;
      }
      throw changedByMany(refs);
    },
    async guard(id) {
      const { key, value, revision } = await storedHost(id);
      return { host: value, write: stored.check(key, revision) };
    },
    async remove(ref, expected) {
      const { host: removed } = host(ref);
      const refuse = (now: Stored<Host> | undefined): void => {
        if (now === undefined) throw unknownHost(ref);
        expectRevision(`The host ${removed.name}`, now.revision, expected);
        refuseRemoval(now.value, active());
      };
      // nothing is forgotten of one that stays
      refuse(await stored.get(removed.id));
      const machine = await machines.get(removed.machineUuid);
      const before = await formerIds.get(removed.machineUuid);
      await leaving(removed);
      await stored.change(
        removed.id,
        (now) => {
          refuse(now);
          return undefined;
        },
        async () =>
          machine?.value === removed.id
            ? [
                machines.delete(machine.key, machine.revision),
                formerIds.put(machine.key, removed.id, before?.revision ?? 0),
              ]
            : [],
      );
      const follower = followers.get(removed.id);
      // another request removed it
      if (follower === undefined) return;
      followers.delete(removed.id);
      revisions.delete(removed.id);
      await follower.stop();
      const had = follower.instances().map(({ uuid }) => uuid);
      // the same machine may have been added again meanwhile, with the same id: what is stored is that host's
      if (!followers.has(removed.id)) await inventory.remove(removed.id);
      if (followers.get(removed.id)?.host().name === removed.name) events.instancesChanged(removed.id, had);
      else events.removed(removed, had);
    },
    async stop() {
      await Promise.all(all().map((each) => each.stop()));
    },
  };
}
