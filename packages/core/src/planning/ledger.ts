/**
 * The ledger: what is reserved of hosts, migration networks and the fleet, by whom, and the settings that say how much
 * there is of it. Only the shape, and the sums that others ask for. Pure.
 */
import { type Cluster, type FleetSettings, defaultCluster } from '../model/host.ts';
import type { HostId } from '../model/ids.ts';

/** What one migration holds of one host, of a migration network, or of the fleet. */
export interface Reservation {
  /** Name of the VM, for people. */
  readonly vm: string;
  /** Of a host: whether the migration leaves it or comes to it. */
  readonly side?: 'source' | 'target';
  readonly memoryBytes?: number;
  readonly ports?: readonly number[];
  /** Ports that the host said others use: nobody is given them while this migration lasts. */
  readonly portsBusy?: readonly number[];
}

/** By the id of the migration. */
export type Reservations = Readonly<Record<string, Reservation>>;

/** What is reserved, by key, and the settings that say how much there is. */
export interface Ledger {
  of(key: string): Reservations;
  clusterOf(host: HostId): Cluster;
  fleet(): FleetSettings;
}

/** Nothing is reserved, and nothing is set. */
export const emptyLedger: Ledger = {
  of: () => ({}),
  clusterOf: () => ({ name: defaultCluster }),
  fleet: () => ({}),
};

export const fleetKey = 'fleet';
export const hostKey = (id: HostId): string => `host/${id}`;
/** Hosts of a cluster without a migration network share one that has no name. */
export const networkKey = ({ name, migrationNetwork }: Cluster): string =>
  migrationNetwork === undefined ? `cluster/${name}` : `network/${migrationNetwork}`;

/** Without those of one migration. */
export function others(reservations: Reservations, self: string | undefined): Reservations {
  if (self === undefined || !Object.hasOwn(reservations, self)) return reservations;
  const { [self]: _, ...rest } = reservations;
  return rest;
}

export const memoryPromised = (reservations: Reservations): number =>
  Object.values(reservations).reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0);

/** Names of the VMs whose memory that is. */
export const promisedTo = (reservations: Reservations): readonly string[] =>
  Object.values(reservations).flatMap(({ vm, memoryBytes = 0 }) => (memoryBytes > 0 ? [vm] : []));

/** Ports that migrations have, or that the host reported as used by others. */
export const portsTaken = (reservations: Reservations): readonly number[] =>
  Object.values(reservations).flatMap(({ ports = [], portsBusy = [] }) => [...ports, ...portsBusy]);

/** What remains of reservations whose migration has ended, or lacks those of one that runs: as they should be. */
export function settled(
  reservations: Reservations,
  ended: ReadonlySet<string>,
  missing: ReadonlyMap<string, Reservation>,
): Reservations {
  const kept = Object.entries(reservations).filter(([id]) => !ended.has(id));
  const added = [...missing].filter(([id]) => !Object.hasOwn(reservations, id));
  return kept.length === Object.keys(reservations).length && added.length === 0
    ? reservations
    : Object.fromEntries([...kept, ...added]);
}
