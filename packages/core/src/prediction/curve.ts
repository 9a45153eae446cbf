/**
 * The curve U(T) of a guest, the bytes that a pass of T seconds leaves, from readings over several periods. A reading is
 * the share of sampled pages that were written within its period, so it is noisy: readings that do not contradict one
 * rate are taken for one. U is concave (the same pages are written again), hence U(T)/T never grows. Pure.
 */
import type { DirtyReading } from '../model/prediction.ts';

/** QEMU samples 512 pages per GiB: each represents this much memory. */
const sampleBytes = 2_097_152;
/** Deviations that a reading is taken to be off at most; and by which two of them differ where they are two rates. */
const deviations = 1.5;
const deviationsApart = 2;

interface Point {
  readonly seconds: number;
  readonly bytes: number;
}
/** Bytes written within a time, in seconds. */
export type Curve = (seconds: number) => number;

export interface Curves {
  /** What the guest may write at least, as it looks, and at most. */
  readonly low: Curve;
  readonly middle: Curve;
  readonly high: Curve;
  /** The least that agrees with the readings as they are. */
  readonly least: Curve;
  /** What it was seen to write in the longest period. */
  readonly seenBytes: number;
  readonly bytesPerSecond: number;
}

/** Undefined without readings. */
export function curvesOf(readings: readonly DirtyReading[], memoryBytes: number): Curves | undefined {
  const blocks = blocksOf(readings, memoryBytes, noise);
  const points = pointsOf(blocks, memoryBytes);
  const asRead = pointsOf(
    blocksOf(readings, memoryBytes, () => 0),
    memoryBytes,
  );
  const [first] = points;
  const last = points.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const off = shareOff(
    blockOf(
      readings.map((each) => pointOf(each, memoryBytes)),
      memoryBytes,
    ),
  );
  const least = leastOf(points);
  const atLeast = leastOf(pointsOf(lowered(blocks), memoryBytes));
  const most = mostOf(points, memoryBytes);
  // a hot set that is small against the samples hides in their noise
  const worst = mostOf(asRead, memoryBytes);
  return {
    low: atLeast,
    middle: (seconds) => (seconds <= last.seconds ? least(seconds) : most(seconds)),
    high: (seconds) => Math.min(memoryBytes, Math.max(most(seconds), worst(seconds)) * (1 + off)),
    least: leastOf(asRead),
    seenBytes: last.bytes,
    bytesPerSecond: first.bytes / first.seconds,
  };
}

/** Neighbouring readings that are one rate as far as one can tell. */
interface Block {
  readonly readings: readonly Point[];
  readonly seconds: number;
  readonly bytes: number;
  /** Of `bytes`: of samples that were written or not. */
  readonly variance: number;
}

const pointOf = ({ seconds, bytesPerSecond }: DirtyReading, memoryBytes: number): Point => ({
  seconds,
  bytes: Math.min(memoryBytes, seconds * bytesPerSecond),
});

function blockOf(readings: readonly Point[], memoryBytes: number): Block {
  const sum = (of: (point: Point) => number): number => readings.reduce((total, point) => total + of(point), 0);
  return {
    readings,
    seconds: sum(({ seconds }) => seconds),
    bytes: sum(({ bytes }) => bytes),
    variance: sum(({ bytes }) => bytes * sampleBytes * (1 - bytes / memoryBytes)),
  };
}

const rateOf = ({ seconds, bytes }: Point): number => bytes / seconds;

/** By which two rates may differ and be the same one. */
const noise = (a: Block, b: Block): number =>
  deviationsApart * Math.sqrt(a.variance / a.seconds ** 2 + b.variance / b.seconds ** 2);

/** Readings are brought together where the longer one shows the higher rate, which cannot be, or differs by noise. */
function blocksOf(
  readings: readonly DirtyReading[],
  memoryBytes: number,
  tolerance: (shorter: Block, longer: Block) => number,
): readonly Block[] {
  const blocks: Block[] = [];
  let most = Infinity;
  // a longer period saw more, and counts
  const all = readings
    .map((reading) => pointOf(reading, memoryBytes))
    .toSorted((a, b) => b.seconds - a.seconds)
    .map((point) => ({ ...point, bytes: (most = Math.min(most, point.bytes)) }))
    .toReversed();
  for (const point of all) {
    let block = blockOf([point], memoryBytes);
    for (let before = blocks.at(-1); before !== undefined; before = blocks.at(-1)) {
      if (rateOf(before) - rateOf(block) > tolerance(before, block)) break;
      blocks.pop();
      block = blockOf([...before.readings, ...block.readings], memoryBytes);
    }
    blocks.push(block);
  }
  return blocks;
}

/** Share of its bytes that a block may be off. */
const shareOff = ({ bytes, variance }: Block): number => (bytes > 0 ? (deviations * Math.sqrt(variance)) / bytes : 0);

/** As little as the guest may write by them; a shorter time has no lower rate than a longer one. */
function lowered(blocks: readonly Block[]): readonly Block[] {
  let least = 0;
  return blocks
    .toReversed()
    .map((block) => {
      least = Math.max(least, rateOf(block) * Math.max(0.1, 1 - shareOff(block)));
      return { ...block, bytes: least * block.seconds };
    })
    .toReversed();
}

function pointsOf(blocks: readonly Block[], memoryBytes: number): readonly Point[] {
  let before = 0;
  return blocks.flatMap((block) =>
    block.readings.map(({ seconds }) => {
      before = Math.max(before, Math.min(memoryBytes, rateOf(block) * seconds));
      return { seconds, bytes: before };
    }),
  );
}

/** Straight lines from nothing to each point, and no more than the last. */
const leastOf =
  (points: readonly Point[]): Curve =>
  (seconds) => {
    let before: Point = { seconds: 0, bytes: 0 };
    for (const point of points) {
      if (seconds <= point.seconds)
        return (
          before.bytes + ((point.bytes - before.bytes) * (seconds - before.seconds)) / (point.seconds - before.seconds)
        );
      before = point;
    }
    return before.bytes;
  };

/**
 * Concave: before, between and after the points it lies below the lines through its neighbours. A single point may have
 * been reached at once, or lie on a line from nothing.
 */
function mostOf(points: readonly Point[], memoryBytes: number): Curve {
  const [only] = points;
  if (only === undefined) return () => memoryBytes;
  if (points.length === 1)
    return (seconds) => Math.min(memoryBytes, seconds < only.seconds ? only.bytes : rateOf(only) * seconds);
  const lines = points.slice(1).map((b, index) => {
    const a = points[index] ?? b;
    return { a, slope: (b.bytes - a.bytes) / (b.seconds - a.seconds) };
  });
  const [first] = lines;
  return (seconds) => {
    // the line of the first two goes on backwards, that of the last two forwards
    const line = lines.findLast(({ a }) => seconds >= a.seconds) ?? first;
    return line === undefined
      ? memoryBytes
      : Math.min(memoryBytes, Math.max(0, line.a.bytes + line.slope * (seconds - line.a.seconds)));
  };
}
