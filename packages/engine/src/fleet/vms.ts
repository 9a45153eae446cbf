/**
 * The fleet as VMs: what the hosts report, put together by core, and published when it has changed. Changes come in
 * bursts, so they are gathered a little before they are compared. What a change costs depends on what changed, and not
 * on the size of the fleet.
 */
import type { HostId, Instance, Migration, Vm, VmUuid } from '@ferry/core';
import type { EventHub } from '../events/event-hub.ts';
import type { Clock, InventoryCache, Log } from '../ports/ports.ts';
import type { HostFollower } from './host-follower.ts';
import type { KnownHosts } from './hosts.ts';
import type { KeptInstanceStore } from './kept-instances.ts';
import { createVmIndex, type VmIndex } from './vm-index.ts';

/** Changes of VMs are gathered this long before they are compared and published. */
const gatherMs = 20;
/** The cache of a host is written this long after a change: a guest that starts changes several times. */
const saveAfterMs = 1_000;
/** VMs that are compared in one turn. */
const atOnce = 500;

export interface FleetDeps {
  readonly knownHosts: Pick<KnownHosts, 'followers' | 'follower' | 'nameOf'>;
  readonly kept: Pick<KeptInstanceStore, 'isParked' | 'seen'>;
  readonly inventory: Pick<InventoryCache, 'save' | 'remove'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly labelsRevisionOf: (vm: VmUuid) => number;
  readonly hub: Pick<EventHub, 'publish'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  /** Called each time changes were compared, with the VMs that have more than one instance. */
  readonly seen: (vms: readonly Vm[]) => void;
  readonly signal: AbortSignal;
}

export interface Fleet extends Pick<VmIndex, 'all' | 'get' | 'find' | 'countOn' | 'on' | 'named'> {
  /** These VMs, or their instances on this host, have changed: they are compared and published soon. */
  changed(vms: Iterable<VmUuid>, host?: HostId): void;
  /** `seen` is called again soon. */
  lookAgain(): void;
  /** Writes what waits to be written. */
  flush(): Promise<void>;
}

export function createFleet({
  knownHosts,
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
  const index = createVmIndex({
    instance: (host, vm) => knownHosts.follower(host)?.instance(vm),
    answers: (host) => knownHosts.follower(host)?.view().state === 'connected',
    isParked: (vm, host) => kept.isParked(vm, host),
    migrationOf: (vm) => active().findLast((each) => each.vm.uuid === vm),
    nameOf: (host) => knownHosts.nameOf(host),
  });
  /** As last published. */
  const published = new Map<VmUuid, Published>();
  const changedVms = new Set<VmUuid>();
  const changedHosts = new Set<HostId>();
  let look = false;
  let working = false;
  /** Hosts that could not be compared with what is kept of them, since the store refused; tried with the next change. */
  const missed = new Set<HostId>();
  /** Hosts whose cache is older than what they reported. */
  const unsaved = new Set<HostId>();
  let saving: Promise<void> | undefined;

  const publish = (uuid: VmUuid): void => {
    const before = published.get(uuid);
    const vm = index.get(uuid);
    if (vm === undefined) {
      if (published.delete(uuid)) hub.publish({ type: 'vm-removed', uuid, name: before?.vm.name ?? uuid });
      return;
    }
    const labels = labelsOf(uuid);
    if (isPublished(before, vm, labels)) return;
    published.set(uuid, { vm, labels });
    hub.publish({ type: 'vm', vm, labels, revision: labelsRevisionOf(uuid) });
  };

  const save = async (follower: HostFollower): Promise<void> => {
    const { facts, state } = follower.view();
    const { id } = follower.host();
    // what a host said last, before it was lost, counts until it is back; one that has never answered has said nothing
    if (state !== 'connected' && facts === undefined) return;
    await inventory.save(id, { ...(facts === undefined ? {} : { facts }), instances: follower.instances() });
    // it was removed while that was written, and perhaps added again: then what it says now is stored
    const now = knownHosts.follower(id);
    if (now === undefined) await inventory.remove(id);
    else if (now !== follower) unsaved.add(id);
  };

  const saveAll = async (): Promise<void> => {
    for (const id of unsaved) {
      unsaved.delete(id);
      const follower = knownHosts.follower(id);
      if (follower === undefined) continue;
      try {
        await save(follower);
      } catch (error) {
        unsaved.add(id);
        throw error;
      }
    }
  };
  const notSaved = (error: unknown): void => {
    if (!signal.aborted) log.error({ err: error }, 'the inventory of a host could not be stored');
  };
  const saveLater = async (): Promise<void> => {
    try {
      await clock.sleep(saveAfterMs, signal);
      await saveAll();
    } catch (error) {
      // what the store refused waits for the next change
      return notSaved(error);
    } finally {
      saving = undefined;
    }
    if (unsaved.size > 0) saveSoon();
  };
  const saveSoon = (): void => {
    saving ??= saveLater();
  };

  const compareKept = async (id: HostId): Promise<void> => {
    const follower = knownHosts.follower(id);
    if (follower?.view().state !== 'connected') return;
    try {
      await kept.seen(id, follower.instances());
    } catch (error) {
      missed.add(id);
      log.error({ err: error, host: follower.host().name }, 'what is kept of instances could not be changed');
    }
  };

  const compareChanges = async (): Promise<void> => {
    look = false;
    for (const id of missed) changedHosts.add(id);
    missed.clear();
    for (const id of changedHosts) {
      changedHosts.delete(id);
      await compareKept(id);
      unsaved.add(id);
    }
    let step = 0;
    for (const uuid of changedVms) {
      changedVms.delete(uuid);
      publish(uuid);
      step += 1;
      // others have their turn in a long loop
      if (step % atOnce === 0) await clock.sleep(0, signal);
    }
    seen(index.several());
  };

  const isBehind = (): boolean => look || changedVms.size > 0 || changedHosts.size > 0;
  const work = async (): Promise<void> => {
    try {
      while (isBehind()) {
        await clock.sleep(gatherMs, signal);
        await compareChanges();
        if (unsaved.size > 0) saveSoon();
      }
    } finally {
      // at once: what changes from here on has to find nobody at work
      working = false;
    }
  };
  const workSoon = (): void => {
    if (working) return;
    working = true;
    void work().catch((error: unknown) => {
      if (!signal.aborted) log.error({ err: error }, 'changes of VMs could not be published');
    });
  };

  return {
    all: () => index.all(),
    get: (uuid) => index.get(uuid),
    find: (ref) => index.find(ref),
    countOn: (host) => index.countOn(host),
    on: (host) => index.on(host),
    named: (name) => index.named(name),
    changed(vms, host) {
      for (const uuid of vms) {
        index.touch(uuid, host);
        changedVms.add(uuid);
      }
      if (host !== undefined) changedHosts.add(host);
      workSoon();
    },
    lookAgain() {
      look = true;
      workSoon();
    },
    async flush() {
      await saving;
      await saveAll().catch(notSaved);
    },
  };
}

interface Published {
  readonly vm: Vm;
  readonly labels: readonly string[];
}

/** Parts that have not changed on their host are the same objects, so most of a large fleet is compared by identity. */
const isPublished = (before: Published | undefined, vm: Vm, labels: readonly string[]): boolean =>
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
