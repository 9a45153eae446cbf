/** A move is requested while the events of the last change are still on their way. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type Migration } from '@ferry/core';
import { startEngine } from '../engine.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { Hypervisor } from '../ports/ports.ts';

const by = { actor: 'operator', client: 'test' };
const web = { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' };
let clock: ReturnType<typeof countingClock>;
let fleet: FakeFleet;
let engine: Engine;
/** URIs of the hosts that were asked about a single VM. */
let asked: string[];
const patience = () => AbortSignal.timeout(10_000);

beforeEach(async () => {
  clock = countingClock();
  fleet = fakeFleet(clock);
  asked = [];
  const hypervisor: Hypervisor = {
    ...fleet.hypervisor,
    async connect(uri, signal) {
      const link = await fleet.hypervisor.connect(uri, signal);
      const one: typeof link.instances.one = (uuid, within) => {
        asked.push(uri);
        return link.instances.one(uuid, within);
      };
      return { ...link, instances: { ...link.instances, one } };
    },
  };
  engine = await startEngine({ hypervisor, stores: memoryStores(), clock, log: silentLog });
  for (const name of ['h1', 'h2', 'h3']) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, patience());
  }
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

const domainsOn = (host: string) => fleet.hosts.get(host)?.domains ?? assert.fail(host);
const until = async (seen: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 1_000 && !seen(); turn += 1) await clock.sleep(10);
  assert.ok(seen());
};
const moved = async (to: string): Promise<Migration> => {
  let last: Migration | undefined;
  const { id } = await engine.startMigration({ vm: 'web', to }, by);
  for await (const state of engine.watchMigration(id, patience())) last = state;
  return last ?? assert.fail('it did not end');
};

test('a definition that has gone from the target since it was seen is not in the way; one that is there is', async () => {
  fleet.run('h1', { ...web, state: 'shut-off', reason: 'migrated' });
  fleet.run('h2', { ...web, state: 'running', reason: 'migrated' });
  await until(() => engine.vms()[0]?.instances.length === 2);
  await assert.rejects(
    moved('h1'),
    (error) => error instanceof FerryError && /definition of web/.test(JSON.stringify(error.reasons)),
  );
  domainsOn('h1').delete(web.uuid);
  assert.equal((await moved('h1')).outcome, 'succeeded');
});

test('a VM that somebody has moved since it was seen is moved from where it is, and its plan says so', async () => {
  fleet.run('h1', { ...web });
  await until(() => engine.vms().length === 1);
  const domain = domainsOn('h1').get(web.uuid) ?? assert.fail('not there');
  domainsOn('h1').delete(web.uuid);
  domainsOn('h2').set(web.uuid, domain);
  const { from, to } = await engine.planMigration({ vm: 'web', to: 'h1' }, patience());
  assert.deepEqual([from.name, to.name], ['h2', 'h1']);
  assert.equal((await moved('h1')).outcome, 'succeeded');
});

test('where the VM is as it was seen, a refusal asks only the hosts that it is about', async () => {
  fleet.run('h1', { ...web, state: 'shut-off', reason: 'migrated' });
  fleet.run('h2', { ...web, state: 'running', reason: 'migrated' });
  await until(() => engine.vms()[0]?.instances.length === 2);
  asked = [];
  await assert.rejects(moved('h1'), FerryError);
  assert.deepEqual(new Set(asked), new Set([uriOf('h1'), uriOf('h2')]));
});

test('a VM that has gone to a host that nobody named is found there', async () => {
  fleet.run('h1', { ...web });
  await until(() => engine.vms().length === 1);
  const domain = domainsOn('h1').get(web.uuid) ?? assert.fail('not there');
  domainsOn('h1').delete(web.uuid);
  domainsOn('h3').set(web.uuid, domain);
  const { from, to } = await engine.planMigration({ vm: 'web', to: 'h2' }, patience());
  assert.deepEqual([from.name, to.name], ['h3', 'h2']);
});
