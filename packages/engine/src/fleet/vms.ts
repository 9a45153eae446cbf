/**
 * The VMs of the fleet, made by core from the reports of the hosts, with an event for each change. Changes of hosts
 * come in bursts, so they are collected for a moment before they are compared.
 */
import { resolve, vmsOf, type Instance, type Migration, type Vm, type VmUuid } from '@ferry/core';
import type { EventHub } from '../events/event-hub.ts';
import type { HostFollower } from './host-follower.ts';
import type { KeptInstanceStore } from './kept-instances.ts';
import type { Clock, InventoryCache, Log } from '../ports/ports.ts';
import type { Roster } from './hosts.ts';

/** Changes of VMs are collected for this time before they are compared and published. */
const gatherMs = 20;
/** VMs that are compared in one turn. */
const atOnce = 500;

export interface FleetDeps {
  readonly roster: Pick<Roster, 'followers' | 'nameOf'>;
  readonly kept: Pick<KeptInstanceStore, 'parked' | 'seen'>;
  readonly inventory: Pick<InventoryCache, 'save' | 'remove'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly labelsRevisionOf: (vm: VmUuid) => number;
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
  /** The cached VMs are made again at the next request. */
  forget(): void;
  /** It has changed: it is compared and published soon. */
  changed(): void;
}

export function createFleet({
  roster,
  kept,
  inventory,
  labelsOf,
  labelsRevisionOf,
  hub,
  clock,
  log,
  active,
  seen,
  signal,
}: FleetDeps): Fleet {
  /** As last published, by UUID. */
  const told = new Map<string, Told>();
  /** As last saved, by host. */
  const saved = new Map<string, { readonly instances: readonly Instance[]; readonly facts: string }>();
  let working = false;
  let dirty = false;
  let fleet: readonly Vm[] | undefined;

  const vms = (): readonly Vm[] =>
    (fleet ??= vmsOf(
      [...roster.followers()].map((each) => ({
        host: each.host(),
        state: each.view().state,
        instances: each.instances(),
      })),
      active(),
      kept.parked(),
    ));

  /** After a few hundred steps of a long loop, others have their turn. */
  const breathe = async (step: number): Promise<void> => {
    if (step % atOnce === atOnce - 1) await clock.sleep(0, signal);
  };

  const tell = async (): Promise<void> => {
    fleet = undefined;
    const now = vms();
    const there = new Set<string>();
    for (const [step, vm] of now.entries()) {
      await breathe(step);
      there.add(vm.uuid);
      const labels = labelsOf(vm.uuid);
      if (isTold(told.get(vm.uuid), vm, labels)) continue;
      told.set(vm.uuid, { vm, labels });
      hub.publish({ type: 'vm', vm, labels, revision: labelsRevisionOf(vm.uuid) });
    }
    let step = 0;
    for (const [uuid, { vm }] of told) {
      if (there.has(uuid)) continue;
      await breathe((step += 1));
      told.delete(uuid);
      hub.publish({ type: 'vm-removed', uuid, name: vm.name });
    }
  };

  const save = async (follower: HostFollower): Promise<void> => {
    const { facts, state } = follower.view();
    const { id } = follower.host();
    const report = { instances: follower.instances(), facts: JSON.stringify(facts) };
    const before = saved.get(id);
    if (state !== 'connected' || (before?.instances === report.instances && before.facts === report.facts)) return;
    saved.set(id, report);
    await inventory.save(id, { ...(facts === undefined ? {} : { facts }), instances: report.instances });
    // it was removed while that was written
    if (![...roster.followers()].includes(follower)) await inventory.remove(id);
  };

  const work = async (): Promise<void> => {
    try {
      while (dirty) {
        await clock.sleep(gatherMs, signal);
        dirty = false;
        for (const each of roster.followers())
          if (each.view().state === 'connected') await kept.seen(each.host().id, each.instances());
        await tell();
        seen(vms());
        await Promise.all([...roster.followers()].map((each) => save(each)));
      }
    } finally {
      working = false;
    }
  };

  return {
    vms,
    vm: (ref) =>
      resolve(vms(), ref, {
        kind: 'vm',
        id: ({ uuid }) => uuid,
        name: ({ name }) => name,
        otherNames: ({ instances }) => instances.map(({ instance }) => instance.name),
        describe: (each) => `${each.uuid} (${each.name} on ${roster.nameOf(each.hostId)})`,
      }),
    vmCountOf: (id) => vms().filter((each) => each.hostId === id).length,
    forget: () => (fleet = undefined),
    changed() {
      fleet = undefined;
      dirty = true;
      if (working) return;
      working = true;
      void work().catch((error: unknown) => {
        if (!signal.aborted) log.error({ err: error }, 'changes of VMs could not be published');
      });
    },
  };
}

interface Told {
  readonly vm: Vm;
  readonly labels: readonly string[];
}

/** Parts that have not changed on their host are the same objects, so most of a large fleet is compared by identity. */
const isTold = (before: Told | undefined, vm: Vm, labels: readonly string[]): boolean =>
  before !== undefined &&
  before.labels.join() === labels.join() &&
  before.vm.currentMigration === vm.currentMigration &&
  before.vm.name === vm.name &&
  before.vm.hostId === vm.hostId &&
  before.vm.instances.length === vm.instances.length &&
  before.vm.instances.every(({ hostId, role, instance }, index) => {
    const other = vm.instances[index];
    return hostId === other?.hostId && role === other.role && sameFields(instance, other.instance);
  });

const sameFields = (a: Instance, b: Instance): boolean =>
  a === b ||
  (Object.keys(a) as (keyof Instance)[]).every(
    (key) => a[key] === b[key] || (typeof a[key] === 'object' && JSON.stringify(a[key]) === JSON.stringify(b[key])),
  );
