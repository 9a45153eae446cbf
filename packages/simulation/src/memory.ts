/**
 * A guest's memory under migration: working sets that are written at their own rates, what of each is still to be sent,
 * and what was written since QEMU last read the dirty log. Pure. A set is swept evenly, so in T seconds min(bytes, rate
 * * T) of it become dirty (Akoush et al., MASCOTS'10). What was written last is written again last, so unsent pages and
 * newly written ones are the same only as far as the set is too small for both.
 */

export interface WorkingSet {
  readonly bytes: number;
  readonly dirtyBytesPerSecond: number;
}

export interface GuestMemory {
  /** All of it; at least what the sets and the zero pages take. */
  readonly totalBytes: number;
  /** Never written, sent as a mark. */
  readonly zeroBytes?: number;
  readonly sets: readonly WorkingSet[];
}

/** Bytes of the pages that are written within this time, each counted once: U(T). */
export const writtenWithin = ({ sets }: GuestMemory, seconds: number): number =>
  sum(sets.map(({ bytes, dirtyBytesPerSecond }) => Math.min(bytes, dirtyBytesPerSecond * seconds)));

/** Bytes to send, for the sets in their order; `still` is what nobody writes. */
export interface Unsent {
  readonly still: number;
  readonly zero: number;
  readonly sets: readonly number[];
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Bytes that have to travel once: V. */
export const contentBytes = ({ totalBytes, zeroBytes = 0 }: GuestMemory): number => totalBytes - zeroBytes;
export const workingBytes = ({ sets }: GuestMemory): number => sum(sets.map(({ bytes }) => bytes));

export const everything = (memory: GuestMemory): Unsent => ({
  still: Math.max(0, contentBytes(memory) - workingBytes(memory)),
  zero: memory.zeroBytes ?? 0,
  sets: memory.sets.map(({ bytes }) => bytes),
});

/** Bytes that have to travel; zero pages do not. */
export const toSend = ({ still, sets }: Unsent): number => still + sum(sets);
/** What QEMU calls remaining. */
export const remaining = (unsent: Unsent): number => toSend(unsent) + unsent.zero;

/** After `bytes` more went over, taken from everywhere alike. */
export function sendSome(unsent: Unsent, bytes: number): Unsent {
  const all = toSend(unsent);
  const keep = all <= 0 ? 0 : Math.max(0, 1 - bytes / all);
  return { still: unsent.still * keep, zero: unsent.zero * keep, sets: unsent.sets.map((each) => each * keep) };
}

/** `dirtied` this number of seconds later. `speed`: 1 for a guest that is not slowed down, 0 for a paused one. */
export const dirtySome = (
  { sets }: GuestMemory,
  dirtied: readonly number[],
  seconds: number,
  speed: number,
): readonly number[] =>
  sets.map(({ bytes, dirtyBytesPerSecond }, index) =>
    Math.min(bytes, (dirtied[index] ?? 0) + dirtyBytesPerSecond * speed * seconds),
  );

/** The dirty log is read: what is to be sent now, and how much of it is new. */
export function synchronise(
  { sets }: GuestMemory,
  unsent: Unsent,
  dirtied: readonly number[],
): { readonly unsent: Unsent; readonly newBytes: number } {
  const merged = sets.map(({ bytes }, index) => Math.min(bytes, (unsent.sets[index] ?? 0) + (dirtied[index] ?? 0)));
  return { unsent: { ...unsent, sets: merged }, newBytes: sum(merged) - sum(unsent.sets) };
}
