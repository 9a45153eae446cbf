/** Hosts out of service: what is stored, what it forbids, and what a restart keeps. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type HostView } from '@ferry/core';
import type { Engine } from '../facade.ts';
import type { FakeFleet } from '../fake/fleet.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let stores: ThreeHosts['stores'];
let engine: Engine;
const start = (): Promise<Engine> => engineOver({ clock, fleet, stores });
const serviceOf = ({ host }: HostView): string => `${host.name} ${host.service?.state ?? 'schedulable'}`;

beforeEach(async () => {
  ({ clock, fleet, stores, engine } = await threeHosts());
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
