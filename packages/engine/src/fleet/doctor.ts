/** Asks hosts what "ferry host doctor" has to know. Each question has its own time: what one does not answer, others may. */
import {
  examine,
  type Cluster,
  type DoctorFinding,
  type HostExamined,
  type HostId,
  type HostResources,
  type HostView,
  type PoolFacts,
} from '@ferry/core';
import type { Markers } from '../planning/markers.ts';
import type { Clock, HostLink } from '../ports/ports.ts';
import type { Peers } from './peer-reachability.ts';

/** A cheap question that a daemon does not answer within this time hangs. */
const patienceMs = 5_000;

export interface DoctorDeps {
  readonly clock: Clock;
  readonly markers: Pick<Markers, 'leave'>;
  readonly peers: Pick<Peers, 'refusalsOf'>;
  readonly linkOf: (id: string) => HostLink;
  readonly hosts: () => readonly HostView[];
  readonly clusters: () => ReadonlyMap<string, Cluster>;
}

/** Rejects only when the signal aborts. */
export async function diagnose(
  deps: DoctorDeps,
  chosen: readonly HostView[],
  signal: AbortSignal,
): Promise<readonly DoctorFinding[]> {
  const [hosts, refusals] = await Promise.all([
    Promise.all(chosen.map((view) => examined(deps, view, signal))),
    Promise.all(
      chosen.map(async ({ host }) => {
        const of = await deps.peers.refusalsOf(host.id);
        return [host.id, new Map([...of].map(([to, { message }]) => [to, message]))] as const;
      }),
    ),
  ]);
  return examine({
    hosts,
    fleet: deps.hosts(),
    clusters: deps.clusters(),
    refusals: new Map<HostId, ReadonlyMap<HostId, string>>(refusals),
    now: deps.clock.now(),
  });
}

async function examined(deps: DoctorDeps, view: HostView, signal: AbortSignal): Promise<HostExamined> {
  if (view.state !== 'connected') return { view, silent: [] };
  const { clock } = deps;
  const silent: { readonly what: string; readonly why: string }[] = [];
  const ask = async <T>(
    what: string,
    question: (within: AbortSignal) => Promise<T>,
    failed = (why: string): void => void silent.push({ what, why }),
  ): Promise<T | undefined> => {
    const patience = clock.timeout(patienceMs);
    try {
      return await question(AbortSignal.any([signal, patience]));
    } catch (error) {
      if (signal.aborted) throw error;
      failed(patience.aborted ? `no answer within ${patienceMs / 1_000} s` : reasonOf(error));
      return undefined;
    }
  };
  let link: HostLink;
  try {
    link = deps.linkOf(view.host.id);
  } catch (error) {
    // it went just now
    return { view, silent: [{ what: 'anything', why: reasonOf(error) }] };
  }
  let full: string | undefined;
  const [pools, resources] = await Promise.all([
    ask('which storage pools it has', (within) => link.volumes.pools(within)),
    ask('which networks and secrets it has', (within) => resourcesOf(link, within)),
    ask(
      'whether it takes another connection',
      (within) => link.takesAnother(within),
      (why) => {
        full = why;
      },
    ),
  ]);
  const time = await ask('what time it is', (within) => clockOf(deps, view, link, pools ?? [], within));
  return {
    view,
    silent,
    ...(pools === undefined ? {} : { pools }),
    ...(resources === undefined ? {} : { resources }),
    ...(full === undefined ? {} : { full }),
    ...(time === undefined ? {} : { clock: time }),
    ...(link.certificateUntil === undefined ? {} : { certificateUntil: link.certificateUntil }),
  };
}

/** Whether secrets have a value is asked by their names. */
async function resourcesOf({ resources }: HostLink, signal: AbortSignal): Promise<HostResources> {
  const found = await resources.look([], [], signal);
  return found.secrets.size === 0 ? found : resources.look([...found.secrets.keys()], [], signal);
}

/** From the time of a file that is made there: libvirt has no call that asks a host for its time. */
async function clockOf(
  { clock, markers }: DoctorDeps,
  { host: { name, machineUuid } }: HostView,
  { paths }: HostLink,
  pools: readonly PoolFacts[],
  signal: AbortSignal,
): Promise<HostExamined['clock']> {
  const folder = pools.find(({ active, path }) => active && path !== undefined)?.path;
  if (folder === undefined) return undefined;
  const before = clock.now();
  await using marker = await markers.leave({ name, machine: machineUuid, paths }, folder, signal);
  const after = clock.now();
  const seen = marker.folder ? await paths.fileAt(`${folder}/${marker.name}`, signal) : undefined;
  if (seen === undefined) return undefined;
  return { aheadMs: Number(seen.changedNs / 1_000_000n) - (before + after) / 2, withinMs: (after - before) / 2 };
}

const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
