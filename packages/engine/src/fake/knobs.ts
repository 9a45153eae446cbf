/**
 * What a test may make go wrong with one simulated host or with the next move, around its drivers; and the list of the
 * calls that change something.
 */
import { FerryError, type CallFailure, type SeenFile } from '@ferry/core';
import type { SimulatedDomain, SimulatedHost } from '@ferry/simulation';
import type { Clock, HostLink } from '../ports/ports.ts';

/** What can be wrong with a host. */
interface Knobs {
  machineUuid: string;
  /** In a folder that all share: what this host sees in place of what the others do. */
  readonly ownFiles: Map<string, SeenFile | 'none'>;
  /** What is seen of a domain, and to shut it down, is answered after this time. */
  slowMs: number;
  /** It takes this time before it takes snapshots off a VM. */
  slowStripMs: number;
  freeMemoryBytes: number;
  /** Its daemon takes what is sent and says nothing. */
  hangs: boolean;
  /** Why its QEMU starts nothing. */
  broken?: string;
  /** Why it asks no guest to shut down. */
  refusesShutdown?: string;
  /** Its daemon lets further clients wait. */
  crowded: boolean;
  /** Hosts of one SAN see the same devices. */
  san: string;
  /** Knows definitions of newer hosts only as they are given to other hosts. */
  older: boolean;
  /** Deleting a volume fails. */
  sticky: boolean;
  /** Its connections end. */
  drop: () => void;
}

export type FakeHost = Omit<SimulatedHost, 'domains'> & Knobs & { readonly domains: Map<string, SimulatedDomain> };

/** What the next migration does: how long it takes, whether the call fails, whether the guest moves nevertheless. */
export interface NextMove {
  durationMs: number;
  failure?: CallFailure;
  moves: boolean;
  /** What is measured of any guest; absent: the hosts cannot. */
  dirtyBytesPerSecond?: number | Error;
}

export interface Surroundings {
  readonly clock: Clock;
  readonly next: NextMove;
  readonly calls: string[];
}

/** Calls that change something, as they are noted. */
const changes = {
  instances: { mark: 'mark' },
  power: {
    start: 'start',
    startHelper: 'start helper',
    suspend: 'suspend',
    resume: 'resume',
    shutdown: 'shutdown',
    end: 'remove process',
  },
  transfer: { perform: 'perform', abort: 'abort' },
  steering: { startPostCopy: 'post-copy', releaseThrottle: 'release throttle', cutCopies: 'cut copies' },
  guest: { announce: 'announce', dirtyRate: 'dirty rate' },
  definitions: { write: 'define', undefine: 'remove definition' },
  volumes: { create: 'create volume' },
  files: { remove: 'delete volume' },
} as const satisfies { readonly [port in keyof HostLink]?: { readonly [call: string]: string } };

export function withKnobs(link: HostLink, host: FakeHost, { clock, next, calls }: Surroundings): HostLink {
  const note = (call: string): void => void calls.push(`${host.name} ${call}`);
  const mustAnswer = (): void => {
    if (!host.reachable) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
  };
  const mustSpeak = async (signal: AbortSignal): Promise<void> => {
    mustAnswer();
    while (host.hangs) await clock.sleep(100, signal);
  };
  const noted = (port: object, what: { readonly [call: string]: string }): object => ({
    ...port,
    ...Object.fromEntries(
      Object.entries(what).map(([call, words]) => [
        call,
        async (...args: unknown[]): Promise<unknown> => {
          mustAnswer();
          note(words);
          return Reflect.apply(Reflect.get(port, call) as (...given: unknown[]) => unknown, port, args);
        },
      ]),
    ),
  });
  const ports = Object.entries(changes).map(([name, words]) => [
    name,
    noted(link[name as keyof typeof changes], words),
  ]);
  const { inventory, instances, power, transfer, steering, guest, definitions, volumes, paths, files } = {
    ...link,
    ...(Object.fromEntries(ports) as Pick<HostLink, keyof typeof changes>),
  };
  return {
    ...link,
    instances: {
      ...instances,
      async observe(uuid, signal) {
        if (host.slowMs > 0) await clock.sleep(host.slowMs);
        return instances.observe(uuid, signal);
      },
    },
    power: {
      ...power,
      async start(uuid, signal) {
        if (host.broken !== undefined) throw new Error(host.broken);
        return power.start(uuid, signal);
      },
      async shutdown(uuid, signal) {
        if (host.refusesShutdown !== undefined) throw new Error(host.refusesShutdown);
        if (host.slowMs > 0) await clock.sleep(host.slowMs);
        return power.shutdown(uuid, signal);
      },
    },
    transfer: {
      ...transfer,
      async perform(request, signal) {
        const going = transfer.perform(request, signal);
        if (!next.moves) {
          await clock.sleep(next.durationMs);
          await link.transfer.abort(request.uuid, signal).catch(() => undefined);
        }
        const answer = await going;
        return next.failure === undefined ? answer : { failure: next.failure };
      },
    },
    steering: {
      ...steering,
      async tune(uuid, limits, signal) {
        await steering.tune(uuid, limits, signal);
        note(`tune ${JSON.stringify(limits)}`);
      },
    },
    guest: {
      ...guest,
      async dirtyRate(uuid, seconds, signal) {
        await guest.dirtyRate(uuid, seconds, signal);
        const { dirtyBytesPerSecond: bytesPerSecond } = next;
        if (bytesPerSecond instanceof Error) throw bytesPerSecond;
        return bytesPerSecond === undefined ? { refused: 'this QEMU cannot measure it' } : { bytesPerSecond };
      },
    },
    snapshots: {
      ...link.snapshots,
      async strip(uuid, taken, signal) {
        if (host.slowStripMs > 0) await clock.sleep(host.slowStripMs);
        return link.snapshots.strip(uuid, taken, signal);
      },
    },
    definitions: {
      ...definitions,
      readMigratable: async (uuid, signal) =>
        JSON.stringify({ ...(JSON.parse(await definitions.readMigratable(uuid, signal)) as object), portable: true }),
      async write(json, signal) {
        if (host.older && !('portable' in (JSON.parse(json) as object))) throw new Error('unknown watchdog model');
        return definitions.write(json, signal);
      },
    },
    volumes,
    files: {
      ...files,
      async remove(path, signal) {
        if (host.sticky) throw new Error('the volume is in use');
        return files.remove(path, signal);
      },
    },
    async takesAnother(signal) {
      await mustSpeak(signal);
      while (host.crowded) await clock.sleep(100, signal);
    },
    inventory: {
      ...inventory,
      async facts(signal) {
        const facts = await inventory.facts(signal);
        const { freeMemoryBytes, machineUuid } = host;
        return { ...facts, cpu: { ...facts.cpu, threads: 2 }, memoryBytes: 4e9, freeMemoryBytes, machineUuid };
      },
      async freeMemory(signal) {
        await mustSpeak(signal);
        return host.freeMemoryBytes;
      },
      async machineUuid() {
        mustAnswer();
        return host.machineUuid;
      },
    },
    paths: {
      ...paths,
      // a file in /shared is the same for all hosts, unless a host has its own there
      async fileAt(path, signal) {
        const own = host.ownFiles.get(path);
        if (own === 'none') return undefined;
        return own ?? (path.startsWith('/shared/') ? { sizeBytes: 1_000, changedNs: 1n } : paths.fileAt(path, signal));
      },
      identityOf: async (path) => (path === '/dev/vg/lv' ? `lv-${host.san}` : undefined),
    },
  };
}
