/**
 * Hosts outside the fleet that a migration names by URI: followed like others, and forgotten when no migration needs
 * them.
 */
import { externalCluster, type HostView, type Migration } from '@ferry/core';
import type { Clock } from '../ports/ports.ts';
import type { KnownHosts } from './hosts.ts';
import type { FoundHost } from './joining.ts';

export interface ExternalHostsDeps {
  readonly knownHosts: Pick<KnownHosts, 'reach' | 'addFound' | 'hosts' | 'remove'>;
  readonly clock: Pick<Clock, 'randomText'>;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
}

export interface ExternalHosts {
  /** The host stays known while `use` runs, and then until its migrations end. */
  with<T>(
    uri: string,
    signal: AbortSignal,
    use: (target: { readonly to: string; readonly toCluster: string }) => Promise<T>,
  ): Promise<T>;
  /** Forgets those that no migration needs. */
  forget(): Promise<void>;
}

export function externalHosts({ knownHosts, clock, active }: ExternalHostsDeps): ExternalHosts {
  /** Between a host and the migration to it nothing is forgotten. */
  let entering = 0;
  const forgetUnused = async (): Promise<void> => {
    if (entering > 0) return;
    const used = new Set(
      active().flatMap(({ to, from, request }): readonly (string | undefined)[] => [to?.id, from.id, request.to]),
    );
    for (const { host } of knownHosts.hosts())
      if (host.external === true && !used.has(host.id) && !used.has(host.name)) await knownHosts.remove(host.id);
  };
  const addFound = (uri: string, found: FoundHost, signal: AbortSignal): Promise<HostView> => {
    const { hostname } = found.facts;
    const name = knownHosts.hosts().some((each) => each.host.name === hostname)
      ? `${hostname}-${clock.randomText(4)}`
      : hostname;
    return knownHosts.addFound(uri, found, { name, cluster: externalCluster, external: true }, signal);
  };
  return {
    async with(uri, signal, use) {
      entering += 1;
      try {
        const found = await knownHosts.reach(uri, signal);
        const { host } = 'known' in found ? found.known : await addFound(uri, found, signal);
        return await use({ to: host.name, toCluster: host.cluster });
      } finally {
        entering -= 1;
        await forgetUnused();
      }
    },
    forget: forgetUnused,
  };
}
