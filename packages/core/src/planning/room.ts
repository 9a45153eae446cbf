/**
 * What hosts have left for migrations that come in: ports of the cluster's range and memory, once those that were
 * chosen for them have taken theirs. Counted from what is stored, so within one control plane. Pure.
 */
import type { Cluster, HostView } from '../model/host.ts';
import type { HostId } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { freePorts, portsOf } from './transfer.ts';

/** What a host has left; Infinity where nothing limits it, or nothing is known. */
export interface Room {
  readonly ports: number;
  readonly memoryBytes: number;
}

type Chosen = Pick<Migration, 'id' | 'from' | 'to' | 'plan' | 'memoryBytes' | 'evidence' | 'request'>;

/** Migrations that leave the host or come to it. */
export const loadOn = (id: HostId, active: readonly Chosen[]): number =>
  active.filter(({ from, to }) => from.id === id || to?.id === id).length;

/** Ports of the host that migrations use, or that the host reported as used by others. */
export const portsUsedOn = (id: HostId, active: readonly Chosen[]): readonly number[] =>
  active.flatMap(({ to, plan, evidence }) =>
    to?.id === id ? [...portsOf(plan?.transfer), ...(evidence.portsBusy ?? [])] : [],
  );

/**
 * The whole memory of each guest that is on its way counts, what has arrived of it too: too much is kept free rather
 * than too little.
 */
export const memoryPromisedOn = (id: HostId, active: readonly Chosen[]): number =>
  active.reduce(
    (sum, { to, plan, request, memoryBytes = 0 }) =>
      to?.id === id && (plan?.how === 'guest' || plan?.how === 'stored-definition' || request.autoStart === true)
        ? sum + memoryBytes
        : sum,
    0,
  );

export const roomOn = (
  { host, freeMemoryBytes }: Pick<HostView, 'host' | 'freeMemoryBytes'>,
  cluster: Cluster,
  active: readonly Chosen[],
): Room => ({
  ports: freePorts(cluster, portsUsedOn(host.id, active))?.length ?? Number.POSITIVE_INFINITY,
  memoryBytes:
    freeMemoryBytes === undefined ? Number.POSITIVE_INFINITY : freeMemoryBytes - memoryPromisedOn(host.id, active),
});
