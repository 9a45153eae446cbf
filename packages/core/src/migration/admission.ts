/**
 * Which queued migrations may begin. Each peer-to-peer migration holds one worker of the source's daemon for its whole
 * duration (20 by default), so the number that leave one host at a time is limited. A migration that waits for space on
 * a host stays in the queue until that host has it.
 */
import type { HostId, TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { Room } from '../planning/room.ts';

export const outgoingPerHost = 8;

/** Undefined: nothing is known of such a host. */
export type RoomOf = (id: HostId) => Room | undefined;

/** Queued migrations to admit now, oldest first; those that wait for their next attempt are not among them. */
export function admissible(
  active: readonly Migration[],
  now: TimeMs,
  { limit = outgoingPerHost, roomOf = () => undefined }: { readonly limit?: number; readonly roomOf?: RoomOf } = {},
): readonly Migration[] {
  const busy = new Map<string, number>();
  for (const { phase, from } of active) if (phase !== 'queued') busy.set(from.id, (busy.get(from.id) ?? 0) + 1);
  const left = new Map<HostId, Room | undefined>();
  const roomLeft = (id: HostId): Room | undefined => {
    if (!left.has(id)) left.set(id, roomOf(id));
    return left.get(id);
  };
  /** True takes the room: the next one finds less. What speaks for a host that is gone is that the checks say so. */
  const finds = ({ waitsFor = [] }: Migration): boolean => {
    if (waitsFor.length === 0) return true;
    const found = waitsFor.find(({ host, ports, memoryBytes }) => {
      const room = roomLeft(host);
      return room === undefined || (room.ports >= ports && room.memoryBytes >= memoryBytes);
    });
    const room = found === undefined ? undefined : roomLeft(found.host);
    if (found !== undefined && room !== undefined)
      left.set(found.host, { ports: room.ports - found.ports, memoryBytes: room.memoryBytes - found.memoryBytes });
    return found !== undefined;
  };
  return [...active]
    .filter(({ phase, notBefore = 0 }) => phase === 'queued' && notBefore <= now)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .filter((migration) => {
      const { from } = migration;
      const count = busy.get(from.id) ?? 0;
      if (count >= limit || !finds(migration)) return false;
      busy.set(from.id, count + 1);
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
  options: Parameters<typeof admissible>[2] = {},
): Beginnings {
  const begun = new Map(before);
  const mayBegin = admissible(active, now, options);
  const begin = mayBegin.filter(({ from: { id } }) => {
    // a time that is to come is one from before the clock was set
    const elapsedMs = now - (begun.get(id) ?? Number.NEGATIVE_INFINITY);
    if (elapsedMs >= 0 && elapsedMs < startApartMs) return false;
    begun.set(id, now);
    return true;
  });
  return { begin, begun, ...(begin.length === mayBegin.length ? {} : { againInMs: startApartMs }) };
}
