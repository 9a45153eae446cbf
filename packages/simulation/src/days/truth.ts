/**
 * What is true in the simulated world, watched from outside: where each VM runs, whose data its disks are, and what of
 * that Ferry must not have let happen. It knows the world only, and nothing of what Ferry believes.
 */
import type { VmUuid } from '@ferry/core';
import type { Job, Nature, SimulatedDomain, SimulatedHost, SimulatedWorld } from '../fleet.ts';
import { isActive } from '../domains.ts';
import { folderOf } from '../storage.ts';

const runStates: readonly string[] = ['running', 'blocked', 'shutting-down'];
export const isRunning = ({ state }: SimulatedDomain): boolean => runStates.includes(state);

/** Where a VM was, as a look would have shown it: `host:state` of what is not shut off, else of its definitions. */
export interface Moment {
  readonly at: number;
  readonly places: readonly string[];
}

export interface Truth {
  readonly nature: Pick<Nature, 'copied' | 'resumedItself'>;
  /** Looks at the whole world. */
  look(): void;
  /** One of the fleet's VMs, and no helper. */
  knows(uuid: VmUuid): boolean;
  places(uuid: VmUuid): readonly string[];
  /** From `since` on, what was true just before included. */
  history(uuid: VmUuid, since: number): readonly Moment[];
  /** Somebody other than Ferry has started it. */
  started(uuid: VmUuid): void;
  hasStarted(uuid: VmUuid): boolean;
  /** Something other than Ferry ended, paused or lost the VM. */
  harm(uuid: VmUuid, what: string): void;
  harmed(uuid: VmUuid): string | undefined;
  /** Ran twice by libvirt's own doing. */
  twiceByItself(uuid: VmUuid): boolean;
  readonly broken: readonly string[];
}

export function watchTruth(
  vms: readonly VmUuid[],
  world: () => SimulatedWorld,
  now: () => number,
  nameOf: (uuid: VmUuid) => string,
): Truth {
  const histories = new Map<VmUuid, Moment[]>(vms.map((uuid) => [uuid, []]));
  const harms = new Map<VmUuid, string>();
  const byItself = new Set<VmUuid>();
  const startedOnes = new Set<VmUuid>();
  const broken: string[] = [];
  /** Of each disk's path: the version of what it holds; and the newest of each VM. */
  const versions = new Map<string, number>();
  const newest = new Map<VmUuid, number>();
  const ranOn = new Map<VmUuid, readonly string[]>();
  const place = (host: SimulatedHost, path: string): string =>
    host.sharedFolders.includes(folderOf(path)) ? path : `${host.name}:${path}`;
  const isBroken = (what: string): void => {
    if (!broken.includes(what)) broken.push(what);
  };

  const runsFromNowOn = (host: SimulatedHost, domain: SimulatedDomain): void => {
    const { uuid, disks } = domain;
    const expected = newest.get(uuid) ?? 0;
    for (const { path } of disks) {
      const held = versions.get(place(host, path)) ?? 0;
      if (!host.volumes.has(path)) isBroken(`${nameOf(uuid)} runs on ${host.name} without its disk ${path}`);
      else if (held !== expected)
        isBroken(`${nameOf(uuid)} runs on ${host.name} with old or unfinished data in ${path}`);
    }
    newest.set(uuid, expected + 1);
    for (const { path } of disks) versions.set(place(host, path), expected + 1);
  };

  const placesOf = (uuid: VmUuid): { readonly places: readonly string[]; readonly running: readonly string[] } => {
    const all = [...world().hosts.values()].flatMap((host) => {
      const domain = host.domains.get(uuid);
      return domain === undefined || !host.powered ? [] : [{ host, domain }];
    });
    const active = all.filter(({ domain }) => isActive(domain));
    const shown = active.length > 0 ? active : all;
    return {
      places: shown.map(({ host, domain }) => `${host.name}:${domain.state}`),
      running: active.filter(({ domain }) => isRunning(domain)).map(({ host }) => host.name),
    };
  };

  const look = (): void => {
    for (const uuid of vms) {
      const { places, running } = placesOf(uuid);
      const before = ranOn.get(uuid) ?? [];
      for (const name of running) {
        const host = world().hosts.get(name);
        const domain = host?.domains.get(uuid);
        if (!before.includes(name) && host !== undefined && domain !== undefined && !byItself.has(uuid))
          runsFromNowOn(host, domain);
      }
      ranOn.set(uuid, running);
      if (running.length > 1 && !byItself.has(uuid))
        isBroken(`${nameOf(uuid)} runs twice, on ${running.join(' and ')}`);
      const history = histories.get(uuid);
      const last = history?.at(-1);
      if (last === undefined || last.places.join() !== places.join()) history?.push({ at: now(), places });
    }
  };

  return {
    nature: {
      copied(from, to, disks) {
        for (const [here, there] of disks) versions.set(place(to, there), versions.get(place(from, here)) ?? 0);
      },
      resumedItself(job: Job) {
        const { uuid } = job.domain;
        if (isRunning(job.incoming) && job.to.domains.get(uuid) === job.incoming && job.to.powered) byItself.add(uuid);
        else {
          harms.set(uuid, 'its target died before the source heard of it');
          // what it wrote there is lost with the target, and libvirt goes on with what the source has
          const [disk] = job.domain.disks;
          if (disk !== undefined) newest.set(uuid, versions.get(place(job.from, disk.path)) ?? 0);
        }
      },
    },
    look,
    knows: (uuid) => histories.has(uuid),
    places: (uuid) => placesOf(uuid).places,
    history(uuid, since) {
      const all = histories.get(uuid) ?? [];
      const first = all.findLastIndex(({ at }) => at <= since);
      return all.slice(Math.max(0, first));
    },
    started: (uuid) => void startedOnes.add(uuid),
    hasStarted: (uuid) => startedOnes.has(uuid),
    harm: (uuid, what) => void harms.set(uuid, what),
    harmed: (uuid) => harms.get(uuid),
    twiceByItself: (uuid) => byItself.has(uuid),
    broken,
  };
}
