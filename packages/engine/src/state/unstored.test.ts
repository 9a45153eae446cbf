/**
 * A store that refuses while a migration runs, on the fake fleet: what is true is said, nothing is begun, and it goes
 * on once there is room.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, type Migration } from '@ferry/core';
import { startEngine } from '../engine.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';

const by = { actor: 'operator', client: 'test' };
const patience = () => AbortSignal.timeout(20_000);
const full = () => new FerryError('store-full', '/data/intents.sqlite cannot be written: its disk is full.');
const refusedAsFull =
  (message: RegExp) =>
  (error: unknown): boolean =>
    error instanceof FerryError && error.code === 'store-full' && message.test(error.message);

test('a full disk is told on the migration and on what is asked of it; nothing waits, and it ends well once there is room', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  let noRoom = false;
  const stores = memoryStores({
    beforeCommit: () => {
      if (noRoom) throw full();
    },
  });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  const until = async (what: () => boolean | Promise<boolean>): Promise<void> => {
    for (let turn = 0; turn < 10_000 && !(await what()); turn += 1) await clock.sleep(10);
    assert.ok(await what());
  };
  try {
    for (const name of ['h1', 'h2']) {
      fleet.add(name);
      await engine.addHost({ uri: uriOf(name), name }, patience());
    }
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    await until(() => engine.vms().length === 1);
    fleet.next.durationMs = 20_000;
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, by);
    const now = async () => (await engine.migrations({})).items.find((each) => each.id === id);
    await until(async () => (await now())?.phase === 'transferring');
    noRoom = true;
    await until(async () => (await now())?.attention !== undefined);
    assert.match((await now())?.attention ?? '', /until it can store what happens: .*its disk is full/);
    // the guest moves all the same, and that is said
    await until(async () => (await now())?.vmIsNow?.host === 'h2');
    assert.equal((await now())?.phase, 'transferring', 'what is decided waits');
    for (const ask of [
      engine.tuneMigration(id, { maxBandwidthMiBPerSecond: 5 }),
      engine.abortMigration(id),
      engine.pauseMigration(id),
    ])
      await assert.rejects(ask, refusedAsFull(/cannot be stored: .*its disk is full\. Nothing was done\.$/));
    assert.deepEqual(
      fleet.calls.filter((call) => /abort|suspend|tune .*5/.test(call)),
      [],
    );
    noRoom = false;
    await until(async () => (await now())?.outcome !== undefined);
    const end = await now();
    assert.deepEqual(
      [end?.outcome, end?.attention, end?.vmIsNow],
      ['succeeded', undefined, { host: 'h2', state: 'running' }],
    );
  } finally {
    noRoom = false;
    await engine.close();
  }
});

test('an abort that the store refuses is done later, which its refusal says', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  let noRoom = false;
  const stores = memoryStores({
    beforeCommit: () => {
      if (noRoom) throw full();
    },
  });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  try {
    for (const name of ['h1', 'h2']) {
      fleet.add(name);
      await engine.addHost({ uri: uriOf(name), name }, patience());
    }
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    while (engine.vms().length === 0) await clock.sleep(10);
    fleet.next.durationMs = 60_000;
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, by);
    while ((await engine.migration(id)).phase !== 'transferring') await clock.sleep(10);
    noRoom = true;
    await assert.rejects(
      engine.abortMigration(id),
      refusedAsFull(
        /its disk is full\. What was asked is done once it can be stored, unless Ferry is stopped before\.$/,
      ),
    );
    assert.equal(fleet.calls.includes('h1 abort'), false, 'it is not done before it is stored');
    noRoom = false;
    let end: Migration | undefined;
    for await (const state of engine.watchMigration(id, patience())) end = state;
    assert.deepEqual([end?.outcome, end?.vmIsNow], ['cancelled', { host: 'h1', state: 'running' }]);
    assert.ok(fleet.calls.includes('h1 abort'));
  } finally {
    noRoom = false;
    await engine.close();
  }
});

test('an end that the store refuses is stored once there is room, and is no end until then', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  let refusals = 3;
  const stores = memoryStores({
    beforeCommit: (writes) => {
      if (!JSON.stringify(writes).includes('"outcome":"succeeded"') || refusals === 0) return;
      refusals -= 1;
      throw full();
    },
  });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  try {
    for (const name of ['h1', 'h2']) {
      fleet.add(name);
      await engine.addHost({ uri: uriOf(name), name }, patience());
    }
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    while (engine.vms().length === 0) await clock.sleep(10);
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, by);
    let end: Migration | undefined;
    for await (const state of engine.watchMigration(id, patience())) end = state;
    assert.deepEqual([end?.outcome, refusals], ['succeeded', 0], 'its end is heard of when it is stored');
    // the VM is free again
    assert.equal((await engine.startMigration({ vm: 'web', to: 'h1' }, by)).vm.name, 'web');
    assert.equal((await engine.migration(id)).outcome, 'succeeded');
  } finally {
    refusals = 0;
    await engine.close();
  }
});
