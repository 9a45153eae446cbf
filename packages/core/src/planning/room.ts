/**
 * What hosts have left for migrations that come in: slots, ports of the cluster's range and memory, once those that
 * hold reservations have theirs. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { HostId } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { hostKey, memoryPromised, portsTaken, type Ledger } from './ledger.ts';
import { networkSlots, slotsLeft, targetSlots } from './slots.ts';
import { freePorts } from './ports.ts';

/** What a host has left; Infinity where nothing limits it, or nothing is known. */
export interface Room {
  readonly slots: number;
  /** Of the migration network that leads to it. */
  readonly networkSlots: number;
  readonly ports: number;
  readonly memoryBytes: number;
  /** No migration holds anything of the host: none will give back what is missing. */
  readonly isUnheld?: true;
}

/** Migrations that leave the host or come to it, also those that wait. */
export const loadOn = (id: HostId, active: readonly Pick<Migration, 'from' | 'to'>[]): number =>
  active.filter(({ from, to }) => from.id === id || to?.id === id).length;

export function roomOn({ host, freeMemoryBytes }: Pick<HostView, 'host' | 'freeMemoryBytes'>, ledger: Ledger): Room {
  const cluster = ledger.clusterOf(host.id);
  const reserved = ledger.of(hostKey(host.id));
  return {
    slots: slotsLeft(targetSlots(ledger, host)),
    networkSlots: slotsLeft(networkSlots(ledger, cluster)),
    ports: freePorts(cluster, portsTaken(reserved))?.length ?? Number.POSITIVE_INFINITY,
    memoryBytes: freeMemoryBytes === undefined ? Number.POSITIVE_INFINITY : freeMemoryBytes - memoryPromised(reserved),
    ...(Object.keys(reserved).length === 0 ? { isUnheld: true } : {}),
  };
}
