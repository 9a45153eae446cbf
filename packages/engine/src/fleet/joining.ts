/**
 * How a machine becomes a host of the fleet: it is reached, compared with those that are known, and stored. A machine is
 * known once: an entry of its own records which one it is, whatever its URI.
 */
import {
  addedBefore,
  addedElsewhere,
  defaultCluster,
  FerryError,
  hostId,
  justAdded,
  machineTaken,
  refuseAddress,
  refuseName,
  type Host,
  type HostFacts,
  type HostView,
} from '@ferry/core';
import type { Clock, HostLink, Hypervisor } from '../ports/ports.ts';
import type { ClusterStore } from '../settings/clusters.ts';
import type { Collection } from '../state/collection.ts';
import type { Along } from '../state/first-answers.ts';

export interface HostSettings {
  readonly cluster?: string;
  /** An IP address, or empty for none. */
  readonly migrationAddress?: string;
}

/** A host that answers and is not known yet. */
export interface FoundHost {
  readonly link: HostLink;
  readonly facts: HostFacts;
}

/** What a host may take to say which machine it is. */
const reachPatienceMs = 20_000;

export interface Joining {
  /** The host at this URI and its open connection; one that is known already comes without. */
  reach(
    uri: string,
    signal: AbortSignal,
  ): Promise<{ readonly known: HostView; readonly answers?: HostFacts } | FoundHost>;
  /** Stores the host and begins to follow it. The connection is closed when that fails. */
  addFound(
    uri: string,
    found: FoundHost,
    settings: HostSettings & { readonly name?: string; readonly external?: true },
    signal: AbortSignal,
    along?: Along,
  ): Promise<HostView>;
  add(
    request: HostSettings & { readonly uri: string; readonly name?: string },
    signal: AbortSignal,
    along?: Along,
  ): Promise<HostView>;
}

export interface JoiningDeps {
  readonly hypervisor: Pick<Hypervisor, 'connect'>;
  readonly clock: Clock;
  readonly stored: Collection<Host>;
  /** The id of its host, by the UUID of the machine. */
  readonly machines: Collection<string>;
  /** The id that a machine had as a host, by its UUID. */
  readonly formerIds: Collection<string>;
  readonly clusters: Pick<ClusterStore, 'get' | 'use'>;
  readonly memberWith: (is: (member: Host) => boolean) => HostView | undefined;
  /** It is stored: from now on it is followed. Resolves once its VMs are known. */
  readonly joined: (host: Host, revision: number, link: HostLink, signal: AbortSignal) => Promise<HostView>;
}

export function createJoining({
  hypervisor,
  clock,
  stored,
  machines,
  formerIds,
  clusters,
  memberWith,
  joined,
}: JoiningDeps): Joining {
  const reach: Joining['reach'] = async (uri, signal) => {
    const byUri = memberWith((each) => each.uri === uri);
    if (byUri !== undefined) return { known: byUri };
    const link = await hypervisor.connect(uri, signal);
    try {
      const { freeMemoryBytes: _, ...facts } = await link.inventory.facts(
        AbortSignal.any([signal, clock.timeout(reachPatienceMs)]),
      );
      const known = memberWith(({ machineUuid }) => machineUuid === facts.machineUuid);
      if (known === undefined) return { link, facts };
      await link.close();
      return { known, answers: facts };
    } catch (error) {
      await link.close();
      throw error;
    }
  };

  const addFound: Joining['addFound'] = async (
    uri,
    { link, facts },
    { name = facts.hostname, cluster = defaultCluster, migrationAddress = '', external },
    signal,
    along = () => [],
  ) => {
    try {
      const former = await formerIds.get(facts.machineUuid);
      const added: Host = {
        id: hostId(former?.value ?? `h${clock.randomText(9)}`),
        name,
        uri,
        cluster,
        ...(migrationAddress === '' ? {} : { migrationAddress }),
        machineUuid: facts.machineUuid,
        addedAt: clock.now(),
        ...(external === undefined ? {} : { external }),
      };
      refuseName(added, memberWith((each) => each.name === added.name) !== undefined);
      refuseAddress(migrationAddress, clusters.get(cluster));
      const others = along(added.id);
      for (;;) {
        const written = await stored.commit([
          ...others,
          machines.put(added.machineUuid, added.id, 0),
          stored.put(added.id, added, 0),
          ...(await clusters.use(added.cluster)),
        ]);
        if (!('conflict' in written)) return await joined(added, written.revision, link, signal);
        // its cluster was changed meanwhile; otherwise it was faster itself
        if ((await machines.get(added.machineUuid)) !== undefined) throw justAdded(uri, added);
        if (others.some(({ key }) => written.conflict.includes(key))) throw addedElsewhere(uri);
      }
    } catch (error) {
      await link.close();
      throw error;
    }
  };

  return {
    reach,
    addFound,
    async add({ uri, name, ...settings }, signal, along) {
      const found = await reach(uri, signal);
      if ('known' in found)
        throw found.answers === undefined
          ? addedBefore(found.known.host, uri)
          : new FerryError('host-duplicate', machineTaken(uri, found.answers, found.known.host));
      return addFound(uri, found, { ...settings, ...(name === undefined ? {} : { name }) }, signal, along);
    },
  };
}
