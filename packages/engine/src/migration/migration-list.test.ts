/** Pages of migrations: the active ones and the finished ones, none missing while some of them end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId, vmUuid, type Migration } from '@ferry/core';
import { pageOfMigrations, type MigrationCursor, type MigrationQuery } from './migration-list.ts';

const migration = (n: number, more: Partial<Migration> = {}): Migration => ({
  id: migrationId(`m${String(n).padStart(5, '0')}`),
  name: `m${n}`,
  vm: { uuid: vmUuid(`u${n % 4}`), name: `vm${n % 4}` },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'test',
  request: {},
  from: { id: hostId('h1'), name: n % 2 === 0 ? 'h1' : 'h3' },
  phase: 'transferring',
  phases: [],
  evidence: {},
  ...more,
});

function history(finished: number, active: number) {
  const ended = Array.from({ length: finished }, (_, n) => ({ seq: 2 * n + 1, migration: migration(n) }));
  let running = Array.from({ length: active }, (_, n) => migration(finished + n));
  const page = (query: MigrationQuery) =>
    pageOfMigrations(query, {
      active: () => running,
      finished: async (limit, before = Infinity) =>
        ended
          .toReversed()
          .filter(({ seq }) => seq < before)
          .slice(0, limit),
      historyOf: async (vm) => (each) => each.vm.name === vm,
      hostName: (ref) => ref,
      labelsOf: (uuid) => (uuid === 'u1' ? ['tier=db'] : []),
    });
  return {
    page,
    end: (id: string): void => {
      const which = running.find((each) => each.id === id) ?? assert.fail();
      running = running.filter((each) => each !== which);
      ended.push({ seq: 2 * ended.length + 1, migration: which });
    },
    all: async (query: MigrationQuery, between: () => void = () => {}): Promise<readonly string[]> => {
      const found: string[] = [];
      for (let after: MigrationCursor | undefined, first = true; first || after !== undefined; first = false) {
        const { items, next } = await page({ ...query, ...(after === undefined ? {} : { after }) });
        found.push(...items.map(({ id }) => id));
        after = next;
        between();
      }
      return found;
    },
  };
}

test('active ones first, then the finished ones, each once, in pages of any size', async () => {
  const { all } = history(700, 5);
  const newestFirst = Array.from({ length: 705 }, (_, n) => migration(704 - n).id);
  for (const limit of [1, 5, 100, 700, 705, 1_000])
    assert.deepEqual(await all({ limit }), newestFirst, `pages of ${limit}`);
  assert.deepEqual(await all({ limit: 2, state: 'active' }), newestFirst.slice(0, 5));
  assert.deepEqual(await all({ limit: 300, state: 'finished' }), newestFirst.slice(5));
});

test('filters look through the history, and say that there is more where they stop', async () => {
  const { all, page } = history(12_000, 2);
  const isMeant = (n: number): boolean => n % 4 === 1;
  const meant = Array.from({ length: 12_002 }, (_, n) => 12_001 - n)
    .filter(isMeant)
    .map((n) => migration(n).id);
  for (const query of [{ vm: 'vm1' }, { label: 'tier=db' }, { name: '*1' }, { name: 'vm1', host: 'h3' }])
    assert.deepEqual(await all({ ...query, limit: 1_000 }), meant, JSON.stringify(query));
  const nothing = await page({ name: 'nosuch' });
  assert.deepEqual([nothing.items.length, nothing.next === undefined], [0, false], 'a page looks at so many only');
  assert.deepEqual(await all({ name: 'nosuch' }), []);
});

test('one that ends between two pages is missing on none', async () => {
  const { all, end } = history(10, 6);
  const toEnd = [11, 13].map((n) => migration(n).id);
  const found = await all({ limit: 3 }, () => {
    const next = toEnd.pop();
    if (next !== undefined) end(next);
  });
  assert.equal(new Set(found).size, 16);
});
