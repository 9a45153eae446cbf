/**
 * For tests of the engine: the simulated fleet (packages/simulation) with knobs for what goes wrong with a host or the
 * next move, and a list of the calls that change something. It simulates nothing itself.
 */
import type { SeenFile } from '@ferry/core';
import { createDomain, createHost, simulatedHypervisor, steadyLink, type SimulatedDomain } from '@ferry/simulation';
import type { Clock, Hypervisor, Log } from '../ports/ports.ts';
import { virtualTime } from '../time/virtual-time.ts';
import { withKnobs, type FakeHost, type NextMove } from './knobs.ts';

export type { FakeHost } from './knobs.ts';

/** Every guest has this much memory. */
const memoryBytes = 256 * 1_048_576;

export type FakeDomain = Partial<Omit<SimulatedDomain, 'uuid'>> & {
  readonly uuid: string;
  readonly name: string;
  /** Path of its one disk. */
  readonly disk?: string;
};

export interface FakeFleet {
  readonly hypervisor: Hypervisor;
  readonly hosts: ReadonlyMap<string, FakeHost>;
  readonly next: NextMove;
  /** Every call that changes something, in order: `host call`. */
  readonly calls: string[];
  add(name: string): FakeHost;
  /** Migrations that leave this host at the moment. */
  leaving(host: string): number;
  /** The machine is gone, with what was on its way to it. */
  lose(host: string): void;
  /** The address leads to this host until it is disposed. */
  alias(uri: string, host: string): Disposable;
  run(host: string, domain: FakeDomain): void;
}

export const uriOf = (name: string): string => `qemu+tcp://${name}/system`;

export function fakeFleet(clock: Clock): FakeFleet {
  const next: NextMove = { durationMs: 1_000, moves: true };
  const calls: string[] = [];
  const aliases = new Map<string, string>();
  const hosts = new Map<string, FakeHost>();
  const simulated = simulatedHypervisor({
    clock,
    hosts: [],
    guests: [],
    // one that is not to end goes on until it is aborted
    links: () => steadyLink(memoryBytes / (Math.max(1, next.durationMs) / 1_000) / (next.moves ? 1 : 1_000), 0),
  });
  const named = (uri: string): FakeHost | undefined =>
    hosts.get(aliases.get(uri) ?? '') ?? [...hosts.values()].find((each) => each.uri === uri);

  return {
    hosts,
    leaving: (name) => simulated.world.jobs().filter(({ from }) => from.name === name).length,
    lose(name) {
      for (const job of simulated.world.jobs()) if (job.to.name === name) simulated.world.endedIn(job);
      const host = hosts.get(name);
      if (host === undefined) throw new Error(`no host ${name}`);
      host.reachable = false;
      host.drop();
    },
    next,
    calls,
    hypervisor: {
      ...simulated.hypervisor,
      async connect(uri, signal) {
        const host = named(uri);
        const link = await simulated.hypervisor.connect(host?.uri ?? uri, signal);
        return host === undefined ? link : withKnobs(link, host, { clock, next, calls });
      },
    },
    add(name) {
      const host = Object.assign(createHost({ name, sharedFolders: ['/shared'] }), {
        machineUuid: `machine-${name}`,
        ownFiles: new Map<string, SeenFile | 'none'>(),
        slowMs: 0,
        slowStripMs: 0,
        freeMemoryBytes: 4e9,
        hangs: false,
        crowded: false,
        san: 'one',
        older: false,
        sticky: false,
        drop: () => simulated.drop(name),
      });
      simulated.add(host);
      const shown = host as unknown as FakeHost;
      hosts.set(name, shown);
      return shown;
    },
    alias(uri, host) {
      aliases.set(uri, host);
      return {
        [Symbol.dispose]: () => {
          aliases.delete(uri);
          hosts.get(host)?.drop();
        },
      };
    },
    run(name, { disk, ...given }) {
      const disks =
        disk === undefined
          ? []
          : [{ target: 'vda', path: disk, capacityBytes: 1_000, bytes: 500, writeBytesPerSecond: 0 }];
      const { uuid, ...more } = given;
      const memory = { totalBytes: memoryBytes, sets: [] };
      const domain = createDomain({ uuid, name: given.name, host: name, memory, deviceMs: 7, disks });
      simulated.run(name, Object.assign(domain, more));
    },
  };
}

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** Virtual time; texts and ids are counted. */
export function countingClock(): Clock & Disposable {
  let serial = 0;
  return {
    ...virtualTime(),
    anchor: () => ({ boot: 'virtual', offsetMs: 0 }),
    randomText: (length) => String((serial += 1)).padStart(length, '0'),
    randomUuid: () => `00000000-0000-4000-8000-${String((serial += 1)).padStart(12, '0')}`,
  };
}
