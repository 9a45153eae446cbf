/**
 * Which queued migrations may begin to look for their target, and in which order. One that finds no slot of its source
 * or of the fleet, or none of the hosts with the space that it waits for, stays in the queue and holds nothing; those
 * behind it have their turn. What it is given is decided later, where it is stored (planning/reservations.ts).
 */
import type { HostId, TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { emptyLedger, type Ledger } from '../planning/ledger.ts';
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

/** Queued migrations to admit now, in turn; those that wait for their next attempt are not among them. */
export function admissible(
  active: readonly Migration[],
  now: TimeMs,
  { ledger = emptyLedger, roomOf = () => undefined }: Openings = {},
): readonly Migration[] {
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
  /** True takes the room: the next one finds less. What speaks for a host that is gone is that the checks say so. */
  const finds = ({ waitsFor = [] }: Migration): boolean => {
    if (waitsFor.length === 0) return true;
    const found = waitsFor.find(({ host, ports, memoryBytes, travels }) => {
      const room = roomLeft(host);
      return (
        room === undefined ||
        (room.slots > 0 &&
          (!travels || room.networkSlots > 0) &&
          room.ports >= ports &&
          room.memoryBytes >= memoryBytes)
      );
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
  return inTurn(waiting, now).filter((migration) => {
    const count = sourceLeft(migration);
    // a host that is dead has no slots
    const atItsSource = (left: number): void =>
      migration.request.rescue === undefined ? void atSource.set(migration.from.id, left) : undefined;
    atItsSource(count);
    if (inFleet <= 0 || count <= 0 || !finds(migration)) return false;
    inFleet -= 1;
    atItsSource(count - 1);
    return true;
  });
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
