/** Guarded changes of documents by several at once, over a store that also loses its answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '@ferry/core';
import { silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { collection, document, expectRevision, text, texts } from './collection.ts';
import { commit } from './commit.ts';
import { openMirror } from './mirror.ts';

const failsWith = (code: string, saying: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.code === code && saying.test(error.message);

test('of many who change one document at once, each finds what the others stored', async () => {
  const { intents } = memoryStores();
  const lists = collection(intents, '', texts);
  const seen = await Promise.all(
    Array.from({ length: 100 }, (_, index) => lists.change('x', (before) => [...(before?.value ?? []), String(index)])),
  );
  const stored = (await lists.get('x'))?.value ?? [];
  assert.deepEqual(
    [...stored].sort((a, b) => Number(a) - Number(b)),
    Array.from({ length: 100 }, (_, index) => String(index)),
  );
  for (const [index, each] of seen.entries()) assert.equal(each.value?.at(-1), String(index));
});

test('a document is taken away, what is not there stays so, and what stays the same is not written', async () => {
  const { intents } = memoryStores();
  const words = collection(intents, 'w/', text);
  const { revision } = await words.change('x', () => 'one');
  assert.deepEqual(await words.change('x', (before) => before?.value), { key: 'x', value: 'one', revision });
  assert.equal((await words.get('x'))?.revision, revision);
  assert.equal((await words.change('x', () => undefined)).value, undefined);
  assert.equal(await words.get('x'), undefined);
  await words.change('x', () => undefined);
});

test('a change that somebody else overtakes is decided on what that one stored', async () => {
  let overtake: (() => Promise<void>) | undefined;
  const { intents } = memoryStores({
    beforeCommit: async () => {
      const go = overtake;
      overtake = undefined;
      await go?.();
    },
  });
  const words = collection(intents, '', text);
  await words.change('x', () => 'a');
  overtake = async () => void (await words.change('x', ({ value } = assert.fail()) => `${value}b`));
  assert.equal((await words.change('x', ({ value } = assert.fail()) => `${value}c`)).value, 'abc');
  // whoever said which revision it had seen is told instead
  const seen = (await words.get('x'))?.revision ?? 0;
  overtake = async () => void (await words.change('x', () => 'other'));
  await assert.rejects(
    words.change('x', (before) => {
      expectRevision('The word x', before?.revision ?? 0, seen);
      return 'mine';
    }),
    failsWith('revision-stale', /^The word x has revision \d+ now; the request is for revision \d+\.$/),
  );
  assert.equal((await words.get('x'))?.value, 'other');
});

test('an answer that was lost is settled by looking: what was written is not written again', async () => {
  for (const when of ['lost-before', 'lost-after'] as const) {
    let lose = 0;
    let commits = 0;
    const { intents } = memoryStores({
      beforeCommit: () => {
        commits += 1;
        return (lose -= 1) >= 0 ? when : undefined;
      },
    });
    const lists = collection(intents, '', texts);
    lose = 1;
    await lists.change('x', (before) => [...(before?.value ?? []), 'one']);
    assert.deepEqual((await lists.get('x'))?.value, ['one']);
    assert.equal(commits, when === 'lost-before' ? 2 : 1);
    lose = 1;
    await lists.change('x', () => undefined);
    assert.equal(await lists.get('x'), undefined);
  }
});

test('a write that arrives late is counted once, and one that was overtaken is decided anew', async () => {
  const { intents } = memoryStores();
  const lists = collection(intents, '', texts);
  const late: (() => Promise<unknown>)[] = [];
  const slow: typeof intents = {
    ...intents,
    commit: async (writes) => {
      const [first] = late;
      if (first === undefined) {
        late.push(() => intents.commit(writes));
        return { unknown: 'The store did not answer in time.' };
      }
      // the first one arrives just before the second
      await first();
      return intents.commit(writes);
    },
  };
  assert.ok('revision' in (await commit(slow, [lists.put('x', ['one'], 0)])));
  assert.deepEqual((await lists.get('x'))?.value, ['one']);
  await lists.change('x', (before) => [...(before?.value ?? []), 'two']);
  assert.deepEqual(await commit(slow, [lists.put('x', ['mine'], 0)]), { conflict: ['x'] });
  assert.deepEqual((await lists.get('x'))?.value, ['one', 'two']);
});

test('a store that keeps losing its answers: one sentence, and nothing is overwritten', async () => {
  const { intents } = memoryStores({ beforeCommit: () => 'lost-before' });
  const words = collection(intents, '', text);
  await assert.rejects(
    words.change('x', () => 'a'),
    failsWith(
      'store-unavailable',
      /^It is not known whether the change was stored: The store did not answer in time\.$/,
    ),
  );
  assert.equal(await words.get('x'), undefined);
});

test('a document that Ferry did not write is told with its key', async () => {
  const { intents } = memoryStores();
  await intents.commit([{ op: 'put', key: 'hosts/h1', value: { name: 3 }, ifRevision: 0 }]);
  const hosts = collection(intents, 'hosts/', document<{ readonly name: string }>({ name: 'string' }));
  const wrong = failsWith(
    'store-broken',
    /^The stored hosts\/h1 is not what Ferry writes: its "name" is number, not string\.$/,
  );
  await assert.rejects(hosts.get('h1'), wrong);
  await assert.rejects(hosts.list(), wrong);
});

test('a mirror shows what others change, tells each change once, and lists again after a gap', async () => {
  const { intents } = memoryStores({ changesKept: 5 });
  const words = collection(intents, 'w/', text);
  await words.change('gone', () => 'x');
  await words.change('old', () => 'x');
  const told: string[] = [];
  const ending = new AbortController();
  const mirror = await openMirror(
    words,
    { clock: { sleep: async () => {} }, log: silentLog, signal: ending.signal },
    ({ key, value = 'nothing' }) => told.push(`${key}: ${value}`),
  );
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  await turns();
  await mirror.change('own', () => 'a');
  assert.equal(mirror.get('own')?.value, 'a');
  await words.change('other', () => 'b');
  await turns();
  assert.deepEqual([mirror.get('other')?.value, told.splice(0)], ['b', ['own: a', 'other: b']]);
  // more at once than the store keeps for watchers
  await Promise.all([
    words.change('gone', () => undefined),
    ...Array.from({ length: 8 }, (_, index) => words.change(`n${index}`, () => 'c')),
  ]);
  await turns();
  assert.equal(mirror.get('gone'), undefined);
  assert.deepEqual(told.sort(), ['gone: nothing', ...Array.from({ length: 8 }, (_, index) => `n${index}: c`)]);
  ending.abort();
});
