/**
 * The CPU that every host of a cluster has, as libvirt computes it, and the guests that could not go to every host. It is
 * computed on one of the hosts: elsewhere libvirt before 11.6 mixes the CPU of its own host in.
 */
import {
  FerryError,
  unfitGuests,
  versionOf,
  type ClusterGuest,
  type CpuThere,
  type GuestCpu,
  type HostView,
  type UnfitGuest,
  type Vm,
} from '@ferry/core';
import type { HostLink } from '../ports/ports.ts';
import { turnsOf } from './turns.ts';

/** Questions to one host at a time. */
const atOnce = 8;

export interface CpuBaseline {
  readonly cluster: string;
  /** `<cpu>` for definitions. */
  readonly cpu: string;
  readonly computedOn: string;
  readonly hosts: readonly string[];
  /** Hosts that it says nothing about, and why. */
  readonly leftOut: readonly { readonly host: string; readonly why: string }[];
  readonly unfit: readonly UnfitGuest[];
}

export interface CpuBaselineDeps {
  readonly linkOf: (id: string) => HostLink;
  readonly vms: () => readonly Vm[];
}

interface Member {
  readonly view: HostView;
  readonly link: HostLink;
  /** What its QEMU gives to a guest with host-model. */
  readonly model: string;
}

/** Throws FerryError `host-unreachable`, `host-refused`. */
export async function cpuBaseline(
  { linkOf, vms }: CpuBaselineDeps,
  cluster: string,
  views: readonly HostView[],
  signal: AbortSignal,
): Promise<CpuBaseline> {
  const leftOut: { readonly host: string; readonly why: string }[] = [];
  const [arch, type] = [archOf(views), typeOf(views)];
  const found = await Promise.all(
    views.map(async (view): Promise<Member | undefined> => {
      const why = notComparable(view, arch, type);
      try {
        if (why !== undefined) throw new FerryError('host-refused', why);
        const link = linkOf(view.host.id);
        return { view, link, model: await link.inventory.hostModel({ arch, type }, signal) };
      } catch (error) {
        if (signal.aborted || !(error instanceof FerryError)) throw error;
        leftOut.push({ host: view.host.name, why: error.message });
        return undefined;
      }
    }),
  );
  const members = found.filter((each) => each !== undefined);
  const newest = members.toSorted(
    (a, b) => versionOf(b.view.facts?.libvirtVersion) - versionOf(a.view.facts?.libvirtVersion),
  )[0];
  if (newest === undefined)
    throw new FerryError(
      'host-unreachable',
      `No host of the cluster ${cluster} can be asked: ${leftOut.map(({ host, why }) => `${host}: ${why}`).join(' ')}`,
    );
  const cpu = await newest.link.inventory.baselineCpu(
    members.map(({ model }) => model),
    { arch, type },
    signal,
  );
  const guests = await guestsOf(members, vms(), signal);
  const differ = new Set(members.map(({ model }) => model)).size > 1;
  return {
    cluster,
    cpu,
    computedOn: newest.view.host.name,
    hosts: members.map(({ view }) => view.host.name),
    leftOut: leftOut.toSorted((a, b) => (a.host < b.host ? -1 : 1)),
    unfit: unfitGuests(guests, await compared(members, guests, signal), differ),
  };
}

const archOf = (views: readonly HostView[]): string =>
  views.find(({ facts }) => facts !== undefined)?.facts?.cpu.arch ?? '';

/** Undefined where the host does not report them. */
const typesOf = ({ facts }: HostView): readonly string[] | undefined =>
  facts?.guests?.find(({ arch }) => arch === facts.cpu.arch)?.domainTypes;

/** Guests of a cluster with KVM have it. */
const typeOf = (views: readonly HostView[]): string =>
  views.some((view) => typesOf(view)?.includes('kvm') === true) ? 'kvm' : 'qemu';

function notComparable(view: HostView, arch: string, type: string): string | undefined {
  if (view.state !== 'connected') return view.stateDetail ?? 'It does not answer.';
  if (view.facts?.cpu.arch !== arch) return `It is ${view.facts?.cpu.arch ?? 'unknown'}, not ${arch}.`;
  return typesOf(view)?.includes(type) === false ? 'It has no KVM.' : undefined;
}

async function guestsOf(
  members: readonly Member[],
  vms: readonly Vm[],
  signal: AbortSignal,
): Promise<readonly ClusterGuest[]> {
  const found = members.map(async ({ view, link }) => {
    const turns = turnsOf(atOnce);
    const running = vms.filter(({ hostId, state }) => hostId === view.host.id && state !== 'shut-off');
    return Promise.all(
      running.map(async ({ name, uuid }): Promise<ClusterGuest> => {
        const cpu = await turns
          .take(() => link.definitions.cpuOf(uuid, signal), signal)
          .catch((error: unknown) => {
            // it went, or stopped, just now
            if (signal.aborted || !(error instanceof FerryError)) throw error;
            return undefined;
          });
        return { vm: name, host: view.host.name, ...(cpu === undefined ? {} : { cpu }) };
      }),
    );
  });
  return (await Promise.all(found)).flat();
}

/** Most guests have one of a few CPUs: each is asked for once on each host. */
async function compared(
  members: readonly Member[],
  guests: readonly ClusterGuest[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ReadonlyMap<string, CpuThere>>> {
  const cpus = new Map<string, GuestCpu>(
    guests.flatMap(({ cpu }) => (cpu === undefined || cpu.passthrough ? [] : [[cpu.xml, cpu] as const])),
  );
  const answers = [...cpus].map(async ([xml, cpu]) => {
    const of = members.map(
      async ({ view, link }) => [view.host.name, await link.definitions.compareCpu(cpu, signal)] as const,
    );
    return [xml, new Map(await Promise.all(of))] as const;
  });
  return new Map(await Promise.all(answers));
}
