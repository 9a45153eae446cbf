/**
 * The clusters of the fleet: stored objects, kept in memory since every check reads them. A cluster without settings
 * needs no object: naming it on a host is enough.
 */
import { defaultCluster, FerryError, isNetwork, type Cluster, type Host } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { changeIntent } from '../state/change-intent.ts';
import type { Policies } from './policies.ts';

export interface ClusterView {
  readonly cluster: Cluster;
  /** Names of its hosts. */
  readonly hosts: readonly string[];
}

const prefix = 'clusters/';

export interface ClusterStore {
  /** Stored ones and those that hosts name, by name. */
  all(hosts: readonly Host[]): ReadonlyMap<string, Cluster>;
  /**
   * Makes the cluster, or changes it; `change` is asked again where somebody else was faster. Throws FerryError
   * `request-invalid`, `policy-unknown`, `store-conflict`.
   */
  change(name: string, change: (before: Cluster) => Cluster): Promise<Cluster>;
  /** Throws FerryError `cluster-unknown`, `cluster-in-use`. */
  remove(name: string, hosts: readonly Host[]): Promise<void>;
}

/** `policies`: a cluster names one that is there. */
export async function openClusters(intents: IntentStore, policies: Pick<Policies, 'find'>): Promise<ClusterStore> {
  const stored = new Map((await intents.list(prefix)).map(({ value }) => [(value as Cluster).name, value as Cluster]));
  return {
    all(hosts) {
      const names = [...new Set([defaultCluster, ...stored.keys(), ...hosts.map(({ cluster }) => cluster)])].sort();
      return new Map(names.map((name) => [name, stored.get(name) ?? { name }]));
    },
    async change(name, change) {
      let cluster: Cluster = { name };
      await changeIntent<Cluster>(intents, prefix + name, (before = { name }) => {
        cluster = change(before);
        const { migrationNetwork, migrationPorts, policy } = cluster;
        if (policy !== undefined) policies.find(policy);
        if (migrationNetwork !== undefined && !isNetwork(migrationNetwork))
          throw new FerryError(
            'request-invalid',
            `"${migrationNetwork}" is not a network such as 10.1.0.0/16 or fd00::/64.`,
          );
        if (migrationPorts !== undefined && migrationPorts.first > migrationPorts.last)
          throw new FerryError(
            'request-invalid',
            `The range of ports begins with ${migrationPorts.first} and ends with ${migrationPorts.last}.`,
          );
        return cluster;
      });
      stored.set(name, cluster);
      return cluster;
    },
    async remove(name, hosts) {
      const members = hosts.filter(({ cluster }) => cluster === name);
      if (members.length > 0)
        throw new FerryError(
          'cluster-in-use',
          `${members.length} host(s) belong to the cluster ${name}: ${members.map((host) => host.name).join(', ')}.`,
        );
      if (!stored.has(name)) throw new FerryError('cluster-unknown', `There is no cluster "${name}".`);
      await intents.commit([{ op: 'delete', key: prefix + name }]);
      stored.delete(name);
    },
  };
}
