import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Cluster } from '../model/host.ts';
import { hostId, migrationId, type HostId, type TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { migrationOrigins } from '../model/request.ts';
import { emptyLedger, fleetKey, hostKey, type Ledger, type Reservations } from '../planning/ledger.ts';
import { admissible, beginnings, portsKept, startApartMs } from './admission.ts';
import { agesEveryMs, inTurn } from './priority.ts';
import { queueOf } from './queue.ts';
import { fresh } from './step-fixture.ts';

const queued = (id: string, from: string, more: Partial<Migration> = {}): Migration => ({
  ...fresh,
  id: migrationId(id),
  from: { id: hostId(from), name: from },
  ...more,
});
const idsOf = (migrations: readonly Migration[]): readonly string[] => migrations.map(({ id }) => id);
const nobody: ReadonlyMap<HostId, TimeMs> = new Map();
const limited = (
  cluster: Partial<Cluster>,
  maxMigrations?: number,
  held: Readonly<Record<string, Reservations>> = {},
): Ledger => ({
  of: (key) => held[key] ?? {},
  clusterOf: () => ({ name: 'default', ...cluster }),
  fleet: () => (maxMigrations === undefined ? {} : { maxMigrations }),
});

test('of two from one host the older begins and the other is asked for again; another host is not held up', () => {
  const all = [queued('m2', 'h1'), queued('m1', 'h1'), queued('m3', 'h2')];
  const first = beginnings(all, 1_000, nobody);
  assert.deepEqual([idsOf(first.begin), first.againInMs], [['m1', 'm3'], startApartMs]);
  const rest = [queued('m2', 'h1')];
  assert.deepEqual(idsOf(beginnings(rest, 1_000 + startApartMs - 1, first.begun).begin), []);
  const later = beginnings(rest, 1_000 + startApartMs, first.begun);
  assert.deepEqual([idsOf(later.begin), later.againInMs], [['m2'], undefined]);
});

test('a beginning that lies ahead is from before the clock was set, and holds nobody up', () => {
  const { begin } = beginnings([queued('m1', 'h1')], 1_000, new Map([[hostId('h1'), 5_000]]));
  assert.deepEqual(idsOf(begin), ['m1']);
});

test('those without room are not kept apart from anything', () => {
  const waits = { ...queued('m1', 'h1'), waitsFor: [{ host: hostId('h2'), ports: 1, memoryBytes: 0, travels: true }] };
  const roomOf = () => ({ slots: 1, networkSlots: 9, ports: 0, memoryBytes: 0 });
  const outcome = beginnings([waits], 1_000, nobody, { roomOf });
  assert.deepEqual([outcome.begin, outcome.againInMs], [[], undefined]);
});

test('oldest first, and never more than the limit leave one host, or run in the fleet', () => {
  const active = [
    queued('m3', 'h1'),
    queued('m1', 'h1'),
    queued('m0', 'h1', { phase: 'checking' }),
    queued('m2', 'h2'),
  ];
  const admitted = (ledger: Ledger) => idsOf(admissible(active, 0, { ledger }));
  assert.deepEqual(admitted(limited({ maxOutgoingPerHost: 2 })), ['m1', 'm2']);
  assert.deepEqual(admitted(limited({ maxOutgoingPerHost: 1 })), ['m2']);
  assert.deepEqual(admitted(limited({}, 2)), ['m1']);
  assert.deepEqual(
    idsOf(admissible([queued('m1', 'h1', { notBefore: 10 }), queued('m3', 'h1')], 9)),
    ['m3'],
    'the next attempt has its time',
  );
});

test('what another control plane runs counts, and one that is stored and known here counts once', () => {
  const mine = queued('m0', 'h1', { phase: 'checking' });
  const foreign = { [hostKey(hostId('h1'))]: { mX: { vm: 'x', side: 'source' as const } } };
  const both = { [hostKey(hostId('h1'))]: { m0: { vm: 'web', side: 'source' as const } } };
  const all = [mine, queued('m1', 'h1')];
  assert.deepEqual(idsOf(admissible(all, 0, { ledger: limited({ maxOutgoingPerHost: 2 }, 9, foreign) })), []);
  assert.deepEqual(idsOf(admissible(all, 0, { ledger: limited({ maxOutgoingPerHost: 2 }, 9, both) })), ['m1']);
});

test(
  'what waits begins when a host has room for it, the oldest first, each taking its share; a host that is gone ' +
    'lets it be judged',
  () => {
    const waiting = (id: string, ports = 2): Migration =>
      queued(id, 'h1', { waitsFor: [{ host: hostId('h2'), ports, memoryBytes: 1, travels: true }] });
    const all = [waiting('m1'), waiting('m2'), waiting('m3', 1), waiting('m4', 1)];
    const admitted = (ports: number, memoryBytes = 9, slots = 9) =>
      idsOf(admissible(all, 0, { roomOf: () => ({ slots, networkSlots: 9, ports, memoryBytes }) }));
    assert.deepEqual(
      [admitted(0), admitted(1), admitted(2), admitted(3), admitted(4), admitted(9, 2), admitted(9, 9, 1)],
      // one port is kept for m1, which needs two; what it lacks besides ports is not waited for
      [[], [], ['m1'], ['m1'], ['m1', 'm2'], ['m1', 'm2'], ['m1']],
    );
    assert.deepEqual(admissible(all, 0, { roomOf: () => undefined }).length, 4);
  },
);

test('free ports are kept for the first that lacks nothing else, from those behind it and from new ones', () => {
  const needs = (ports: number, memoryBytes = 0) => ({
    waitsFor: [{ host: hostId('h2'), ports, memoryBytes, travels: true }],
  });
  const room = { slots: 9, networkSlots: 9, ports: 1, memoryBytes: 5 };
  const openings = { roomOf: () => room };
  const kept = (all: readonly Migration[], self?: string) => [...portsKept(all, self, 0, openings)];
  const all = [queued('m2', 'h1', needs(2)), queued('m3', 'h1', needs(1)), queued('m4', 'h1', { phase: 'checking' })];
  assert.deepEqual(idsOf(admissible(all, 0, openings)), []);
  assert.deepEqual([kept(all), kept(all, 'm4')], [['h2'], ['h2']]);
  const older = [...all, queued('m1', 'h1', { phase: 'checking' })];
  assert.deepEqual(kept(older, 'm1'), [], 'those before it take what they need');
  const short = [queued('m2', 'h1', needs(2, 6)), queued('m3', 'h1', needs(1))];
  assert.deepEqual([idsOf(admissible(short, 0, openings)), kept(short)], [['m3'], []], 'memory may never come');
  const atHome = [{ ...all[0], from: { id: hostId('h9'), name: 'h9' } } as Migration, queued('m3', 'h1', needs(1))];
  const ledger: Ledger = {
    ...emptyLedger,
    clusterOf: () => ({ name: 'default', maxOutgoingPerHost: 1 }),
    of: (key) => (key === hostKey(hostId('h9')) ? { mX: { vm: 'x', side: 'source' } } : {}),
  };
  assert.deepEqual(idsOf(admissible(atHome, 0, { ...openings, ledger })), ['m3'], 'it could not leave its own host');
});

test('one that finds no slot holds none: those behind it begin', () => {
  const all = [
    queued('m1', 'h1', { waitsFor: [{ host: hostId('h2'), ports: 0, memoryBytes: 5, travels: true }] }),
    queued('m2', 'h1'),
  ];
  const roomOf = () => ({ slots: 9, networkSlots: 9, ports: 9, memoryBytes: 4 });
  const unheld = () => ({ ...roomOf(), isUnheld: true as const });
  assert.deepEqual(idsOf(admissible(all.slice(0, 1), 0, { roomOf })), []);
  assert.deepEqual(idsOf(admissible(all.slice(0, 1), 0, { roomOf: unheld })), ['m1'], 'nobody gives memory back');
  assert.deepEqual(idsOf(admissible(all, 0, { ledger: limited({ maxOutgoingPerHost: 1 }, 1), roomOf })), ['m2']);
});

test('a VM that is down comes first, then as the origins say, then the older', () => {
  const all = [
    queued('m1', 'h1', { origin: 'rebalance' }),
    queued('m2', 'h1', { origin: 'restore' }),
    queued('m3', 'h1', { origin: 'drain' }),
    queued('m4', 'h1'),
    queued('m5', 'h1', { origin: 'host-shutdown' }),
    queued('m6', 'h1', { origin: 'host-failure' }),
    queued('m7', 'h1', { origin: 'rebalance', evidence: { poweredOffAt: 1 } }),
    queued('m8', 'h1', { request: { rescue: { statement: 'it burnt' } } }),
    queued('m9', 'h1'),
  ];
  assert.deepEqual(idsOf(inTurn(all, 0)), ['m6', 'm7', 'm8', 'm5', 'm4', 'm9', 'm3', 'm2', 'm1']);
});

test('nothing starves: whatever comes after it, and however urgent, each begins within its levels of ageing', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...migrationOrigins),
      fc.array(fc.constantFrom(...migrationOrigins.filter((origin) => origin !== 'host-failure')), {
        minLength: 20,
        maxLength: 60,
      }),
      (origin, rivals) => {
        // one slot, given away once per step of ageing, and two rivals come for it each time
        let waiting: Migration[] = [queued('m-000', 'h1', { origin })];
        for (let turn = 0; turn < rivals.length; turn += 1) {
          const now = turn * agesEveryMs;
          const came = rivals[turn] ?? 'operator';
          for (const twin of ['a', 'b'])
            waiting.push(
              queued(`n-${String(turn).padStart(3, '0')}${twin}`, 'h1', {
                origin: came,
                phases: [{ phase: 'queued', at: now }],
              }),
            );
          const [next] = admissible(waiting, now, { ledger: limited({ maxOutgoingPerHost: 1 }) });
          assert.ok(next !== undefined);
          if (next.id === 'm-000') return turn <= migrationOrigins.length * 2;
          waiting = waiting.filter(({ id }) => id !== next.id);
        }
        return false;
      },
    ),
  );
});

test('the queue says what each waits for, in the numbers of now', () => {
  const mib = 1_048_576;
  const h2 = hostId('h2');
  const viewOf = () => ({
    host: { id: h2, name: 'host2', uri: '', cluster: 'default', machineUuid: '', addedAt: 0 },
    state: 'connected' as const,
    freeMemoryBytes: 300 * mib,
  });
  const ledger = limited({ maxOutgoingPerHost: 2, maxIncomingPerHost: 1 }, 9, {
    [hostKey(hostId('h1'))]: { a: { vm: 'web1', side: 'source' }, b: { vm: 'web2', side: 'source' } },
    [hostKey(h2)]: { a: { vm: 'web1', side: 'target', memoryBytes: 256 * mib } },
    [fleetKey]: { a: { vm: 'web1' }, b: { vm: 'web2' } },
  });
  const waitsFor = [{ host: h2, ports: 0, memoryBytes: 512 * mib, travels: true }];
  const queue = queueOf(
    {
      active: [
        queued('m1', 'h1', { origin: 'drain' }),
        queued('m2', 'h3', { waitsFor }),
        queued('m3', 'h3', { origin: 'rebalance', notBefore: 7_500, attempts: [] }),
        queued('m4', 'h3', { origin: 'rebalance' }),
        queued('m0', 'h9', { phase: 'preparing' }),
      ],
      ledger,
      viewOf,
    },
    5_000,
  );
  assert.deepEqual(
    queue.map(({ migration: { id }, place, priority, waitedMs, waitsFor: all }) => [
      id,
      place,
      priority,
      waitedMs,
      all.map(({ message }) => message),
    ]),
    [
      [
        'm2',
        1,
        'operator',
        5_000,
        [
          '1 of 1 slots of host2 for incoming migrations are taken by web1.',
          'host2 has 300 MiB free, of which 256 MiB are promised to web1, and web needs 512 MiB.',
        ],
      ],
      ['m1', 2, 'drain', 5_000, ['2 of 2 slots of h1 for outgoing migrations are taken by web1 and web2.']],
      ['m3', 3, 'rebalance', 5_000, ['The next attempt begins in 3 s.']],
      ['m4', 4, 'rebalance', 5_000, ['What it needs is free: it begins in its turn.']],
    ],
  );
  assert.deepEqual(
    queueOf({ active: [queued('m2', 'h3', { waitsFor })], ledger: emptyLedger, viewOf: () => undefined }, 0).flatMap(
      ({ waitsFor: all }) => all.map(({ code }) => code),
    ),
    ['turn'],
    'a host that is gone holds nobody up',
  );
});

test('what sends nothing waits for no slot of the network; a rescue for none of its dead host', () => {
  const needs = (travels: boolean) => [{ host: hostId('h2'), ports: 0, memoryBytes: 1, travels }];
  const roomOf = () => ({ slots: 9, networkSlots: 0, ports: 9, memoryBytes: 9 });
  const waiting = [queued('m1', 'h1', { waitsFor: needs(true) }), queued('m2', 'h1', { waitsFor: needs(false) })];
  assert.deepEqual(idsOf(admissible(waiting, 0, { roomOf })), ['m2']);
  const rescue = { request: { rescue: { statement: 'it is off' } } } as Partial<Migration>;
  const dead = [
    ...Array.from({ length: 20 }, (_, index) => queued(`m${index + 10}`, 'h1', { ...rescue, phase: 'preparing' })),
    queued('m50', 'h1', rescue),
    queued('m51', 'h1'),
  ];
  assert.deepEqual(idsOf(admissible(dead, 0)), ['m50', 'm51'], 'nor does a move of the host wait for those');
  const full = Array.from({ length: 8 }, (_, index) => queued(`m${index + 10}`, 'h1', { phase: 'transferring' }));
  assert.deepEqual(idsOf(admissible([...full, queued('m50', 'h1', rescue), queued('m51', 'h1')], 0)), ['m50']);
});
