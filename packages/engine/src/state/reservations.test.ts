/** Planners over one store: whatever the order in which they come, nothing is given twice and nothing stays behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  fleetKey,
  hostId,
  hostKey,
  migrationId,
  networkKey,
  portsOf,
  vmUuid,
  type Cluster,
  type Host,
  type HostId,
  type Ledger,
  type Migration,
  type Planned,
} from '@ferry/core';
import { countingClock, silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { IntentStore } from '../ports/ports.ts';
import { migrationRecords } from './migration-records.ts';
import { openReservations, reserveInStore, type Reserving, type ReservingDeps } from './reservations.ts';

const hosts = ['h1', 'h2', 'h3'].map(hostId);
const guestBytes = 256;
const hostBytes = 3.5 * guestBytes;
const cluster: Cluster = {
  name: 'default',
  migrationPorts: { first: 50_000, last: 50_003 },
  maxOutgoingPerHost: 2,
  maxIncomingPerHost: 2,
  maxPerMigrationNetwork: 4,
};
const settings: Pick<Ledger, 'clusterOf' | 'fleet'> = { clusterOf: () => cluster, fleet: () => ({ maxMigrations: 3 }) };
const queued = (name: string, from: HostId): Migration => ({
  id: migrationId(name),
  name,
  vm: { uuid: vmUuid(name), name },
  memoryBytes: guestBytes,
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'test',
  request: {},
  from: { id: from, name: from },
  phase: 'queued',
  phases: [{ phase: 'queued', at: 1 }],
  evidence: {},
});
const begun = (migration: Migration, to: HostId, port: number): Planned => ({
  ...migration,
  phase: 'preparing',
  to: { id: to, name: to },
  plan: {
    how: 'guest',
    live: true,
    persistence: 'permanent',
    disks: [],
    autostart: false,
    transfer: { mode: 'peer-to-peer', modeReason: '', migrateUri: `tcp://${to}:${port}` },
  },
});
const ended = (migration: Migration): Migration => ({
  ...migration,
  phase: 'succeeded',
  outcome: 'succeeded',
});

const hostOf = (id: HostId): Host => ({
  id,
  name: id,
  uri: 'qemu:///system',
  cluster: cluster.name,
  machineUuid: id,
  addedAt: 0,
});

async function planner(
  stores: ReturnType<typeof memoryStores>,
  clock: ReturnType<typeof countingClock>,
  signal: AbortSignal,
  freeMemoryOf: (id: HostId) => Promise<number | undefined> = async () => hostBytes,
) {
  const records = migrationRecords({ ...stores, clock });
  const documents = await openReservations(stores.intents, { clock, log: silentLog, signal }, () => {});
  const storedHost: ReservingDeps['storedHost'] = async (id) => {
    const entry = await stores.intents.get(`hosts/${id}`);
    const asRead = { op: 'check', key: `hosts/${id}`, ifRevision: entry?.revision ?? 0 } as const;
    return { host: (entry?.value as Host | undefined) ?? hostOf(id), asRead };
  };
  return { records, reserving: reserveInStore({ documents, records, settings, storedHost, freeMemoryOf }) };
}

/** What runs in truth, and what has arrived; each step is checked against the hosts. */
function world() {
  const running = new Map<string, Planned>();
  const arrived = new Map<HostId, number>();
  const runningOn = (id: HostId, side: 'from' | 'to') => [...running.values()].filter((each) => each[side].id === id);
  return {
    begin(migration: Planned) {
      running.set(migration.id, migration);
      assert.ok(running.size <= 3, 'of the fleet');
      for (const id of hosts) {
        const into = runningOn(id, 'to');
        assert.ok(into.length <= 2 && runningOn(id, 'from').length <= 2, `slots of ${id}`);
        assert.ok((into.length + (arrived.get(id) ?? 0)) * guestBytes <= hostBytes, `memory of ${id}`);
        const ports = into.flatMap(({ plan }) => portsOf(plan.transfer));
        assert.equal(new Set(ports).size, ports.length, `ports of ${id}`);
      }
    },
    end({ id, to }: Planned) {
      running.delete(id);
      arrived.set(to.id, (arrived.get(to.id) ?? 0) + 1);
    },
    /** Of those on their way, this part is there. */
    free: (id: HostId, part: number) =>
      hostBytes - (arrived.get(id) ?? 0) * guestBytes - runningOn(id, 'to').length * guestBytes * part,
  };
}

/** Numbers from 0 to 4, the same for a seed each time (xorshift). */
const randomOf = (seed: number) => {
  let state = seed | 0;
  return (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % 5;
  };
};

const yieldFor = async (turns: number): Promise<void> => {
  for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
};

test('1,000 interleavings of two planners: never more than the memory, the ports and the slots that there are', async () => {
  let begins = 0;
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1 }), async (seed) => {
      const next = randomOf(seed);
      using clock = countingClock();
      const real = memoryStores();
      const slow: IntentStore = {
        ...real.intents,
        get: async (key) => {
          await yieldFor(next());
          const entry = await real.intents.get(key);
          await yieldFor(next());
          return entry;
        },
        commit: async (writes) => {
          await yieldFor(next());
          return real.intents.commit(writes);
        },
      };
      const stopping = new AbortController();
      const truth = world();
      const move = async (
        { records, reserving }: Awaited<ReturnType<typeof planner>>,
        name: string,
        from: HostId,
      ): Promise<void> => {
        const asked = queued(name, from);
        const first = await records.begin(asked);
        assert.ok('revision' in first);
        const others = hosts.filter((id) => id !== from);
        for (let tries = 0; tries < 6; tries += 1) {
          const to = others[next() % 2] ?? from;
          const chosen = begun(asked, to, 50_000 + (next() % 4));
          const outcome = await reserving.store(chosen);
          assert.ok(!('changed' in outcome));
          if ('full' in outcome) {
            refusals += 1;
            assert.ok(outcome.full.reasons.length > 0);
            await yieldFor(next());
            continue;
          }
          begins += 1;
          const given = outcome.migration ?? chosen;
          truth.begin(given as Planned);
          await yieldFor(next() * 3);
          truth.end(given as Planned);
          await reserving.store(ended(given));
          return;
        }
      };
      const free = async (id: HostId): Promise<number> => {
        await yieldFor(next());
        const said = truth.free(id, (next() % 5) / 4);
        await yieldFor(next());
        return said;
      };
      const planners = await Promise.all(
        [0, 1].map(() => planner({ ...real, intents: slow }, clock, stopping.signal, free)),
      );
      await Promise.all(
        planners.flatMap((each, index) =>
          [0, 1, 2, 3].map((n) => move(each, `m${index}${n}`, hosts[(index + n) % 3] ?? hostId('h1'))),
        ),
      );
      const left = (await real.intents.list('reservations/')).entries.map(({ value }) => value);
      assert.deepEqual(new Set(left.map((value) => JSON.stringify(value))), new Set(['{"entries":{}}']));
      stopping.abort(new Error('over'));
    }),
    { numRuns: 1_000 },
  );
  assert.ok(begins > 2_000 && refusals > 500, `${begins} began, ${refusals} were refused: the test tests something`);
});

test('what was chosen counts before it is stored, for this planner; what another one stored, for both', async () => {
  using clock = countingClock();
  const stores = memoryStores();
  const stopping = new AbortController();
  const [one, two] = [await planner(stores, clock, stopping.signal), await planner(stores, clock, stopping.signal)];
  const chosen = begun(queued('m1', hostId('h1')), hostId('h2'), 50_000);
  await one.records.begin(queued('m1', hostId('h1')));
  const seen = ({ reserving }: { readonly reserving: Reserving }): readonly string[] =>
    Object.keys(reserving.ledger.of(hostKey(hostId('h2'))));
  one.reserving.chosen(chosen.id, chosen);
  assert.deepEqual([seen(one), seen(two)], [['m1'], []]);
  await one.reserving.store(chosen);
  one.reserving.chosen(chosen.id, undefined);
  for (let turn = 0; turn < 100 && seen(two).length === 0; turn += 1) await clock.sleep(1);
  assert.deepEqual([seen(one), seen(two)], [['m1'], ['m1']]);
  await one.reserving.store({ ...chosen, phase: 'queued' });
  assert.deepEqual(seen(one), [], 'back in the queue it holds nothing');
  stopping.abort(new Error('over'));
});

test('at the start: what a killed control plane left goes, what runs keeps its own, and older ones get theirs', async () => {
  using clock = countingClock();
  const stores = memoryStores();
  const stopping = new AbortController();
  const before = await planner(stores, clock, stopping.signal);
  const runs = begun(queued('m1', hostId('h1')), hostId('h2'), 50_000);
  const older = begun(queued('m2', hostId('h1')), hostId('h3'), 50_001);
  for (const each of [runs, older]) await before.records.begin({ ...each, phase: 'queued' });
  await before.reserving.store(runs);
  await before.records.store(older);
  const key = `reservations/${hostKey(hostId('h2'))}`;
  const entry = await stores.intents.get(key);
  assert.ok(entry);
  const { entries } = entry.value as { entries: object };
  const stale = { vm: 'gone', side: 'target', memoryBytes: 1 };
  await stores.intents.commit([
    { op: 'put', key, value: { entries: { ...entries, m9: stale } }, ifRevision: entry.revision },
  ]);
  const after = await planner(stores, clock, stopping.signal);
  await after.reserving.settle(() => after.records.active());
  const { ledger } = after.reserving;
  assert.deepEqual(
    [hostKey(hostId('h1')), hostKey(hostId('h2')), hostKey(hostId('h3')), networkKey(cluster), fleetKey].map((each) =>
      Object.keys(ledger.of(each)),
    ),
    [['m1', 'm2'], ['m1'], ['m2'], ['m1', 'm2'], ['m1', 'm2']],
  );
  await after.reserving.store(ended({ ...runs, revision: 1 }));
  assert.deepEqual(Object.keys(ledger.of(fleetKey)), ['m2'], 'and what it took over it gives back');
  stopping.abort(new Error('over'));
});
