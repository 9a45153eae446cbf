/**
 * What Ferry says, held against what is true: of each VM within the delay that it promises, of each migration at its
 * end, and of everything once all is healed.
 */
import { isFinished, vmUuid, type Migration, type Vm } from '@ferry/core';
import type { Engine } from '@ferry/engine';
import type { GuestSpec, SimulatedHost } from '../fleet.ts';
import { folderOf } from '../storage.ts';
import type { Truth } from './truth.ts';

/** Changes of a host that answers are seen at the latest after this time. */
const delayMs = 15_000;
/** Time that Ferry has to find everything again after a disturbance. */
const recoveryMs = 45_000;

export interface Claims {
  raised(vm: string): void;
  accepted(migration: Migration): void;
  ended(migration: Migration): void;
  see(vms: readonly Vm[], hostNameOf: (id: string) => string): void;
  /** One that came into being on the day. */
  made(guest: GuestSpec): void;
  /** From when on what Ferry was told may still be what it says. */
  readonly since: () => number;
  atTheEnd(
    engine: Engine,
    end: {
      readonly hosts: ReadonlyMap<string, SimulatedHost>;
      readonly guests: readonly GuestSpec[];
      readonly migrations: readonly Migration[];
      /** A drain has shut the VM down, as its label says: it runs since, or stays shut off. */
      readonly wasShutDown: (vm: string) => boolean;
      readonly isStopped: (vm: string) => boolean;
    },
  ): Promise<void>;
  readonly say: (what: string) => void;
  readonly broken: readonly string[];
}

export function createClaims({
  truth,
  now,
  undisturbedSince,
  isKnown,
}: {
  readonly truth: Truth;
  /** The host is one of Ferry's now. */
  readonly isKnown: (host: string) => boolean;
  readonly now: () => number;
  /** Undefined while something keeps Ferry from seeing. */
  readonly undisturbedSince: () => number | undefined;
}): Claims {
  const broken: string[] = [];
  const raisedOf = new Set<string>();
  const madeLater: GuestSpec[] = [];
  const accepted = new Map<string, Migration>();
  const say = (what: string): void => {
    if (!broken.includes(what)) broken.push(what);
  };
  /** Where Ferry can know it to be active. */
  const knownPlaces = (uuid: Migration['vm']['uuid']): readonly string[] =>
    truth.places(uuid).filter((place) => !place.endsWith(':shut-off') && isKnown(place.replace(/:.*/, '')));
  const windowStart = (): number => {
    const since = undisturbedSince();
    return since === undefined || now() - since < recoveryMs ? now() - 10 * 60_000 : now() - delayMs;
  };

  return {
    broken,
    say,
    raised: (vm) => void raisedOf.add(vm),
    accepted: (migration) => void accepted.set(migration.id, migration),
    ended({ vm, outcome, vmIsNow, error, to, plan }) {
      if (error?.code === 'vm-two-copies') raisedOf.add(vm.name);
      if (error?.code === 'post-copy-lost' && truth.harmed(vm.uuid) === undefined)
        say(`a migration of ${vm.name} gives up its post-copy, and both halves were there`);
      if (truth.twiceByItself(vm.uuid)) return;
      const since = windowStart();
      const moments = truth.history(vm.uuid, since);
      const wasThere = (host: string, state?: string): boolean =>
        moments.some(({ places }) =>
          places.some((place) => (state === undefined ? place.startsWith(`${host}:`) : place === `${host}:${state}`)),
        );
      const isTwice = (places: readonly string[]): boolean =>
        ['running', 'paused'].some((state) => places.filter((place) => place.endsWith(`:${state}`)).length > 1);
      if (
        error?.code === 'vm-two-copies' &&
        truth.harmed(vm.uuid) === undefined &&
        !moments.some(({ places }) => isTwice(places))
      )
        say(
          `a migration of ${vm.name} says that there are two copies, and it is ${truth.places(vm.uuid).join(' and ')}`,
        );
      if (vmIsNow !== undefined && vmIsNow.state !== 'unknown' && !wasThere(vmIsNow.host, vmIsNow.state))
        say(
          `a migration of ${vm.name} ends with "${vmIsNow.state} on ${vmIsNow.host}", which it was not: it was ` +
            moments.map(({ places }) => places.join(' ')).join(', '),
        );
      if (outcome === 'succeeded' && to !== undefined && !wasThere(to.name))
        say(`a migration of ${vm.name} to ${to.name} "succeeded", and the VM was never there`);
      if (outcome === 'succeeded' && plan?.how === 'guest' && to !== undefined && knownPlaces(vm.uuid).length > 1)
        say(`a migration of ${vm.name} "succeeded", and it is ${truth.places(vm.uuid).join(' and ')}`);
      if (error?.code === 'vm-lost' && moments.every(({ places }) => places.length > 0))
        say(`a migration of ${vm.name} says that it is lost, and it is ${truth.places(vm.uuid).join(' ')}`);
    },
    see(vms, hostNameOf) {
      const since = undisturbedSince();
      if (since === undefined || now() - since < recoveryMs) return;
      for (const vm of vms) {
        const said = `${hostNameOf(vm.hostId)}:${vm.state}`;
        if (!truth.knows(vm.uuid) || vm.state === 'unknown' || truth.twiceByItself(vm.uuid)) continue;
        const moments = truth.history(vm.uuid, now() - delayMs);
        if (!moments.some(({ places }) => places.includes(said)) && truth.places(vm.uuid).length > 0)
          say(
            `Ferry says ${vm.name} is ${said}, and for ${delayMs / 1_000} s it has been ${truth.places(vm.uuid).join(' ')}`,
          );
      }
    },
    made: (guest) => void madeLater.push(guest),
    since: windowStart,
    async atTheEnd(engine, { hosts, guests: first, migrations, wasShutDown, isStopped }) {
      const guests = [...first, ...madeLater];
      for (const [id, { vm }] of accepted)
        if (!migrations.some((each) => each.id === id)) say(`the accepted migration ${id} of ${vm.name} is forgotten`);
      for (const guest of guests) {
        const uuid = vmUuid(guest.uuid);
        const places = truth.places(uuid);
        const harmed = truth.harmed(uuid);
        const twice = truth.twiceByItself(uuid);
        const last = migrations.find((each) => each.vm.uuid === uuid && isFinished(each));
        const told = `${last?.error?.message ?? ''} ${last?.attention ?? ''}`;
        if (twice && places.length > 1 && !raisedOf.has(guest.name) && last?.error?.code !== 'vm-two-copies')
          say(`${guest.name} runs twice, and Ferry does not say so`);
        if (twice) continue;
        if (places.length === 0 && harmed === undefined) say(`${guest.name} is lost`);
        if (harmed !== undefined) continue;
        const wanted = truth.hasStarted(uuid) ? 'running' : (guest.state ?? 'running');
        const isAsBefore = places.some(
          (place) => place.endsWith(`:${wanted}`) || (wasShutDown(guest.name) && place.endsWith(':running')),
        );
        if (!isAsBefore && !isStopped(guest.name) && !/paused|two copies|stopped/i.test(told))
          say(`${guest.name} was ${wanted} and is ${places.join(' ')}, and nobody did that: ${told}`);
        const kept = new Set(
          [...hosts.values()].flatMap((host) => host.domains.get(uuid)?.snapshots.map(({ name }) => name) ?? []),
        );
        for (const snapshot of guest.snapshots ?? [])
          if (!kept.has(snapshot)) say(`${guest.name} has lost its snapshot ${snapshot}: ${told}`);
        const view = engine.vms().find((vm) => vm.uuid === uuid);
        if (view === undefined) say(`Ferry does not know ${guest.name}`);
        const conflicts = view?.instances.filter(({ role }) => role === 'conflict' || role === 'incoming') ?? [];
        if (conflicts.length > 0 && last?.error === undefined && !raisedOf.has(guest.name))
          say(
            `${guest.name} has something left of which nobody was told: ` +
              conflicts.map(({ hostId, role }) => `${engine.hostNameOf(hostId)} (${role})`).join(', '),
          );
      }
      const known = new Set(guests.map(({ uuid }) => uuid));
      for (const host of hosts.values())
        for (const { uuid, name } of host.domains.values())
          if (!known.has(uuid)) say(`the helper ${name} is left on ${host.name}`);
      const recorded = new Set((await engine.leftovers()).map(({ hostName, path }) => `${hostName}:${path}`));
      for (const host of hosts.values())
        for (const path of host.volumes.keys()) {
          const named = [...hosts.values()].some(
            (each) =>
              (each === host || host.sharedFolders.includes(folderOf(path))) &&
              [...each.domains.values()].some(({ disks }) => disks.some((disk) => disk.path === path)),
          );
          const isRecorded = [...hosts.values()].some(
            ({ name }) =>
              (name === host.name || host.sharedFolders.includes(folderOf(path))) && recorded.has(`${name}:${path}`),
          );
          const mine = guests.find(({ disks = [] }) => disks.some((disk) => disk.path === path));
          const harmed = mine !== undefined && truth.harmed(vmUuid(mine.uuid)) !== undefined;
          // a marker that proves a shared folder is recorded, and the next start removes it
          if (!named && !isRecorded && !harmed && !path.includes('/ferry-proof-'))
            say(`${path} is left on ${host.name}, and nobody knows whose it is`);
        }
    },
  };
}
