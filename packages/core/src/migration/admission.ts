/**
 * Which queued migrations may begin to look for their target, and in which order. One that finds no slot of its source
 * or of the fleet, or none of the hosts with the space that it waits for, stays in the queue and holds nothing; those
 * behind it have their turn. Only ports are kept for one that lacks nothing else: they become free one by one, and those
 * that need one would take each. What it is given is decided later, where it is stored (planning/reservations.ts).
 */
import type { HostId, TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { emptyLedger, type Ledger } from '../planning/ledger.ts';
import type { RoomNeeded } from '../model/plan.ts';
import type { Room } from '../planning/room.ts';
import { fleetSlots, slotsLeft, sourceSlots, type Slots } from '../planning/slots.ts';
import { inTurn } from './priority.ts';

/** Undefined: nothing is known of such a host. */
export type RoomOf = (id: HostId) => Room | undefined;

export interface Openings {
  /** Nothing is reserved unless given. */
  readonly ledger?: Ledger;
  readonly roomOf?: RoomOf;
}

/** What is left of the slots, once those that are being checked have theirs. */
const leftOf = (slots: Slots, checking: readonly Migration[]): number =>
  slotsLeft(slots) - checking.filter(({ id }) => !Object.hasOwn(slots.taken, id)).length;

interface Turns {
  /** Queued migrations to admit now, in turn; those that wait for their next attempt are not among them. */
  readonly admit: readonly Migration[];
  /** By host, for whom its free ports are kept. */
  readonly portsKeptFor: ReadonlyMap<HostId, Migration>;
}

function turnsOf(
  active: readonly Migration[],
  now: TimeMs,
  { ledger = emptyLedger, roomOf = () => undefined }: Openings,
): Turns {
  const begun = active.filter(({ phase }) => phase !== 'queued');
  let inFleet = leftOf(fleetSlots(ledger), begun);
  const atSource = new Map<HostId, number>();
  const sourceLeft = ({ from, request }: Migration): number => {
    if (request.rescue !== undefined) return Number.POSITIVE_INFINITY;
    const known = atSource.get(from.id);
    if (known !== undefined) return known;
    const checking = begun.filter((each) => each.from.id === from.id && each.request.rescue === undefined);
    return leftOf(sourceSlots(ledger, from), checking);
  };
  const left = new Map<HostId, Room | undefined>();
  const roomLeft = (id: HostId): Room | undefined => {
    if (!left.has(id)) left.set(id, roomOf(id));
    return left.get(id);
  };
  const portsKeptFor = new Map<HostId, Migration>();
  const keepPorts = (migration: Migration): void => {
    const onlyPorts = migration.waitsFor?.find((needed) => hasRoom(roomLeft(needed.host), { ...needed, ports: 0 }));
    const room = onlyPorts === undefined ? undefined : roomLeft(onlyPorts.host);
    if (onlyPorts === undefined || room === undefined || portsKeptFor.has(onlyPorts.host)) return;
    portsKeptFor.set(onlyPorts.host, migration);
    const { isUnheld: _, ...rest } = room;
    left.set(onlyPorts.host, { ...rest, ports: 0 });
  };
  /** True takes the room: the next one finds less. What speaks for a host that is gone is that the checks say so. */
  const finds = ({ waitsFor = [] }: Migration): boolean => {
    if (waitsFor.length === 0) return true;
    const found = waitsFor.find((needed) => {
      const room = roomLeft(needed.host);
      return hasRoom(room, needed) || mayNeverHave(room, needed);
    });
    const room = found === undefined ? undefined : roomLeft(found.host);
    if (found !== undefined && room !== undefined)
      left.set(found.host, {
        slots: room.slots - 1,
        networkSlots: room.networkSlots - (found.travels ? 1 : 0),
        ports: room.ports - found.ports,
        memoryBytes: room.memoryBytes - found.memoryBytes,
      });
    return found !== undefined;
  };
  const waiting = active.filter(({ phase, notBefore = 0 }) => phase === 'queued' && notBefore <= now);
  const admit = inTurn(waiting, now).filter((migration) => {
    const count = sourceLeft(migration);
    // a host that is dead has no slots
    const atItsSource = (left: number): void =>
      migration.request.rescue === undefined ? void atSource.set(migration.from.id, left) : undefined;
    atItsSource(count);
    if (inFleet <= 0 || count <= 0) return false;
    if (!finds(migration)) {
      keepPorts(migration);
      return false;
    }
    inFleet -= 1;
    atItsSource(count - 1);
    return true;
  });
  return { admit, portsKeptFor };
}

/** What has come there meanwhile stays: the checks say so, and may know another host. */
const mayNeverHave = (room: Room | undefined, { travels }: RoomNeeded): boolean =>
  room?.isUnheld === true && (!travels || room.networkSlots > 0);

const hasRoom = (room: Room | undefined, { ports, memoryBytes, travels }: RoomNeeded): boolean =>
  room === undefined ||
  (room.slots > 0 && (!travels || room.networkSlots > 0) && room.ports >= ports && room.memoryBytes >= memoryBytes);

/** Queued migrations to admit now, in turn; those that wait for their next attempt are not among them. */
export const admissible = (active: readonly Migration[], now: TimeMs, openings: Openings = {}): readonly Migration[] =>
  turnsOf(active, now, openings).admit;

/** Hosts whose free ports are kept for others than this migration, which is checked now; undefined: a new one. */
export function portsKept(
  active: readonly Migration[],
  self: string | undefined,
  now: TimeMs,
  openings: Openings,
): ReadonlySet<HostId> {
  const waits = active.some(
    ({ phase, waitsFor = [] }) => phase === 'queued' && waitsFor.some(({ ports }) => ports > 0),
  );
  if (!waits) return new Set();
  const own = active.find(({ id }) => id === self);
  const kept = [...turnsOf(active, now, openings).portsKeptFor].filter(
    ([, before]) => own === undefined || inTurn([own, before], now)[0] === before,
  );
  return new Set(kept.map(([host]) => host));
}

/**
 * Between the beginnings of two migrations from one host: those that begin together end together, and share the
 * processors just when their guests are paused.
 */
export const startApartMs = 250;

export interface Beginnings {
  readonly begin: readonly Migration[];
  /** By source, when one last began: to be given the next time. */
  readonly begun: ReadonlyMap<HostId, TimeMs>;
  /** Some are kept apart from those that have begun: to be asked again after this time. */
  readonly againInMs?: number;
}

/** Of those that may begin, the ones that do now. */
export function beginnings(
  active: readonly Migration[],
  now: TimeMs,
  before: ReadonlyMap<HostId, TimeMs>,
  openings: Openings = {},
): Beginnings {
  const begun = new Map(before);
  const mayBegin = admissible(active, now, openings);
  const begin = mayBegin.filter(({ from: { id } }) => {
    // a time that is to come is one from before the clock was set
    const elapsedMs = now - (begun.get(id) ?? Number.NEGATIVE_INFINITY);
    if (elapsedMs >= 0 && elapsedMs < startApartMs) return false;
    begun.set(id, now);
    return true;
  });
  return { begin, begun, ...(begin.length === mayBegin.length ? {} : { againInMs: startApartMs }) };
}
