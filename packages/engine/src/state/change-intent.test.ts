import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeIntent } from './change-intent.ts';
import { memoryStores } from '../fake/stores.ts';

test('of many who change one document at once, each finds what the others stored', async () => {
  const { intents } = memoryStores();
  const seen = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      changeIntent<readonly number[]>(intents, 'x', (before = []) => [...before, index]),
    ),
  );
  const stored = (await intents.get('x'))?.value as readonly number[];
  assert.deepEqual(
    [...stored].sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, index) => index),
  );
  for (const [index, each] of seen.entries()) assert.equal(each?.at(-1), index, 'what is answered is what was stored');
});

test('a document is taken away, and what is not there stays so', async () => {
  const { intents } = memoryStores();
  await changeIntent(intents, 'x', () => 1);
  assert.equal(await changeIntent(intents, 'x', () => undefined), undefined);
  assert.equal(await intents.get('x'), undefined);
  assert.equal(await changeIntent(intents, 'x', () => undefined), undefined);
});
