/** A label on a host drains it once, and its removal takes that back: as an upgrade tool from outside would use it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Batch } from '@ferry/core';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

let world: ThreeHosts;
const until = async (is: () => boolean, what: string): Promise<void> => {
  for (let turn = 0; turn < 60_000; turn += 1) {
    if (is()) return;
    await world.clock.sleep(10);
  }
  assert.fail(`never: ${what}`);
};
const label = (host: string, set: boolean) =>
  world.engine.labelHost(host, { add: set ? ['ferry.drain=yes'] : [], remove: set ? [] : ['ferry.drain=yes'] });
const serviceOf = (name: string): string => world.engine.host(name).host.service?.state ?? 'schedulable';
const is = (name: string, service: string): Promise<void> =>
  until(() => serviceOf(name) === service, `${name} is ${service}`);
const runningOn = (name: string): number =>
  [...(world.fleet.hosts.get(name)?.domains.values() ?? [])].filter(({ state }) => state === 'running').length;
const batches = (): readonly Batch[] => world.engine.batches.all();
const attention = (name: string): string | undefined => world.engine.hostAttentionOf(world.engine.host(name).host.id);
const restart = async (): Promise<void> => {
  await world.engine.close();
  world = { ...world, engine: await engineOver(world) };
};

beforeEach(async () => {
  world = await threeHosts();
  for (const index of [0, 1])
    world.fleet.run('h1', { uuid: `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`, name: `vm${index}` });
  await until(() => world.engine.vms().length === 2, 'two VMs');
});
afterEach(async () => {
  await world.engine.close();
  world.clock[Symbol.dispose]();
});

test('set, the host becomes empty and stays so; removed, its VMs come back and it is schedulable', async () => {
  await label('h1', true);
  await is('h1', 'maintenance');
  assert.deepEqual([runningOn('h1'), batches()[0]?.client, batches().length], [0, 'label', 1]);
  await restart();
  await world.clock.sleep(60_000);
  assert.deepEqual([serviceOf('h1'), batches().length], ['maintenance', 1]);
  await label('h1', false);
  await until(() => batches()[0]?.kind === 'restore' && batches()[0]?.phase === 'done', 'all are back');
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [2, 'schedulable']);
  await label('h1', true);
  await until(() => batches().length === 3 && serviceOf('h1') === 'maintenance', 'it works again');
});

test('a drain that was cancelled does not begin again by itself while the label is set', async () => {
  world.fleet.next.durationMs = 5_000;
  await label('h1', true);
  await until(() => world.fleet.leaving('h1') > 0, 'they move');
  await world.engine.batches.cancel(batches()[0]?.id ?? '', true);
  await is('h1', 'schedulable');
  await restart();
  await world.clock.sleep(60_000);
  assert.deepEqual([batches().length, runningOn('h1'), serviceOf('h1')], [1, 2, 'schedulable']);
});

test('removed during the drain, it is cancelled; what has moved stays where it is', async () => {
  world.fleet.next.durationMs = 5_000;
  await label('h1', true);
  await until(() => world.fleet.leaving('h1') > 0, 'they move');
  await label('h1', false);
  await until(() => batches()[0]?.phase === 'cancelled', 'it is cancelled');
  await world.clock.sleep(60_000);
  assert.deepEqual([batches().length, serviceOf('h1')], [1, 'schedulable']);
});

test('removed while the host is down, its VMs come back once it answers; what an operator brought back stays', async () => {
  await label('h1', true);
  await is('h1', 'maintenance');
  const host = world.fleet.hosts.get('h1');
  assert.ok(host !== undefined);
  host.reachable = false;
  host.drop();
  await until(() => world.engine.host('h1').state === 'unreachable', 'it is down');
  await label('h1', false);
  await until(() => /gets its VMs back once it answers/.test(attention('h1') ?? ''), 'it says so');
  assert.equal(batches().length, 1);
  await restart();
  host.reachable = true;
  await until(() => batches()[0]?.kind === 'restore' && batches()[0]?.phase === 'done', 'all are back');
  await until(() => attention('h1') === undefined, 'nothing is left to say');
  assert.equal(runningOn('h1'), 2);

  await label('h1', true);
  await is('h1', 'maintenance');
  await world.engine.batches.restore('h1', { actor: 'operator', client: 'test' });
  await until(() => batches()[0]?.phase === 'done', 'the operator had them brought back');
  await label('h1', false);
  await world.clock.sleep(60_000);
  assert.equal(batches().length, 4);
});

test('what cannot be drained says why on the host, and is drained once it can', async () => {
  await world.engine.cordonHosts(['h2', 'h3']);
  await label('h1', true);
  await until(
    () => /not done, and is tried again: .*no host for the VMs of h1/.test(attention('h1') ?? ''),
    'it says why',
  );
  assert.deepEqual([serviceOf('h1'), batches()], ['schedulable', []]);
  await world.engine.uncordonHosts(['h2']);
  await is('h1', 'maintenance');
  await until(() => attention('h1') === undefined, 'nothing is left to say');
});

test('another value does nothing, and says so', async () => {
  await world.engine.labelHost('h1', { add: ['ferry.drain=soon'], remove: [] });
  await until(() => /ferry\.drain=soon does nothing: set ferry\.drain=yes/.test(attention('h1') ?? ''), 'it says so');
  assert.deepEqual([serviceOf('h1'), batches()], ['schedulable', []]);
});

test('removed and set again while its drain is being cancelled, it drains the host again', async () => {
  world.fleet.next.durationMs = 5_000;
  await label('h1', true);
  await until(() => world.fleet.leaving('h1') > 0, 'they move');
  await label('h1', false);
  await until(() => batches()[0]?.phase === 'cancelling', 'it is being cancelled');
  await label('h1', true);
  await is('h1', 'maintenance');
  assert.deepEqual([runningOn('h1'), batches().length], [0, 2]);
});

test('set while somebody else has the host in maintenance, it begins nothing when that one brings the VMs back', async () => {
  await world.engine.batches.drain({ hosts: ['h1'], force: false }, { actor: 'operator', client: 'test' });
  await is('h1', 'maintenance');
  await label('h1', true);
  await world.clock.sleep(10_000);
  await world.engine.batches.restore('h1', { actor: 'operator', client: 'test' });
  await until(() => batches()[0]?.phase === 'done', 'they are back');
  await world.clock.sleep(60_000);
  assert.deepEqual([batches().length, runningOn('h1'), serviceOf('h1')], [2, 2, 'schedulable']);
  await label('h1', false);
  await world.clock.sleep(10_000);
  await label('h1', true);
  await is('h1', 'maintenance');
});
