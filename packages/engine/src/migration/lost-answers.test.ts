/** A store that is far away: answers are lost several times in a row, and what was written arrives all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasEnded, type Migration } from '@ferry/core';
import { startEngine } from '../engine.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { Stores } from '../ports/ports.ts';

const by = { actor: 'operator', client: 'test' };
const patience = () => AbortSignal.timeout(20_000);
/** So many answers to one write are lost before the engine gives up asking for it. */
const lostInARow = 4;

for (const [what, deleted, outcome] of [
  ['goes on', false, 'succeeded'],
  ['ends where the VM is gone', true, 'failed'],
] as const)
  test(`a migration whose begin was stored without an answer, and would be stored otherwise now, ${what}`, async () => {
    using clock = countingClock();
    const fleet = fakeFleet(clock);
    const { intents, ...others } = memoryStores();
    let lost = 0;
    const stores: Stores = {
      ...others,
      intents: {
        ...intents,
        async commit(writes) {
          const begins = writes.some(({ key, op }) => op === 'put' && key.startsWith('migrations/'));
          if (!begins || !JSON.stringify(writes).includes('"phase":"preparing"') || lost >= lostInARow)
            return intents.commit(writes);
          lost += 1;
          if (lost === lostInARow)
            void (async () => {
              await clock.sleep(500);
              await intents.commit(writes);
              // whoever asks again finds no room for it
              const target = fleet.hosts.get('h2');
              if (target !== undefined) target.freeMemoryBytes = 0;
              if (deleted) fleet.hosts.get('h1')?.domains.clear();
            })();
          return { unknown: 'The store did not answer in time.' };
        },
      },
    };
    const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
    try {
      for (const name of ['h1', 'h2']) {
        fleet.add(name);
        await engine.addHost({ uri: uriOf(name), name }, patience());
      }
      fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
      for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
      const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, by);
      let end: Migration | undefined;
      for await (const state of engine.watchMigration(id, patience())) end = state;
      assert.equal(lost, lostInARow);
      assert.equal(end?.outcome, outcome);
      const held = (await intents.list('reservations/')).entries.map(
        ({ value }) => (value as { entries: object }).entries,
      );
      assert.deepEqual(
        held.filter((each) => Object.keys(each).length > 0),
        [],
        'nothing is reserved for it any more',
      );
    } finally {
      await engine.close();
    }
  });

/** A store that says nothing to one commit, which arrives when somebody looks for `key` once more, after `looks` others. */
const lateStores = (is: (keys: readonly string[]) => boolean, key: string, looks: number): Stores => {
  const { intents, ...others } = memoryStores();
  let lost = 0;
  let left = looks;
  let late: Parameters<typeof intents.commit>[0] | undefined;
  return {
    ...others,
    intents: {
      ...intents,
      async commit(writes) {
        if (lost >= lostInARow || !is(writes.flatMap((each) => (each.op === 'put' ? [each.key] : []))))
          return intents.commit(writes);
        lost += 1;
        late = writes;
        return { unknown: 'The store did not answer in time.' };
      },
      async get(asked) {
        if (late !== undefined && lost === lostInARow && asked.startsWith(key) && (left -= 1) < 0) {
          const writes = late;
          late = undefined;
          await intents.commit(writes);
        }
        return intents.get(asked);
      },
    },
  };
};
const begins = (keys: readonly string[]): boolean =>
  keys.some((key) => key.startsWith('migrations/')) && keys.some((key) => key.startsWith('batches/'));
const drains = (keys: readonly string[]): boolean =>
  keys.some((key) => key.startsWith('batches/')) && keys.some((key) => key.startsWith('hosts/'));

for (const [what, is, key, looks, refused] of [
  // the last look of the commit itself is the first one
  ['the begin of a migration, seen at once', begins, 'migrations/', 1, false],
  ['the begin of a migration, seen only in its batch', begins, 'batches/', 1, false],
  ['the drain itself', drains, 'batches/', 1, false],
  ['the drain itself, seen only later', drains, 'batches/', 2, true],
] as const)
  test(`a drain goes on where the answer of the store is lost for ${what}`, async () => {
    using clock = countingClock();
    const fleet = fakeFleet(clock);
    const stores = lateStores(is, key, looks);
    const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
    try {
      for (const name of ['h1', 'h2']) {
        fleet.add(name);
        await engine.addHost({ uri: uriOf(name), name }, patience());
      }
      fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
      for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
      const service = () => engine.host('h1').host.service?.state;
      const asked = engine.batches.drain({ hosts: ['h1'], force: false }, by);
      if (refused) await assert.rejects(asked, /It is not known whether the change was stored/);
      else await asked;
      for (let turn = 0; turn < 1_000 && engine.batches.all().length === 0; turn += 1) await clock.sleep(10);
      const [{ id } = { id: '' }] = engine.batches.all();
      assert.equal(service(), 'draining');
      for (let turn = 0; turn < 20_000 && !hasEnded(engine.batches.find(id)); turn += 1) await clock.sleep(10);
      const { phase, members } = engine.batches.find(id);
      assert.deepEqual(
        [phase, members.map(({ state, tries }) => [state, tries])],
        ['done', [['moved', 0]]],
        JSON.stringify(members),
      );
      assert.equal(service(), 'maintenance');
      assert.deepEqual((await stores.intents.list('migration-of/')).entries, []);
    } finally {
      await engine.close();
    }
  });

test('a migration of an operator that was stored while nobody could look is found by the next request for its VM', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  const { intents, ...others } = memoryStores();
  let isAway = false;
  let lost = 0;
  const stores: Stores = {
    ...others,
    intents: {
      ...intents,
      async commit(writes) {
        if (lost > 0 || !writes.some(({ key }) => key.startsWith('migrations/'))) return intents.commit(writes);
        lost += 1;
        await intents.commit(writes);
        isAway = true;
        return { unknown: 'The store did not answer in time.' };
      },
      async get(key) {
        if (isAway) throw new Error('The store is away.');
        return intents.get(key);
      },
    },
  };
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  try {
    for (const name of ['h1', 'h2']) {
      fleet.add(name);
      await engine.addHost({ uri: uriOf(name), name }, patience());
    }
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
    await assert.rejects(engine.startMigration({ vm: 'web', to: 'h2' }, by), /away/);
    isAway = false;
    await assert.rejects(engine.startMigration({ vm: 'web', to: 'h2' }, by), /already being moved/);
    const id = engine.vm('web').currentMigration;
    assert.ok(id !== undefined, 'it is known');
    let end: Migration | undefined;
    for await (const state of engine.watchMigration(id, patience())) end = state;
    assert.equal(end?.outcome, 'succeeded');
  } finally {
    await engine.close();
  }
});
