/** Hosts out of service: what is stored, what it forbids, and what a restart keeps. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type HostView } from '@ferry/core';
import { startEngine } from '../engine.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';

const by = { actor: 'operator', client: 'test' };
let clock: ReturnType<typeof countingClock>;
let fleet: FakeFleet;
let stores: ReturnType<typeof memoryStores>;
let engine: Engine;
const start = (): Promise<Engine> => startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
const serviceOf = ({ host }: HostView): string => `${host.name} ${host.service?.state ?? 'schedulable'}`;

beforeEach(async () => {
  clock = countingClock();
  fleet = fakeFleet(clock);
  stores = memoryStores();
  engine = await start();
  for (const name of ['h1', 'h2', 'h3']) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, AbortSignal.timeout(5_000));
  }
  fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
  for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

test('a cordoned host is not chosen, and refused when it is named; its own VMs may leave', async () => {
  await engine.cordonHosts(['h1', 'h2']);
  const planned = await engine.planMigration({ vm: 'web' }, AbortSignal.timeout(5_000));
  assert.equal(planned.to.name, 'h3');
  await assert.rejects(
    engine.startMigration({ vm: 'web', to: 'h2' }, by),
    (error) => error instanceof FerryError && error.reasons.map(({ code }) => code).join() === 'target-cordoned',
  );
  await engine.uncordonHosts(['h2']);
  assert.equal((await engine.planMigration({ vm: 'web', to: 'h2' }, AbortSignal.timeout(5_000))).to.name, 'h2');
});

test('the state of a host survives a restart of the control plane, and a host that does not answer', async () => {
  await engine.cordonHosts(['h2']);
  await engine.close();
  const h2 = fleet.hosts.get('h2');
  assert.ok(h2 !== undefined);
  h2.reachable = false;
  engine = await start();
  assert.deepEqual(engine.hosts().map(serviceOf), ['h1 schedulable', 'h2 cordoned', 'h3 schedulable']);
});

test('of several hosts, all are cordoned or none', async () => {
  await assert.rejects(engine.cordonHosts(['h2', 'h9']), /no host "h9"/);
  assert.deepEqual(engine.hosts().map(serviceOf), ['h1 schedulable', 'h2 schedulable', 'h3 schedulable']);
});
