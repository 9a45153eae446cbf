/**
 * How many migrations may run at once: from a host, to a host, over a migration network, and in the fleet. A slot is
 * one of them. Pure.
 */
import type { Cluster, HostRef } from '../model/host.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import { fleetKey, hostKey, networkKey, type Ledger, type Reservation, type Reservations } from './ledger.ts';
import { namesOf } from './wait-reasons.ts';

/**
 * Each peer-to-peer migration keeps a worker of the source's daemon for its whole duration, and the target's answers it
 * with another; a daemon has 20 by default. Eight both ways leave some for everything else.
 */
export const defaultPerHost = 8;
/** Each is looked at once a second, and is an entry of one stored document. */
export const defaultInFleet = 500;
export const mostInFleet = 2_000;

/** What is wrong with a limit as it comes from outside, in one sentence. */
export const limitProblem = (
  name: string,
  limit: number | undefined,
  most = Number.MAX_SAFE_INTEGER,
): string | undefined => {
  if (limit === undefined) return undefined;
  if (!Number.isSafeInteger(limit) || limit < 1)
    return `${name} is ${String(limit)}; it takes a whole number from 1. To have the default, remove the setting.`;
  return limit > most ? `${name} is ${limit}; it takes at most ${most}.` : undefined;
};

export interface Slots {
  readonly code: ReasonCode;
  readonly host?: string;
  /** What they are slots of, in words. */
  readonly of: string;
  /** Absent: there is no limit. */
  readonly limit?: number;
  readonly taken: Reservations;
  /** How to have more. */
  readonly remedy: string;
}

const onSide = (reservations: Reservations, side: Reservation['side']): Reservations =>
  Object.fromEntries(Object.entries(reservations).filter(([, reservation]) => reservation.side === side));

export const sourceSlots = (ledger: Ledger, { id, name }: HostRef): Slots => {
  const cluster = ledger.clusterOf(id);
  return {
    code: 'source-slots',
    host: name,
    of: `${name} for outgoing migrations`,
    limit: cluster.maxOutgoingPerHost ?? defaultPerHost,
    taken: onSide(ledger.of(hostKey(id)), 'source'),
    remedy: `ferry cluster set ${cluster.name} --max-outgoing-per-host N`,
  };
};

export const targetSlots = (ledger: Ledger, { id, name }: HostRef): Slots => {
  const cluster = ledger.clusterOf(id);
  return {
    code: 'target-slots',
    host: name,
    of: `${name} for incoming migrations`,
    limit: cluster.maxIncomingPerHost ?? defaultPerHost,
    taken: onSide(ledger.of(hostKey(id)), 'target'),
    remedy: `ferry cluster set ${cluster.name} --max-incoming-per-host N`,
  };
};

export const networkSlots = (ledger: Ledger, cluster: Cluster): Slots => ({
  code: 'network-slots',
  of:
    cluster.migrationNetwork === undefined
      ? `the network of the cluster ${cluster.name}`
      : `the migration network ${cluster.migrationNetwork}`,
  ...(cluster.maxPerMigrationNetwork === undefined ? {} : { limit: cluster.maxPerMigrationNetwork }),
  taken: ledger.of(networkKey(cluster)),
  remedy: `ferry cluster set ${cluster.name} --max-per-migration-network N`,
});

export const fleetSlots = (ledger: Ledger): Slots => ({
  code: 'fleet-slots',
  of: 'the fleet',
  limit: ledger.fleet().maxMigrations ?? defaultInFleet,
  taken: ledger.of(fleetKey),
  remedy: 'ferry fleet set --max-migrations N',
});

export const slotsLeft = ({ limit, taken }: Slots): number =>
  limit === undefined ? Number.POSITIVE_INFINITY : limit - Object.keys(taken).length;

/** Empty while one is free. */
export function slotReasons(slots: Slots): readonly Reason[] {
  const { code, host, of, limit, taken, remedy } = slots;
  if (limit === undefined || slotsLeft(slots) > 0) return [];
  return [
    {
      code,
      ...(host === undefined ? {} : { host }),
      message: `${limit} of ${limit} slots of ${of} are taken by ${namesOf(Object.values(taken).map(({ vm }) => vm))}.`,
      remedy: `It begins when one of them has ended. To allow more at once: ${remedy}`,
    },
  ];
}

/** Of a target: its own, and those of the network by which it is reached. */
export const targetWaits = (ledger: Ledger, target: HostRef, travels: boolean): readonly Reason[] => [
  ...slotReasons(targetSlots(ledger, target)),
  ...(travels ? slotReasons(networkSlots(ledger, ledger.clusterOf(target.id))) : []),
];
