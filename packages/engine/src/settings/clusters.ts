/**
 * The clusters of the fleet: stored objects, kept in memory since every check reads them. A cluster without settings
 * needs no object: naming it on a host is enough.
 */
import {
  defaultCluster,
  refuseCluster,
  refuseClusterInUse,
  unknownCluster,
  type Cluster,
  type Host,
} from '@ferry/core';
import { collection, document, expectRevision } from '../state/collection.ts';
import { openMirror, type MirrorDeps } from '../state/mirror.ts';
import { usersOf } from '../state/users.ts';
import type { Policies } from './policies.ts';
import type { IntentStore, IntentWrite } from '../ports/ports.ts';

export interface ClusterView {
  readonly cluster: Cluster;
  /** Of its settings; 0 without any. */
  readonly revision: number;
  /** Names of its hosts. */
  readonly hosts: readonly string[];
}

const prefix = 'clusters/';

export interface ClusterStore {
  /** Stored ones and those that hosts name, by name. */
  all(hosts: readonly Host[]): ReadonlyMap<string, Cluster>;
  /** With its settings, or without any. */
  get(name: string): Cluster;
  /** Those with settings, as the store has them. */
  stored(): Promise<readonly Cluster[]>;
  /** Of its settings; 0 without any. */
  revisionOf(name: string): number;
  /**
   * Makes the cluster, or changes it; `change` is called again after a conflict. `expected`: the revision
   * that it must have. Throws FerryError `request-invalid`, `policy-unknown`, `store-conflict`, `revision-stale`.
   */
  change(name: string, change: (before: Cluster) => Cluster, expected?: number): Promise<Cluster>;
  /** `hosts`: as the store has them. Throws FerryError `cluster-unknown`, `cluster-in-use`, `revision-stale`. */
  remove(name: string, hosts: () => Promise<readonly Host[]>, expected?: number): Promise<void>;
  /** Goes into the transaction that adds a host: it conflicts with a removal of the cluster, which looks again. */
  use(name: string): Promise<readonly IntentWrite[]>;
}

/** `policies`: a cluster names one that is there. `changed`: its settings are others, or gone. */
export async function openClusters(
  intents: IntentStore,
  policies: Pick<Policies, 'find' | 'use'>,
  deps: MirrorDeps,
  changed: (name: string, cluster: Cluster | undefined) => void = () => {},
): Promise<ClusterStore> {
  const stored = await openMirror(
    collection(intents, prefix, document<Cluster>({ name: 'string' })),
    deps,
    ({ key, value }) => changed(key, value),
  );
  const users = usersOf(intents, prefix, stored.stored);
  return {
    get: (name) => stored.get(name)?.value ?? { name },
    stored: async () => (await stored.stored.list()).items.map(({ value }) => value),
    all(hosts) {
      const names = new Set([
        defaultCluster,
        ...stored.all().map(({ key }) => key),
        ...hosts.map(({ cluster }) => cluster),
      ]);
      return new Map([...names].sort().map((name) => [name, stored.get(name)?.value ?? { name }]));
    },
    revisionOf: (name) => stored.get(name)?.revision ?? 0,
    async change(name, change, expected) {
      let policy: string | undefined;
      const { value } = await stored.change(
        name,
        (before) => {
          expectRevision(`The cluster ${name}`, before?.revision ?? 0, expected);
          const cluster = change(before?.value ?? { name });
          refuseCluster(cluster);
          ({ policy } = cluster);
          if (policy !== undefined) policies.find(policy);
          return cluster;
        },
        async () => (policy === undefined ? [] : policies.use(policy)),
      );
      return value ?? { name };
    },
    async remove(name, hosts, expected) {
      const refuseUsed = async (): Promise<void> => {
        const all = await hosts();
        refuseClusterInUse(
          name,
          all.filter(({ cluster }) => cluster === name),
        );
      };
      // one without settings is refused for its hosts, too
      await refuseUsed();
      await stored.change(
        name,
        (before) => {
          if (before === undefined) throw unknownCluster(name);
          expectRevision(`The cluster ${name}`, before.revision, expected);
          return undefined;
        },
        async () => {
          const unused = await users.none(name);
          await refuseUsed();
          return unused;
        },
      );
    },
    async use(name) {
      const now = await stored.stored.get(name);
      return now === undefined ? [] : users.begin(now);
    },
  };
}
