/**
 * What migrations hold while they run: memory and ports of the target, and a slot each of the source, the target, the
 * migration network and the fleet. All of it is stored in one transaction with the phase in which a migration begins,
 * and goes in the one that ends it. Whether it fits is decided here, on the reservations as that transaction reads them.
 * Pure.
 */
import type { Cluster, Host } from '../model/host.ts';
import { isClosing, isPlanned, type Migration, type Planned } from '../model/migration.ts';
import type { RoomNeeded, TransferPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import { cordonedReasons } from './checks/cordoned.ts';
import {
  fleetKey,
  hostKey,
  memoryPromised,
  networkKey,
  others,
  portsTaken,
  promisedTo,
  type Ledger,
  type Reservation,
  type Reservations,
} from './ledger.ts';
import { fleetSlots, networkSlots, slotReasons, sourceSlots, targetSlots } from './slots.ts';
import { freePorts, onOtherPorts, portsOf } from './ports.ts';
import { portsTakenReason, promisedReason } from './wait-reasons.ts';

/**
 * From the choice of its target until what becomes of the VM is settled; while it waits for another attempt, or for
 * hooks that are told of its end, it holds nothing.
 */
export const holdsReservations = (migration: Migration): migration is Planned =>
  migration.outcome === undefined &&
  !isClosing(migration) &&
  migration.phase !== 'queued' &&
  migration.phase !== 'checking' &&
  isPlanned(migration);

/** A guest runs on the target in the end. */
export const startsThere = ({ plan, request }: Pick<Planned, 'plan' | 'request'>): boolean =>
  plan.how === 'guest' || plan.how === 'stored-definition' || request.autoStart === true;

/**
 * By key. The whole memory of the guest counts, what has arrived of it too: too much is kept free rather than too
 * little. A source that is dead has no slots, and a definition takes nothing of the network.
 */
export function reservationsOf(migration: Planned, cluster: Cluster): ReadonlyMap<string, Reservation> {
  const { from, to, plan, memoryBytes = 0 } = migration;
  const vm = migration.vm.name;
  const ports = portsOf(plan.transfer);
  const { portsBusy } = migration.evidence;
  return new Map<string, Reservation>([
    ...(plan.how === 'stored-definition' ? [] : [[hostKey(from.id), { vm, side: 'source' }] as const]),
    [
      hostKey(to.id),
      {
        vm,
        side: 'target',
        ...(startsThere(migration) && memoryBytes > 0 ? { memoryBytes } : {}),
        ...(ports.length === 0 ? {} : { ports }),
        ...(portsBusy === undefined ? {} : { portsBusy }),
      },
    ],
    ...(plan.transfer === undefined ? [] : [[networkKey(cluster), { vm }] as const]),
    [fleetKey, { vm }],
  ]);
}

export type Reserved =
  /** Where somebody else has its ports, it has others. */
  | { readonly kind: 'fits'; readonly migration: Planned; readonly takes: ReadonlyMap<string, Reservation> }
  | { readonly kind: 'full'; readonly reasons: readonly Reason[]; readonly on: readonly RoomNeeded[] };

export interface ReserveInput {
  readonly migration: Planned;
  /** What others have, as it is stored now. */
  readonly ledger: Ledger;
  /** What the target reports, read after its reservations were; absent if it does not say. */
  readonly freeMemoryBytes?: number | undefined;
  /** The target as it is stored now; absent where it was not asked for. */
  readonly target?: Host | 'removed' | undefined;
  /** What it holds already: it only exchanges ports. */
  readonly held?: ReadonlyMap<string, Reservation> | undefined;
}

/** Whether a migration whose target was chosen may begin, or have other ports. */
export function reserve({ migration, ledger, freeMemoryBytes, target, held }: ReserveInput): Reserved {
  const { from, to, plan, id, phase, request } = migration;
  const cluster = ledger.clusterOf(to.id);
  const withoutSelf: Ledger = { ...ledger, of: (key) => others(ledger.of(key), id) };
  const takes = reservationsOf(migration, cluster);
  const onTarget = takes.get(hostKey(to.id));
  const { memoryBytes = 0, ports = [] } = onTarget ?? {};
  const there = withoutSelf.of(hostKey(to.id));
  const full = (reasons: readonly Reason[]): Reserved => ({
    kind: 'full',
    reasons,
    // where another host may do as well, all are looked at again
    on:
      request.to === undefined
        ? []
        : [{ host: to.id, ports: ports.length, memoryBytes, travels: takes.has(networkKey(cluster)) }],
  });
  if (held !== undefined && onTarget !== undefined) {
    const taken = portsTaken(there);
    const before = held.get(hostKey(to.id))?.ports ?? [];
    return ports.some((port) => taken.includes(port) && !before.includes(port))
      ? full([portsTakenReason(to.name, ports.length, cluster.migrationPorts)])
      : { kind: 'fits', migration, takes: new Map([...held, [hostKey(to.id), onTarget]]) };
  }
  // it runs: what it takes is taken
  if (phase !== 'preparing') return { kind: 'fits', migration, takes };
  const outOfService =
    target === undefined ? [] : target === 'removed' ? [removedReason(to.name)] : cordonedReasons({ host: target });
  // no room is waited for: it is looked at again, and refused or sent elsewhere
  if (outOfService.length > 0) return { kind: 'full', reasons: outOfService, on: [] };
  const promised = memoryPromised(there);
  const slots = [
    ...(takes.has(hostKey(from.id)) ? [sourceSlots(withoutSelf, from)] : []),
    targetSlots(withoutSelf, to),
    ...(takes.has(networkKey(cluster)) ? [networkSlots(withoutSelf, cluster)] : []),
    fleetSlots(withoutSelf),
  ];
  const transfer =
    ports.length === 0 ? plan.transfer : withFreePorts(plan.transfer, cluster, there, onTarget?.portsBusy);
  const reasons = [
    ...slots.flatMap(slotReasons),
    ...(freeMemoryBytes !== undefined && memoryBytes > 0 && freeMemoryBytes - promised < memoryBytes
      ? [
          promisedReason(to.name, migration.vm.name, {
            freeMemoryBytes,
            promised,
            needed: memoryBytes,
            to: promisedTo(there),
          }),
        ]
      : []),
    ...(transfer === 'none' ? [portsTakenReason(to.name, ports.length, cluster.migrationPorts)] : []),
  ];
  if (reasons.length > 0 || transfer === 'none') return full(reasons);
  const next =
    transfer === plan.transfer || transfer === undefined ? migration : { ...migration, plan: { ...plan, transfer } };
  return { kind: 'fits', migration: next, takes: reservationsOf(next, cluster) };
}

const removedReason = (host: string): Reason => ({
  code: 'target-removed',
  host,
  message: `${host} was removed from the fleet after it was chosen.`,
  remedy: 'Add it again, or name another host.',
});

/** The transfer as it is, if nobody has its ports; on others of the cluster's range; or `none`. */
function withFreePorts(
  transfer: TransferPlan | undefined,
  cluster: Cluster,
  there: Reservations,
  busy: readonly number[] = [],
): TransferPlan | 'none' | undefined {
  const taken = new Set(portsTaken(there));
  if (transfer === undefined || !portsOf(transfer).some((port) => taken.has(port))) return transfer;
  return onOtherPorts(transfer, freePorts(cluster, [...taken, ...busy]) ?? []) ?? 'none';
}
