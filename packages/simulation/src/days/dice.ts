/** The one source of randomness of a simulated day: the same seed throws the same dice. */
import { drawn } from '../link.ts';

export interface Dice {
  /** 0 up to 1. */
  next(): number;
  chance(share: number): boolean;
  /** `from` up to and including `to`. */
  between(from: number, to: number): number;
  pick<T>(list: readonly T[]): T;
}

export function dice(seed: number): Dice {
  let draws = 0;
  const next = (): number => drawn(seed, (draws += 1));
  return {
    next,
    chance: (share) => next() < share,
    between: (from, to) => from + Math.floor(next() * (to - from + 1)),
    pick: (list) => {
      const picked = list[Math.floor(next() * list.length)];
      if (picked === undefined) throw new Error('there is nothing to pick from');
      return picked;
    },
  };
}
