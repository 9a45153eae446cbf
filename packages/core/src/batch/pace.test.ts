import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, vmUuid } from '../model/ids.ts';
import type { DirtyCurve } from '../model/prediction.ts';
import { holdOf, idleAtOnce, linkSpeed, loadOf, withReading, type Hold, type Lane, type Load } from './pace.ts';

const mib = 1_048_576;
const lane: Lane = { host: { id: hostId('h1'), name: 'h1' }, most: 8, bytesPerSecond: 32 * mib };
const writing = (mibPerSecond: number, hotMib = 1_024): DirtyCurve => ({
  at: 1,
  readings: [1, 2, 4].map((seconds) => ({
    seconds,
    bytesPerSecond: (Math.min(hotMib, mibPerSecond * seconds) * mib) / seconds,
  })),
});
const load = (name: string, curve?: DirtyCurve, memoryMib = 256): Load =>
  loadOf({
    vm: { uuid: vmUuid(name), name },
    memoryBytes: memoryMib * mib,
    way: 'live',
    ...(curve === undefined ? {} : { curve }),
  });
/** How many of these begin together, and why no more. */
function together(loads: readonly Load[], on: Lane = lane): readonly [number, Hold['code'] | undefined] {
  const begun: Load[] = [];
  for (const each of loads) {
    const hold = holdOf(begun, each, on);
    if (hold !== undefined) return [begun.length, hold.code];
    begun.push(each);
  }
  return [begun.length, undefined];
}
const many = (curve?: DirtyCurve): readonly Load[] =>
  Array.from({ length: 10 }, (_, index) => load(`vm${index}`, curve));

test('idle guests share the link, busy ones go alone, and those between two at a time', () => {
  assert.deepEqual(together(many(writing(0))), [idleAtOnce, 'full']);
  assert.deepEqual(together(many(writing(1))), [3, 'writes']);
  assert.deepEqual(together(many(writing(2))), [2, 'writes']);
  assert.deepEqual(together(many(writing(16))), [1, 'alone']);
  assert.deepEqual(together(many(writing(100))), [1, 'alone']);
});

test('what a guest writes counts against what the link carries', () => {
  const fast = { ...lane, bytesPerSecond: 1_024 * mib };
  assert.deepEqual(together(many(writing(16)), fast), [idleAtOnce, 'full']);
  assert.deepEqual(together(many(writing(200, 4_096)), fast)[0], 1);
});

test('a busy guest lets no idle one join, and joins none', () => {
  const [busy, quiet] = [load('busy', writing(20)), load('quiet', writing(0))];
  assert.equal(holdOf([busy], quiet, lane)?.code, 'alone');
  assert.equal(holdOf([quiet], busy, lane)?.code, 'alone');
  assert.match(holdOf([quiet], busy, lane)?.text ?? '', /^busy writes 20 MiB\/s, which needs the whole link/);
});

test('a policy that limits each migration leaves room on the link for others', () => {
  const limited = (name: string): Load => ({ ...load(name, writing(1)), limit: 4 * mib });
  assert.deepEqual(together(['a', 'b', 'c', 'd', 'e'].map(limited)), [idleAtOnce, 'full']);
});

test('two move at once where a guest is not known, those that write little where the link is not; the cluster comes before', () => {
  const { bytesPerSecond: _, ...unmeasured } = lane;
  assert.deepEqual(together(many(writing(0)), unmeasured), [idleAtOnce, 'link-unknown']);
  assert.deepEqual(together(many(writing(4)), unmeasured), [2, 'link-unknown']);
  assert.deepEqual(together(many(writing(8)), unmeasured), [1, 'link-unknown']);
  assert.deepEqual(together(many()), [2, 'guest-unknown']);
  assert.deepEqual(together(many(writing(0)), { ...lane, most: 1 }), [1, 'limit']);
  assert.deepEqual(together(many(writing(0)), { ...unmeasured, most: 1 }), [1, 'limit']);
});

test('one that is about to end uses the link no more, and has its place in the limits', () => {
  const busy = load('busy', writing(20));
  assert.equal(holdOf([], busy, lane, 1), undefined);
  assert.equal(holdOf([], busy, { ...lane, most: 1 }, 1)?.code, 'limit');
  assert.equal(holdOf([], load('who'), lane, 2)?.code, 'guest-unknown');
});

test('what does not run writes nothing', () => {
  const cold = loadOf({ vm: { uuid: vmUuid('c'), name: 'c' }, memoryBytes: 256 * mib, way: 'cold', diskBytes: 5 });
  const suspended = loadOf({ vm: { uuid: vmUuid('s'), name: 's' }, memoryBytes: 256 * mib, way: 'suspend' });
  assert.deepEqual([cold.bytes, suspended.bytes], [5, 256 * mib]);
  assert.deepEqual(together([suspended, suspended, cold, cold]), [4, undefined]);
});

test('the link carries what the middle of the last readings says, once there are some', () => {
  const at = (rates: readonly number[]) =>
    rates.reduce<ReturnType<typeof withReading>>(
      (all, bytesPerSecond, index) => withReading(all, { at: index, bytesPerSecond }),
      [],
    );
  assert.equal(linkSpeed(at([30]), 5), undefined);
  assert.equal(linkSpeed(at([80, 30, 31, 3, 32]), 5), 31);
  assert.equal(linkSpeed(at(Array.from({ length: 40 }, (_, index) => (index < 20 ? 10 : 30))), 40), 30, 'old ones go');
  assert.equal(linkSpeed(at([30, 30]), 3_600_000), undefined, 'a link may be another by then');
});
