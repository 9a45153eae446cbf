/** For property tests: guests and links of all sorts, in proportion to each other. */
import * as fc from 'fast-check';
import type { Link } from './link.ts';
import { contentBytes, workingBytes } from './memory.ts';
import type { GuestModel } from './transfer.ts';

const mib = 1_048_576;

/** Bytes per second of a link at its best: 10 MiB/s to 4 GiB/s. */
export const anyRate = fc.double({ min: 0, max: 1, noNaN: true }).map((place) => 10 * mib * 400 ** place);

/**
 * A guest whose memory takes the link 2 to 120 s, with up to three working sets written at up to four times what the
 * link carries.
 */
export const anyGuest = (rate: number): fc.Arbitrary<GuestModel> =>
  fc
    .record({
      seconds: fc.double({ min: 2, max: 120, noNaN: true }),
      zeroShare: fc.constantFrom(0, 0, 0.5),
      sets: fc.array(
        fc.record({
          share: fc.double({ min: 0.001, max: 0.33, noNaN: true }),
          speed: fc.double({ min: 0.01, max: 4, noNaN: true }),
        }),
        { maxLength: 3 },
      ),
    })
    .map(({ seconds, zeroShare, sets }) => {
      const content = Math.round(rate * seconds);
      const zeroBytes = Math.round(content * zeroShare);
      return {
        memory: {
          totalBytes: content + zeroBytes,
          zeroBytes,
          sets: sets.map(({ share, speed }) => ({
            bytes: Math.round(content * share),
            dirtyBytesPerSecond: Math.round(rate * speed),
          })),
        },
      };
    });

export const anySteadyLink = (rate: number): fc.Arbitrary<Link> =>
  fc
    .record({
      latencyMs: fc.double({ min: 0.05, max: 30, noNaN: true }),
      noise: fc.record({ share: fc.double({ min: 0, max: 0.1, noNaN: true }), seed: fc.nat() }),
    })
    .map(({ latencyMs, noise }) => ({ capacity: [{ fromMs: 0, bytesPerSecond: rate }], latencyMs, noise }));

/**
 * Drops to a share of its rate, also to nothing, and returns; up to three times. A drop by a tenth cannot be
 * distinguished from noise, so there is none.
 */
export const anyDroppingLink = (rate: number): fc.Arbitrary<Link> =>
  fc
    .record({
      steady: anySteadyLink(rate),
      drops: fc.array(
        fc.record({
          afterMs: fc.integer({ min: 3_000, max: 60_000 }),
          forMs: fc.integer({ min: 500, max: 60_000 }),
          to: fc.constantFrom(0, 0, 0.1, 0.3, 0.5, 0.7, 0.8),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map(({ steady, drops }) => {
      let at = 0;
      const changes = drops.flatMap(({ afterMs, forMs, to }) => {
        const from = at + afterMs;
        at = from + forMs;
        return [
          { fromMs: from, bytesPerSecond: rate * to },
          { fromMs: at, bytesPerSecond: rate },
        ];
      });
      return { ...steady, capacity: [...steady.capacity, ...changes] };
    });

/** A guest with a link that is steady, and one that is not. */
export const anySituation = anyRate.chain((rate) =>
  fc.record({
    rate: fc.constant(rate),
    guest: anyGuest(rate),
    steady: anySteadyLink(rate),
    dropping: anyDroppingLink(rate),
  }),
);

/** Time that the guest's memory takes with each working set once more, ms: (V + sum of W) / B. */
export const onceAndAgainMs = ({ memory }: GuestModel, rate: number): number =>
  ((contentBytes(memory) + workingBytes(memory)) * 1_000) / rate;
