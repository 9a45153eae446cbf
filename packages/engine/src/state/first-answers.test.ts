/** Requests that come twice with one key, on a store that is shared and that loses its answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '@ferry/core';
import { startEngine } from '../engine.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { IntentStore } from '../ports/ports.ts';
import { collection, text } from './collection.ts';
import { createFirstAnswers, keyKeptMs, type Along } from './first-answers.ts';

const by = { actor: 'operator', client: 'test' };
const asked = { key: 'k', request: 'move web' };
const usedOtherwise = (error: unknown) =>
  error instanceof FerryError &&
  error.code === 'idempotency-key-used' &&
  error.message === 'The Idempotency-Key "k" was used for another request.';

/** Makes things with numbers, each in the transaction of its key. */
function maker(intents: IntentStore) {
  const things = collection(intents, 'things/', text);
  let made = 0;
  return {
    count: async () => (await things.list()).items.length,
    make: async (along: Along): Promise<string> => {
      const id = `t${(made += 1)}`;
      const written = await things.commit([things.put(id, 'a thing', 0), ...along(id)]);
      if ('conflict' in written) throw new FerryError('store-conflict', 'Somebody was faster.');
      return `made ${id}`;
    },
    again: async (id: string) => `found ${id}`,
  };
}

test('the same request gets the first answer, at once, later and after a restart; another one is refused', async () => {
  using clock = countingClock();
  const { intents } = memoryStores({ clock });
  const { make, again, count } = maker(intents);
  const answers = createFirstAnswers(intents, silentLog);
  const three = await Promise.all([1, 2, 3].map(() => answers.once(asked, make, again)));
  assert.deepEqual(three, ['made t1', 'made t1', 'made t1']);
  const restarted = createFirstAnswers(intents, silentLog);
  assert.equal(await restarted.once(asked, make, again), 'made t1');
  await assert.rejects(restarted.once({ ...asked, request: 'move db' }, make, again), usedOtherwise);
  assert.equal(await count(), 1);
  assert.equal(await answers.once(undefined, make, again), 'made t2', 'without a key each request makes one');
  await clock.sleep(keyKeptMs + 1);
  assert.equal(
    await answers.once({ ...asked, request: 'move db' }, make, again),
    'made t3',
    'the key is free after 24 hours',
  );
});

test('of two control planes with one key one makes it, and both give its answer or show what it made', async () => {
  using clock = countingClock();
  const { intents } = memoryStores({ clock });
  const { make, again, count } = maker(intents);
  const answers = await Promise.all([1, 2].map(() => createFirstAnswers(intents, silentLog).once(asked, make, again)));
  assert.equal(await count(), 1);
  for (const answer of answers) assert.match(answer, /^(made|found) t\d$/);
});

test('a refused request keeps nothing; one that was made and not answered is not made again', async () => {
  using clock = countingClock();
  const { intents } = memoryStores({ clock });
  const { make, again, count } = maker(intents);
  const answers = createFirstAnswers(intents, silentLog);
  const refusal = new FerryError('migration-refused', 'No.');
  await assert.rejects(
    answers.once(asked, () => Promise.reject(refusal), again),
    refusal,
  );
  const killed = async (along: Along): Promise<string> => {
    await make(along);
    throw new Error('killed before the answer');
  };
  assert.equal(await answers.once(asked, killed, again), 'found t1');
  assert.equal(await answers.once(asked, make, again), 'found t1');
  await assert.rejects(answers.once({ ...asked, request: 'move db' }, make, again), usedOtherwise);
  assert.equal(await count(), 1);
});

test('hosts and migrations are made once for a key, also across a restart', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  const stores = memoryStores({ clock });
  const start = () => startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  let engine = await start();
  try {
    const add = (name: string) =>
      engine.once(
        { key: `add ${name}`, request: name },
        async (along) =>
          (await engine.addHost({ uri: uriOf(name), name }, AbortSignal.timeout(5_000), along)).host.id as string,
        async (id) => id,
      );
    const move = () =>
      engine.once(
        { key: 'move', request: 'web' },
        async (along) => (await engine.startMigration({ vm: 'web', to: 'h2' }, by, along)).id as string,
        async (id) => id,
      );
    for (const name of ['h1', 'h2']) fleet.add(name);
    const ids = await Promise.all(['h1', 'h1', 'h2'].map(add));
    assert.equal(ids[0], ids[1]);
    assert.equal(engine.hosts().length, 2);
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    while (engine.vms().length === 0) await clock.sleep(10);
    fleet.next.durationMs = 20_000;
    const [first, second] = await Promise.all([move(), move()]);
    assert.equal(first, second);
    await engine.close();
    engine = await start();
    assert.equal(await move(), first);
    assert.equal(await add('h2'), ids[2]);
    assert.deepEqual(
      (await engine.migrations({})).items.map(({ id }) => id),
      [first],
    );
  } finally {
    await engine.close();
  }
});
