import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId, type HostId, type TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { beginnings, startApartMs } from './admission.ts';
import { fresh } from './step-fixture.ts';

const queued = (id: string, from: string): Migration => ({
  ...fresh,
  id: migrationId(id),
  from: { id: hostId(from), name: from },
});
const idsOf = (migrations: readonly Migration[]): readonly string[] => migrations.map(({ id }) => id);
const nobody: ReadonlyMap<HostId, TimeMs> = new Map();

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
  const waits = { ...queued('m1', 'h1'), waitsFor: [{ host: hostId('h2'), ports: 1, memoryBytes: 0 }] };
  const roomOf = () => ({ ports: 0, memoryBytes: 0 });
  const outcome = beginnings([waits], 1_000, nobody, { roomOf });
  assert.deepEqual([outcome.begin, outcome.againInMs], [[], undefined]);
});
