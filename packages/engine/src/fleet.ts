/**
 * The fleet as VMs: what the hosts report, put together by core, and told when it has changed. Changes of hosts come in bursts, so they are gathered a
 * little before they are compared.
 */
import { resolve, vmsOf, type Migration, type Vm } from '@ferry/core';
import type { EventHub } from './event-hub.ts';
import type { HostFollower } from './host-follower.ts';
import type { KeptInstanceStore } from './kept-instances.ts';
import type { Clock, InventoryCache, Log } from './ports.ts';
import type { Roster } from './roster.ts';

/** Changes of VMs are gathered this long before they are compared and told. */
const gatherMs = 20;

export interface FleetDeps {
  readonly roster: Pick<Roster, 'followers' | 'nameOf'>;
  readonly kept: Pick<KeptInstanceStore, 'parked' | 'seen'>;
  readonly inventory: Pick<InventoryCache, 'save'>;
  readonly hub: Pick<EventHub, 'publish'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  /** Called with the fleet each time it was compared. */
  readonly seen: (vms: readonly Vm[]) => void;
  readonly signal: AbortSignal;
}

export interface Fleet {
  vms(): readonly Vm[];
  vm(ref: string): Vm;
  vmCountOf(hostId: string): number;
  /** What is remembered of it is put together anew when it is next asked for. */
  forget(): void;
  /** Something of it has changed: it is compared and told soon. */
  changed(): void;
}

export function createFleet({ roster, kept, inventory, hub, clock, log, active, seen, signal }: FleetDeps): Fleet {
  /** As JSON, by UUID. */
  const told = new Map<string, string>();
  let gathering = false;
  let fleet: readonly Vm[] | undefined;

  const vms = (): readonly Vm[] =>
    (fleet ??= vmsOf([...roster.followers()].map((each) => ({ host: each.host(), state: each.view().state, instances: each.instances() })), active(), kept.parked()));

  const tell = (): void => {
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

  const save = async (follower: HostFollower): Promise<void> => {
    const { facts, state } = follower.view();
    if (state === 'connected') await inventory.save(follower.host().id, { ...(facts === undefined ? {} : { facts }), instances: follower.instances() });
  };

  const gather = async (): Promise<void> => {
    await clock.sleep(gatherMs, signal);
    gathering = false;
    for (const each of roster.followers()) if (each.view().state === 'connected') await kept.seen(each.host().id, each.instances());
    tell();
    seen(vms());
    await Promise.all([...roster.followers()].map((each) => save(each)));
  };

  return {
    vms,
    vm: (ref) => resolve(vms(), ref, { kind: 'vm', id: ({ uuid }) => uuid, name: ({ name }) => name, otherNames: ({ instances }) => instances.map(({ instance }) => instance.name), describe: (each) => `${each.uuid} (${each.name} on ${roster.nameOf(each.hostId)})` }),
    vmCountOf: (id) => vms().filter((each) => each.hostId === id).length,
    forget: () => (fleet = undefined),
    changed() {
      fleet = undefined;
      if (gathering) return;
      gathering = true;
      void gather().catch((error: unknown) => {
        gathering = false;
        if (!signal.aborted) log.error({ err: error }, 'changes of VMs could not be told');
      });
    },
  };
}
