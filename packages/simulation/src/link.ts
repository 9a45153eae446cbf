/**
 * A network link of the simulated fleet: what it carries as a function of virtual time, and how the transfers on it
 * share that. Pure; its fluctuation is drawn from a seed, so the same link at the same time always carries the same.
 */

export interface Link {
  /**
   * What it carries, bytes per second, from `fromMs` of virtual time on; in order. Before the first entry it carries
   * what that says.
   */
  readonly capacity: readonly { readonly fromMs: number; readonly bytesPerSecond: number }[];
  /** One way, ms. */
  readonly latencyMs: number;
  /** Each 100 ms window carries up to this share less than the capacity, 0 to 1. */
  readonly noise?: { readonly share: number; readonly seed: number };
}

/**
 * Length of a piece of time within which a link carries the same, ms; also the window over which QEMU estimates its
 * bandwidth.
 */
export const windowMs = 100;

export const steadyLink = (bytesPerSecond: number, latencyMs = 0.2): Link => ({
  capacity: [{ fromMs: 0, bytesPerSecond }],
  latencyMs,
});

/** Bytes per second at this moment. */
export function capacityAt({ capacity, noise }: Link, atMs: number): number {
  const { bytesPerSecond = 0 } = capacity.findLast(({ fromMs }) => fromMs <= atMs) ?? capacity[0] ?? {};
  return noise === undefined
    ? bytesPerSecond
    : bytesPerSecond * (1 - noise.share * drawn(noise.seed, Math.floor(atMs / windowMs)));
}

/** The next moment at which the link may carry something else. */
export function nextChange({ capacity }: Link, atMs: number): number {
  const window = (Math.floor(atMs / windowMs) + 1) * windowMs;
  return Math.min(window, ...capacity.map(({ fromMs }) => fromMs).filter((fromMs) => fromMs > atMs));
}

/** Max-min fair: nobody gets more than it wants, and what one leaves goes to the others. Same order as `wants`. */
export function fairShares(capacity: number, wants: readonly number[]): readonly number[] {
  const shares = wants.map(() => 0);
  let left = capacity;
  const order = wants.map((want, index) => ({ want, index })).sort((a, b) => a.want - b.want);
  for (const [place, { want, index }] of order.entries()) {
    const share = Math.min(want, left / (order.length - place));
    shares[index] = share;
    left -= share;
  }
  return shares;
}

/** 0 up to 1, from a seed and a place: a mixed 32-bit hash (the finalizer of MurmurHash3). */
export function drawn(seed: number, place: number): number {
  let bits = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(place + 1, 0xc2b2_ae35);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}
