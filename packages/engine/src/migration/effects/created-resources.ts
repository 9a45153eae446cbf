/**
 * Networks, filters and secrets that a move makes on the target since the VM needs them there. What it made is
 * recorded, so that a failed move takes away nothing that was there already, or that somebody else made meanwhile.
 * Every step may be repeated.
 */
import type { Migration, Planned, ResourceRef } from '@ferry/core';
import type { HostLink, IntentStore } from '../../ports/ports.ts';
import { collection, document } from '../../state/collection.ts';

type HostWithResources = Pick<HostLink, 'resources'>;

export interface CreatedResources {
  /**
   * Makes what is planned and not there. `source` throws where its host is dead, which a plan that makes something
   * never has.
   */
  create(
    migration: Planned,
    source: () => HostWithResources,
    target: HostWithResources,
    signal: AbortSignal,
  ): Promise<void>;
  /** Removes what `create` made. */
  takeBack(migration: Migration, target: HostWithResources, signal: AbortSignal): Promise<void>;
  /** The VM has arrived: what was made is the host's own now. */
  keep(migration: Migration): Promise<void>;
}

export function createdResources(intents: IntentStore): CreatedResources {
  const made = collection(intents, 'created/', document<ResourceRef>({ kind: 'string', name: 'string' }));
  const prefixOf = ({ id }: Migration): string => `${id}/`;
  const keyOf = (migration: Migration, { kind, name }: ResourceRef): string =>
    `${prefixOf(migration)}${kind}/${encodeURIComponent(name)}`;
  const forget = async (key: string): Promise<void> => void (await made.change(key, () => undefined));
  return {
    async create(migration, source, target, signal) {
      const creates = migration.plan.definition?.creates ?? [];
      if (creates.length === 0) return;
      const there = await target.resources.look([], [], signal);
      for (const ref of creates) {
        const known = { network: there.networks, filter: there.filters, secret: there.secrets }[ref.kind];
        if (known.has(ref.name)) continue;
        await target.resources.create(ref, await source().resources.read(ref, signal), signal);
        // after it: a crash in between leaves a network behind, the other way round would take away somebody else's
        await made.change(keyOf(migration, ref), () => ref);
      }
    },
    async takeBack(migration, target, signal) {
      for (const { key, value } of (await made.list(prefixOf(migration))).items.toReversed()) {
        await target.resources.remove(value, signal);
        await forget(key);
      }
    },
    async keep(migration) {
      for (const { key } of (await made.list(prefixOf(migration))).items) await forget(key);
    },
  };
}
