/** Events of a large fleet: a reader that keeps up misses nothing, and one that does not goes on from the journal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countingClock, silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { createEventHub, type EventHub } from './event-hub.ts';
import type { EngineEvent, EventPlace, NumberedEvent } from './events.ts';

const many = 16_384;
const removed = (index: number): EngineEvent => ({ type: 'vm-removed', uuid: String(index), name: `vm${index}` });
const uuidOf = ({ event }: NumberedEvent): string => (event.type === 'vm-removed' ? event.uuid : event.type);
const all = Array.from({ length: many }, (_, index) => String(index));

async function take(
  events: AsyncIterable<NumberedEvent>,
  count: number,
  pause?: () => Promise<void>,
): Promise<readonly NumberedEvent[]> {
  const seen: NumberedEvent[] = [];
  for await (const event of events) {
    if (seen.push(event) === count) break;
    await pause?.();
  }
  return seen;
}

test(
  'a host with as many VMs as libvirt allows reaches each reader, in order, without a reset',
  { timeout: 60_000 },
  async () => {
    using clock = countingClock();
    const batches: number[] = [];
    const { journal } = memoryStores();
    const hub = createEventHub(
      { ...journal, append: (entries) => (batches.push(entries.length), journal.append(entries)) },
      clock,
      silentLog,
    );
    const { signal } = new AbortController();
    // one reader that keeps up, and one that has read nothing when all events are sent
    const fast = take(hub.subscribe(undefined, signal), many);
    const late = hub.subscribe(undefined, signal)[Symbol.asyncIterator]();
    const first = late.next();
    await Promise.resolve();
    for (let index = 0; index < many; index += 1) hub.publish(removed(index));
    await hub.flush();
    assert.deepEqual((await fast).map(uuidOf), all);
    const seen = [(await first).value as NumberedEvent];
    while (seen.length < many) seen.push((await late.next()).value as NumberedEvent);
    assert.deepEqual(seen.map(uuidOf), all);
    assert.ok(Math.max(...batches) <= 128, 'others have their turns while much is written');
    hub.publish(removed(-1));
    assert.equal(uuidOf((await late.next()).value as NumberedEvent), '-1', 'it goes on');
  },
);

test('unread progress is skipped; if nothing else was dropped, the reader reads the state itself', async () => {
  using clock = countingClock();
  const hub = createEventHub(memoryStores().journal, clock, silentLog);
  const reader = hub.subscribe(undefined, new AbortController().signal)[Symbol.asyncIterator]();
  const first = reader.next();
  await Promise.resolve();
  for (let index = 0; index < 10_000; index += 1) hub.publish(removed(index), { keep: false });
  const seen = [(await first).value as NumberedEvent, (await reader.next()).value as NumberedEvent].map(uuidOf);
  assert.ok(seen.includes('reset'), seen.join());
});

test('a reader that missed events that are no longer stored gets one reset', async () => {
  using clock = countingClock();
  const { journal } = memoryStores();
  let pruned = false;
  const hub = createEventHub(
    {
      ...journal,
      bounds: async (kind) => (pruned ? { first: 9_990, last: 10_000 } : await journal.bounds(kind)),
      read: async (query) => (await journal.read(query)).filter(({ seq }) => !pruned || seq >= 9_990),
    },
    clock,
    silentLog,
  );
  const reader = hub.subscribe(undefined, new AbortController().signal)[Symbol.asyncIterator]();
  const first = reader.next();
  await Promise.resolve();
  for (let index = 0; index < 10_000; index += 1) hub.publish(removed(index));
  await hub.flush();
  pruned = true;
  hub.publish(removed(-1));
  const seen: string[] = [uuidOf((await first).value as NumberedEvent)];
  while (seen.at(-1) !== '-1') seen.push(uuidOf((await reader.next()).value as NumberedEvent));
  assert.equal(seen.filter((each) => each === 'reset').length, 1, seen.slice(0, 5).join());
});

test('entries of other kinds are kept longer: a reader whose events were pruned gets a reset all the same', async () => {
  using clock = countingClock();
  const { journal } = memoryStores();
  await journal.append([{ at: 0, kind: 'migration', subject: 'm1', data: {} }]);
  const hub = createEventHub(journal, clock, silentLog);
  hub.publish(removed(1));
  hub.publish(removed(2));
  hub.publish(removed(3));
  await hub.flush();
  const heardAfter = async (seq: number): Promise<string> => {
    const reader = hub.subscribe({ seq }, new AbortController().signal)[Symbol.asyncIterator]();
    return uuidOf((await reader.next()).value as NumberedEvent);
  };
  assert.equal(await heardAfter(2), '2');
  await journal.prune('event', clock.now() + 1);
  hub.publish(removed(4));
  await hub.flush();
  assert.deepEqual([await heardAfter(2), await heardAfter(4)], ['reset', '4']);
  await journal.prune('event', clock.now() + 1);
  assert.equal(await heardAfter(2), 'reset');
});

test('a place of an earlier run gets a reset, whatever the journal has by now', { timeout: 10_000 }, async () => {
  using clock = countingClock();
  const { journal } = memoryStores();
  const earlier = createEventHub(journal, clock, silentLog);
  for (const index of [1, 2, 3]) earlier.publish(removed(index));
  await earlier.flush();
  const seen = await earlier.place();
  assert.equal(seen.seq, 3);
  const { signal } = new AbortController();
  const heardAfter = async (hub: EventHub, place: EventPlace): Promise<string> =>
    (await take(hub.subscribe(place, signal), 1)).map(uuidOf).join();
  assert.equal(await heardAfter(earlier, { ...seen, seq: 2 }), '3', 'its own run goes on where it was');
  // killed: what it had published last never came to the journal, and its numbers are given out again
  const hub = createEventHub(journal, clock, silentLog);
  for (const index of [4, 5]) hub.publish(removed(index));
  await hub.flush();
  assert.deepEqual(await Promise.all([2, 4, 5, 9].map((seq) => heardAfter(hub, { ...seen, seq }))), [
    'reset',
    'reset',
    'reset',
    'reset',
  ]);
  assert.equal(await heardAfter(hub, { seq: 3 }), '4', 'a number without a run is one of the journal');
  const reader = hub.subscribe(seen, signal)[Symbol.asyncIterator]();
  assert.equal(uuidOf((await reader.next()).value as NumberedEvent), 'reset');
  hub.publish(removed(6));
  const next = (await reader.next()).value as NumberedEvent;
  assert.deepEqual([uuidOf(next), next.seq], ['6', 6], 'after a reset it goes on from now');
});

test('what a list shows and what comes after its place is all there is', { timeout: 10_000 }, async () => {
  using clock = countingClock();
  const { journal } = memoryStores();
  const hub = createEventHub(journal, clock, silentLog);
  hub.publish(removed(1));
  await hub.flush();
  // not yet in the journal when the list is read
  hub.publish(removed(2));
  const place = await hub.place();
  hub.publish(removed(3));
  const seen = (await take(hub.subscribe(place, new AbortController().signal), 2)).map(uuidOf);
  assert.deepEqual(seen, ['2', '3']);
});

test(
  'where events were lost to the journal, whoever goes on from before them gets a reset',
  { timeout: 10_000 },
  async () => {
    using clock = countingClock();
    const { journal } = memoryStores();
    let full = false;
    const append: typeof journal.append = (entries) =>
      full ? Promise.reject(new Error('its disk is full')) : journal.append(entries);
    const hub = createEventHub({ ...journal, append }, clock, silentLog);
    const { signal } = new AbortController();
    const live = take(hub.subscribe(undefined, signal), 3);
    hub.publish(removed(1));
    await hub.flush();
    const place = await hub.place();
    full = true;
    hub.publish(removed(2));
    await hub.flush();
    const heard = async (count: number): Promise<readonly string[]> =>
      (await take(hub.subscribe(place, signal), count)).map(uuidOf);
    assert.deepEqual(await heard(1), ['reset']);
    full = false;
    hub.publish(removed(3));
    await hub.flush();
    assert.deepEqual(await heard(2), ['reset', '3']);
    assert.deepEqual((await live).map(uuidOf), ['1', '2', '3'], 'a reader that was there has missed nothing');
  },
);
