/** A store that is far away: answers are lost several times in a row, and what was written arrives all the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '@ferry/core';
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
