/** How migrations are kept: what a sample writes, what is large, what another version wrote, and who is overtaken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { FerryError, hostId, migrationId, vmUuid, type Migration } from '@ferry/core';
import { countingClock } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { IntentWrite } from '../ports/ports.ts';
import { migrationRecords } from './migration-records.ts';

const id = migrationId('m1');
const running: Migration = {
  id,
  name: 'web-1',
  vm: { uuid: vmUuid('A'), name: 'web' },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'test',
  request: { to: 'h2', xml: '<domain/>' },
  from: { id: hostId('h1'), name: 'h1' },
  phase: 'transferring',
  phases: [{ phase: 'queued', at: 1 }],
  evidence: {},
};
const progress = (percent: number): NonNullable<Migration['progress']> => ({
  percent,
  processedBytes: 1,
  remainingBytes: 1,
  totalBytes: 2,
  dirtyBytesPerSecond: 0,
  throughputBytesPerSecond: 1,
  iteration: 1,
});
const ended: Migration = { ...running, phase: 'failed', outcome: 'failed' };

function opened() {
  const clock = countingClock();
  const written: IntentWrite[][] = [];
  let lose = false;
  const stores = memoryStores({
    beforeCommit: (writes) => {
      written.push([...writes]);
      return lose ? 'lost-after' : undefined;
    },
  });
  const records = () => migrationRecords({ ...stores, clock });
  const keys = async () => (await stores.intents.list('')).entries.map(({ key }) => key);
  return {
    records,
    stores,
    keys,
    written: () => written.splice(0),
    loseAnswers: (value: boolean) => void (lose = value),
    [Symbol.dispose]: () => clock[Symbol.dispose](),
  };
}

const endedOf = async (records: ReturnType<typeof migrationRecords>): Promise<readonly Migration[]> =>
  (await records.finished(9)).map(({ migration }) => migration);
const unrevised = ({ revision, ...migration }: Migration): Migration => {
  assert.ok(Number(revision) > 0);
  return migration;
};
/** What somebody else has made of it. */
const foreign = (outcome: object): Migration | undefined =>
  'changed' in outcome && outcome.changed !== undefined ? unrevised(outcome.changed as Migration) : undefined;

test('a sample does not rewrite what was decided', async () => {
  using at = opened();
  const records = at.records();
  const begun = await records.begin(running);
  at.written();
  assert.deepEqual(await records.store({ ...running, progress: progress(10) }), begun, 'the revision is of the plan');
  assert.deepEqual(
    at.written().flatMap((writes) => writes.map(({ op, key }) => `${op} ${key}`)),
    ['check migrations/m1', 'put transfer-history/m1'],
  );
  await records.store({ ...running, progress: progress(10), phase: 'verifying' });
  assert.deepEqual(
    at.written().flatMap((writes) => writes.map(({ op, key }) => `${op} ${key}`)),
    ['put migrations/m1'],
  );
  // nothing new is nothing to write
  await records.store({ ...running, progress: progress(10), phase: 'verifying' });
  assert.deepEqual(at.written(), []);
  assert.deepEqual((await at.records().active()).map(unrevised), [
    { ...running, progress: progress(10), phase: 'verifying' },
  ]);
});

test('of two that want one VM one begins, and leaves nothing behind when it has ended', async () => {
  using at = opened();
  const records = at.records();
  const results = await Promise.all(['m1', 'm2'].map((each) => records.begin({ ...running, id: migrationId(each) })));
  assert.deepEqual(results, [{ revision: 1 }, { conflict: ['migration-of/a'] }]);
  await records.store(ended);
  assert.deepEqual(await at.keys(), []);
  assert.deepEqual(await endedOf(records), [ended]);
});

test('a plan of any size is kept: no document outgrows its limit on the way', async () => {
  using at = opened();
  const records = at.records();
  const huge: Migration = {
    ...running,
    request: { to: 'h2', xml: `<domain>${'ü"'.repeat(200_000)}</domain>` },
    attention: 'x'.repeat(100_000),
    error: {
      code: 'migration-refused',
      message: 'no',
      remedy: 'none',
      reasons: Array.from({ length: 5_000 }, (_, index) => ({
        code: 'facts-missing',
        message: `host ${index}`.repeat(9),
        remedy: 'y',
      })),
    },
  };
  await records.begin(running);
  assert.ok('revision' in (await records.store(huge)));
  const sizes = (await at.stores.intents.list('')).entries.map(({ value }) => JSON.stringify(value).length);
  assert.ok(Math.max(...sizes) <= 130_000, String(Math.max(...sizes)));
  const again = at.records();
  assert.ok(isDeepStrictEqual((await again.active()).map(unrevised), [huge]));
  // and the next change of something small writes no text again
  at.written();
  await again.store({ ...huge, phase: 'verifying' });
  assert.equal(at.written().length, 1);
  await again.store({ ...huge, phase: 'failed', outcome: 'failed' });
  assert.deepEqual(await at.keys(), []);
  assert.ok(isDeepStrictEqual((await endedOf(again))[0]?.request, huge.request));
});

test('a migration of another version is refused in one sentence, and left as it is', async () => {
  using at = opened();
  const value = { v: 3, something: 'else' };
  await at.stores.intents.commit([{ op: 'put', key: 'migrations/m1', value, ifRevision: 0 }]);
  await assert.rejects(
    at.records().active(),
    (error) =>
      error instanceof FerryError &&
      error.message === 'The stored migrations/m1 is not what Ferry writes: another Ferry wrote it (version 3).',
  );
  assert.deepEqual((await at.stores.intents.get('migrations/m1'))?.value, value);
});

test('whoever was overtaken stores nothing and is given what it is now', async () => {
  using at = opened();
  const [one, other] = [at.records(), at.records()];
  await one.begin(running);
  await other.active();
  const theirs: Migration = { ...running, attention: 'theirs' };
  assert.ok('revision' in (await other.store(theirs)));
  assert.deepEqual(foreign(await one.store({ ...running, attention: 'mine' })), theirs);
  // also what is only measured, and the end
  const again: Migration = { ...theirs, attention: 'again' };
  assert.ok('revision' in (await other.store(again)));
  assert.deepEqual(foreign(await one.store({ ...theirs, progress: progress(5) })), again);
  assert.ok('revision' in (await one.store({ ...again, progress: progress(5) })));
  assert.deepEqual(foreign(await other.store({ ...again, attention: 'third', progress: progress(6) })), {
    ...again,
    progress: progress(5),
  });
  await one.store(ended);
  assert.deepEqual(await other.store(again), { changed: undefined });
  assert.deepEqual((await at.keys()).length, 0);
});

test('an end whose answers are lost is kept once', async () => {
  using at = opened();
  const records = at.records();
  await records.begin(running);
  at.loseAnswers(true);
  assert.ok('revision' in (await records.store({ ...running, attention: 'x' })));
  assert.ok('revision' in (await records.store(ended)));
  at.loseAnswers(false);
  assert.deepEqual([await at.keys(), await endedOf(records)], [[], [ended]]);
});

test('an end is decided when it is stored: whoever comes later is told, and whoever was faster is kept', async () => {
  using at = opened();
  const other = at.records();
  let between: (() => Promise<void>) | undefined;
  const journal: typeof at.stores.journal = {
    ...at.stores.journal,
    async append(entries) {
      const go = between;
      between = undefined;
      await go?.();
      return at.stores.journal.append(entries);
    },
  };
  using clock = countingClock();
  const records = migrationRecords({ ...at.stores, journal, clock });
  await records.begin(running);
  await other.active();
  between = async () =>
    assert.deepEqual(foreign(await other.store({ ...running, attention: 'later' })), ended, 'it has ended');
  assert.ok('revision' in (await records.store(ended)));
  assert.deepEqual([await at.keys(), await endedOf(records)], [[], [ended]]);

  const second = { ...running, id: migrationId('m2') };
  await records.begin(second);
  await other.active();
  const faster: Migration = { ...second, attention: 'faster' };
  await other.store(faster);
  assert.deepEqual(foreign(await records.store({ ...ended, id: second.id })), faster);
  assert.equal((await endedOf(records)).length, 1, 'nothing says that it has ended');
  assert.ok('revision' in (await records.store({ ...ended, id: second.id, attention: 'faster' })));
});

test('an end that did not get to the journal gets there at the next start, as it was decided', async () => {
  using at = opened();
  using clock = countingClock();
  const append = () => Promise.reject(new Error('killed'));
  const killed = migrationRecords({ ...at.stores, journal: { ...at.stores.journal, append }, clock });
  await killed.begin(running);
  await assert.rejects(killed.store(ended), /killed/);
  const restarted = at.records();
  assert.deepEqual(await restarted.active(), []);
  assert.deepEqual((await endedOf(restarted)).map(unrevised), [ended]);
  assert.deepEqual(await at.keys(), []);
});

test('a start beside another control plane leaves the figures of a migration that just began', async () => {
  using clock = countingClock();
  const stores = memoryStores();
  const other = migrationRecords({ ...stores, clock });
  let between: (() => Promise<unknown>) | undefined = () => other.begin(running);
  const intents: typeof stores.intents = {
    ...stores.intents,
    async list(prefix, options) {
      const answer = await stores.intents.list(prefix, options);
      const go = prefix === 'migrations/' ? between : undefined;
      if (go !== undefined) between = undefined;
      await go?.();
      return answer;
    },
  };
  await migrationRecords({ ...stores, intents, clock }).active();
  const keys = (await stores.intents.list('')).entries.map(({ key }) => key);
  assert.deepEqual(keys, [`migration-of/${running.vm.uuid}`, `migrations/${id}`, `transfer-history/${id}`]);
});
