/**
 * Hosts that a migration leads to by their URI without their being of the fleet: followed like others, and forgotten when
 * no migration needs them any more.
 */
import type { HostFacts, HostView, Migration } from '@ferry/core';
import type { HostLink } from './ports.ts';

export interface OutsideDeps {
  /** The host at this URI: one that is known, or its open connection. */
  readonly reach: (uri: string, signal: AbortSignal) => Promise<{ readonly known: HostView } | { readonly link: HostLink; readonly facts: HostFacts }>;
  readonly enrol: (uri: string, found: { readonly link: HostLink; readonly facts: HostFacts }, signal: AbortSignal) => Promise<HostView>;
  readonly hosts: () => readonly HostView[];
  readonly active: () => readonly Migration[];
  readonly forget: (id: string) => Promise<void>;
}

export interface OutsideHosts {
  /** The host stays known while `use` runs, and after that as long as a migration takes part in it. */
  with<T>(uri: string, signal: AbortSignal, use: (target: { readonly to: string; readonly toCluster: string }) => Promise<T>): Promise<T>;
  /** Forgets those that no migration needs. */
  forget(): Promise<void>;
}

export function outsideHosts({ reach, enrol, hosts, active, forget }: OutsideDeps): OutsideHosts {
  /** Between a host and the migration to it nothing is forgotten. */
  let entering = 0;
  const forgetUnused = async (): Promise<void> => {
    if (entering > 0) return;
    const used = new Set(active().flatMap(({ to, from, request }): readonly (string | undefined)[] => [to?.id, from.id, request.to]));
    for (const { host } of hosts()) if (host.outside === true && !used.has(host.id) && !used.has(host.name)) await forget(host.id);
  };
  return {
    async with(uri, signal, use) {
      entering += 1;
      try {
        const found = await reach(uri, signal);
        const { host } = 'known' in found ? found.known : await enrol(uri, found, signal);
        return await use({ to: host.name, toCluster: host.cluster });
      } finally {
        entering -= 1;
        await forgetUnused();
      }
    },
    forget: forgetUnused,
  };
}
