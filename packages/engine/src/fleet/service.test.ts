/** Hosts out of service: what is stored, what it forbids, and what a restart keeps. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type HostView } from '@ferry/core';
import type { Engine } from '../facade.ts';
import type { FakeFleet } from '../fake/fleet.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';
import { memoryStores } from '../fake/stores.ts';

const by = { actor: 'operator', client: 'test' };
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let stores: ThreeHosts['stores'];
let engine: Engine;
const start = (): Promise<Engine> => engineOver({ clock, fleet, stores });
/** Called once, before the writes with which a migration begins are stored. */
let beforeBegin: (() => Promise<void>) | undefined;
const serviceOf = ({ host }: HostView): string => `${host.name} ${host.service?.state ?? 'schedulable'}`;

beforeEach(async () => {
  beforeBegin = undefined;
  const intercepted = memoryStores({
    async beforeCommit(writes) {
      if (!writes.some(({ op, key }) => op === 'put' && key === 'reservations/fleet')) return;
      const act = beforeBegin;
      beforeBegin = undefined;
      await act?.();
    },
  });
  ({ clock, fleet, stores, engine } = await threeHosts(intercepted));
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

test('whoever cordons or uncordons what it read, and that has changed since, is told, and nothing is changed', async () => {
  const { id } = engine.host('h2').host;
  const read = engine.hostRevisionOf(id);
  await engine.changeHost('h2', { migrationAddress: '10.0.0.2' });
  const stale = (error: unknown) => error instanceof FerryError && error.code === 'revision-stale';
  await assert.rejects(engine.cordonHosts(['h2'], read), stale);
  assert.equal(serviceOf(engine.host('h2')), 'h2 schedulable');
  await engine.cordonHosts(['h2'], engine.hostRevisionOf(id));
  await assert.rejects(engine.uncordonHosts(['h2'], read), stale);
  assert.equal(serviceOf(engine.host('h2')), 'h2 cordoned');
});

test('of several hosts, all are cordoned or none', async () => {
  await assert.rejects(engine.cordonHosts(['h2', 'h9']), /no host "h9"/);
  assert.deepEqual(engine.hosts().map(serviceOf), ['h1 schedulable', 'h2 schedulable', 'h3 schedulable']);
});

test('a host that is cordoned while the hosts are asked is not chosen', async () => {
  const h2 = fleet.hosts.get('h2');
  assert.ok(h2 !== undefined);
  h2.slowMs = 3_000;
  h2.hangs = true;
  const planning = engine.planMigration({ vm: 'web', to: 'h2' }, AbortSignal.timeout(5_000));
  const refused = assert.rejects(
    planning,
    (error) => error instanceof FerryError && error.reasons.map(({ code }) => code).join() === 'target-cordoned',
  );
  await clock.sleep(1_000);
  await engine.cordonHosts(['h2']);
  h2.hangs = false;
  await refused;
});

test('a host that is cordoned as a migration to it begins is left alone: it goes elsewhere, or is refused', async () => {
  const ended = async (to: { readonly to?: string }) => {
    const { id } = await engine.startMigration({ vm: 'web', ...to }, by);
    for (let turn = 0; turn < 10_000 && (await engine.migration(id)).outcome === undefined; turn += 1)
      await clock.sleep(10);
    return engine.migration(id);
  };
  beforeBegin = async () => void (await engine.cordonHosts(['h2']));
  const named = await ended({ to: 'h2' });
  assert.deepEqual([named.outcome, named.error?.reasons.map(({ code }) => code)], ['failed', ['target-cordoned']]);
  await engine.uncordonHosts(['h2']);
  let chosen = '';
  beforeBegin = async () => {
    const planned = await engine.planMigration({ vm: 'web' }, AbortSignal.timeout(5_000)).catch(() => undefined);
    chosen = planned?.to.name ?? 'h2';
    await engine.cordonHosts([chosen]);
  };
  const free = await ended({});
  assert.equal(free.outcome, 'succeeded');
  assert.notEqual(free.to?.name, chosen);
  assert.ok(!fleet.calls.some((call) => call.startsWith(`${chosen} define`)));
});
