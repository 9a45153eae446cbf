/**
 * Looks for places for all units: the hardest first, with room made for those that find none; then better places, one
 * unit or a pair at a time; and where the group is small enough, every choice that may still be better. It stops after a
 * number of steps, not after a time, so the same group gives the same answer. Whether hosts can be reached in an order
 * is decided by who asks (order.ts).
 */
import { type Board, left, open, pointsOn } from './board.ts';
import { leftPoints } from './group.ts';

/** Hosts that may still be looked at for a unit. */
export interface Steps {
  left: number;
}

/** By unit: a host, or `left`. */
export type Places = readonly number[];

/** Differences below are noise of the sums. */
const least = 1e-9;
/** Units that leave a host one for the other until there is room. */
const chain = 2;

const placesOn = (board: Board): Places => board.units.map((_, unit) => board.at(unit));

export function hardestFirst(board: Board, steps: Steps): Places {
  for (const unit of byHardness(board)) if (!settle(board, unit, steps)) board.put(unit, left);
  mend(board, steps);
  return placesOn(board);
}

/** Few hosts that have room for it even when they are empty, then much memory. */
function byHardness(board: Board): readonly number[] {
  const choices = board.units.map((unit, at) => unit.hosts.filter((host) => board.fits(at, host)).length);
  return [...board.units.keys()].sort(
    (a, b) =>
      (choices[a] ?? 0) - (choices[b] ?? 0) || (board.units[b]?.bytes ?? 0) - (board.units[a]?.bytes ?? 0) || a - b,
  );
}

/** On the host with the fewest points that has room; or where others can make room. */
function settle(board: Board, unit: number, steps: Steps): boolean {
  const host = bestOf(board, unit, steps);
  if (host !== undefined) board.put(unit, host);
  return host !== undefined || makeRoom(board, unit, steps, chain);
}

function bestOf(board: Board, unit: number, steps: Steps): number | undefined {
  let best: number | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const host of board.units[unit]?.hosts ?? []) {
    steps.left -= 1;
    if (!board.fits(unit, host)) continue;
    const points = board.points(unit, host);
    if (points >= fewest - least) continue;
    fewest = points;
    best = host;
  }
  return best;
}

/** Others leave a host for it, if they find a place. Nothing has changed when they do not. */
function makeRoom(board: Board, unit: number, steps: Steps, depth: number): boolean {
  for (const host of board.units[unit]?.hosts ?? []) {
    for (const other of board.unitsOn(host)) {
      if (steps.left <= 0) return false;
      steps.left -= 1;
      board.put(other, open);
      if (board.fits(unit, host)) {
        board.put(unit, host);
        const elsewhere = bestOf(board, other, steps);
        if (elsewhere !== undefined) {
          board.put(other, elsewhere);
          return true;
        }
        if (depth > 1 && makeRoom(board, other, steps, depth - 1)) return true;
        board.put(unit, open);
      }
      board.put(other, host);
    }
  }
  return false;
}

/** Who is left is where it came from: those that were put there meanwhile go elsewhere, or are left too. */
function mend(board: Board, steps: Steps): void {
  for (let unit = board.misplaced(); unit !== undefined; unit = board.misplaced()) {
    board.put(unit, left);
    const elsewhere = bestOf(board, unit, steps);
    if (elsewhere !== undefined) board.put(unit, elsewhere);
  }
}

/** Better places, one unit or a pair at a time, until there is none. The board has what it starts from, and the result. */
export function improve(board: Board, steps: Steps): Places {
  let better = true;
  while (better && steps.left > 0) {
    better = false;
    for (const unit of board.units.keys()) if (steps.left > 0 && moveOne(board, unit, steps)) better = true;
    for (const one of board.units.keys())
      for (let two = one + 1; two < board.units.length && steps.left > 0; two += 1)
        if (exchange(board, one, two, steps)) better = true;
  }
  return placesOn(board);
}

function moveOne(board: Board, unit: number, steps: Steps): boolean {
  const before = board.at(unit);
  board.put(unit, left);
  const points = before === left ? leftPoints : board.points(unit, before);
  const host = bestOf(board, unit, steps);
  const isBetter = host !== undefined && board.points(unit, host) < points - least;
  board.put(unit, isBetter ? host : before);
  return isBetter;
}

function exchange(board: Board, one: number, two: number, steps: Steps): boolean {
  const [a, b] = [board.at(one), board.at(two)];
  steps.left -= 1;
  if (a < 0 || b < 0 || a === b || isVain(board, [one, a], [two, b])) return false;
  steps.left -= 10;
  const pointsOf = (first: number, second: number): number => {
    board.put(one, open);
    board.put(two, open);
    if (!board.fits(one, first)) return Number.POSITIVE_INFINITY;
    const points = board.points(one, first);
    board.put(one, first);
    return board.fits(two, second) ? points + board.points(two, second) : Number.POSITIVE_INFINITY;
  };
  const before = pointsOf(a, b);
  const isBetter = pointsOf(b, a) < before - least;
  board.put(one, open);
  board.put(two, open);
  board.put(one, isBetter ? b : a);
  board.put(two, isBetter ? a : b);
  return isBetter;
}

/** One may not be where the other is, or they are alike. */
function isVain({ units }: Board, [one, a]: readonly [number, number], [two, b]: readonly [number, number]): boolean {
  const [first, second] = [units[one], units[two]];
  if (first === undefined || second === undefined) return true;
  const after = (first.costs[b] ?? Number.NaN) + (second.costs[a] ?? Number.NaN);
  if (Number.isNaN(after)) return true;
  const before = (first.costs[a] ?? 0) + (second.costs[b] ?? 0);
  return first.bytes === second.bytes && before <= after && first.isFree && second.isFree;
}

/**
 * Every choice that may have fewer points than `best`, as far as the steps go: the best of those that `accepts` takes.
 */
export function exhaust(board: Board, best: Places | undefined, steps: Steps, accepts: (places: Places) => boolean) {
  let found = best;
  let fewest = best === undefined ? Number.POSITIVE_INFINITY : pointsOn(board, best);
  for (const unit of board.units.keys()) board.put(unit, open);
  const order = byHardness(board);
  const descend = (depth: number, points: number): void => {
    const unit = order[depth];
    if (unit === undefined) {
      const places = placesOn(board);
      if (board.misplaced() !== undefined || !accepts(places)) return;
      fewest = points;
      found = places;
      return;
    }
    const rest = order.slice(depth + 1).reduce((sum, each) => sum + leastPoints(board, each, steps), 0);
    for (const { host, adds } of choicesOf(board, unit, steps)) {
      if (steps.left <= 0 || points + adds + rest >= fewest - least) return;
      board.put(unit, host);
      descend(depth + 1, points + adds);
      board.put(unit, open);
    }
  };
  descend(0, 0);
  return found;
}

/** What it adds at least, with the others as they are: more of them only add. */
const leastPoints = (board: Board, unit: number, steps: Steps): number => choicesOf(board, unit, steps)[0]?.adds ?? 0;

function choicesOf(
  board: Board,
  unit: number,
  steps: Steps,
): readonly { readonly host: number; readonly adds: number }[] {
  const { hosts = [], vms = [] } = board.units[unit] ?? {};
  steps.left -= hosts.length;
  return [
    ...hosts
      .filter((host) => board.fits(unit, host))
      .map((host) => ({ host, adds: board.points(unit, host) }))
      .sort((a, b) => a.adds - b.adds),
    { host: left, adds: leftPoints * vms.length },
  ];
}
