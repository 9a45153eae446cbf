/** What Ferry knows of VMs and definitions when a host is removed, and when the same machine is added again. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError } from '@ferry/core';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
const web = 'aaaaaaaa-0000-4000-8000-000000000001';
let made: ThreeHosts;
let engine: Engine;
const patience = () => made.clock.timeout(10_000);
const until = async (is: () => boolean, what: string): Promise<void> => {
  for (let turn = 0; turn < 3_000 && !is(); turn += 1) await made.clock.sleep(10);
  assert.ok(is(), `never: ${what}`);
};
const move = async (to: string, more: object = {}): Promise<string | undefined> => {
  const { id } = await engine.startMigration({ vm: 'web', to, ...more }, by);
  for await (const { outcome } of engine.watchMigration(id, AbortSignal.timeout(10_000)))
    if (outcome !== undefined) return outcome;
  return undefined;
};
const refused = (says: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.reasons.some(({ code, message }) => code === 'vm-parked' && says.test(message));

beforeEach(async () => {
  made = await threeHosts();
  ({ engine } = made);
  made.fleet.run('h1', { uuid: web, name: 'web' });
  await until(() => engine.vms().length === 1, 'web');
});
afterEach(async () => {
  await engine.close();
  made.clock[Symbol.dispose]();
});

test('the definition that was kept is not moved in place of a VM whose host was removed', async () => {
  assert.equal(await move('h2', { keepSource: true }), 'succeeded');
  await engine.removeHost('h2');
  await until(() => engine.vm('web').state === 'shut-off', 'only the definition is known');
  await assert.rejects(move('h3'), refused(/web may be on h2, which was removed from Ferry/));
  // the machine is back, and shows where web is
  await engine.addHost({ uri: uriOf('h2'), name: 'again' }, patience());
  await until(() => engine.vm('web').state === 'running', 'web is seen');
  assert.equal(await move('h3'), 'succeeded');
});

test('a person may say that the definition is the VM from now on', async () => {
  assert.equal(await move('h2', { keepSource: true }), 'succeeded');
  await engine.removeHost('h2');
  await until(() => engine.vm('web').state === 'shut-off', 'only the definition is known');
  await engine.settling.settle('web', 'h1', patience());
  assert.equal(await move('h3'), 'succeeded');
});

test('a machine that is added again is the host that it was: what was kept there is known', async () => {
  const before = engine.host('h1').host.id;
  assert.equal(await move('h2', { keepSource: true }), 'succeeded');
  await engine.removeHost('h1');
  await engine.addHost({ uri: uriOf('h1'), name: 'h1' }, patience());
  assert.equal(engine.host('h1').host.id, before);
  assert.equal(await move('h1'), 'succeeded');
});

test('a machine that is added again shares no storage from before, and may be reached again', async () => {
  const { id } = engine.host('h1').host;
  const other = engine.host('h2').host.id;
  const third = engine.host('h3').host.id;
  const { intents } = made.stores;
  const keys = (a: string, b: string) => [`proofs/${a}|${b}/%2Fimages`, `peers/${a}/${b}`];
  const put = (key: string) => ({
    op: 'put' as const,
    key,
    value: { verdict: 'shared', method: 'marker', at: 0, message: 'no route' },
    ifRevision: 0,
  });
  await intents.commit([...keys(id, other), ...keys(other, id), ...keys(other, third)].map(put));
  const left = async () =>
    (await Promise.all(['proofs/', 'peers/'].map((prefix) => intents.list(prefix)))).flatMap(({ entries }) =>
      entries.map(({ key }) => key),
    );
  await assert.rejects(engine.removeHost('h1', 1_000_000));
  assert.equal((await left()).length, 6, 'nothing is forgotten of a host that stays');
  await engine.removeHost('h1');
  assert.deepEqual(await left(), keys(other, third));
});

test('where only a definition was kept on the host that goes, too, the VM is not said to have gone with it', async () => {
  assert.equal(await move('h2', { keepSource: true }), 'succeeded');
  assert.equal(await move('h3', { keepSource: true }), 'succeeded');
  await engine.removeHost('h3');
  await until(() => engine.vm('web').state === 'shut-off', 'only the definitions are known');
  const isOn = (name: string) => engine.vm('web').hostId === engine.host(name).host.id;
  const [shown, other] = isOn('h1') ? ['h1', 'h2'] : ['h2', 'h1'];
  await engine.removeHost(shown);
  await until(() => isOn(other), 'one definition is known');
  made.fleet.add('h4');
  await engine.addHost({ uri: uriOf('h4'), name: 'h4' }, patience());
  await assert.rejects(move('h4'), refused(/web may be on h3, which was removed from Ferry/));
});

test('a host that was taken out of service without an answer of the store is known to be so once it is read', async () => {
  const { intents } = made.stores;
  const { id } = engine.host('h2').host;
  const stored = await intents.get(`hosts/${id}`);
  assert.ok(stored !== undefined);
  const value = { ...(stored.value as object), service: { state: 'cordoned', since: 0 } };
  await intents.commit([{ op: 'put', key: stored.key, value, ifRevision: stored.revision }]);
  assert.equal(await move('h2'), 'failed');
  assert.equal(engine.host('h2').host.service?.state, 'cordoned');
});

test('a machine that is added again while its host is still being removed keeps what is stored of it', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  const { inventory, ...others } = memoryStores();
  const forgotten: string[] = [];
  const remove = async (id: string): Promise<void> => {
    forgotten.push(id);
    await inventory.remove(id);
  };
  const stores = { ...others, inventory: { ...inventory, remove } };
  const closing = Promise.withResolvers<void>();
  let links = 0;
  const slow = await engineOver({
    clock,
    stores,
    fleet: {
      ...fleet,
      hypervisor: {
        ...fleet.hypervisor,
        async connect(uri, signal) {
          const link = await fleet.hypervisor.connect(uri, signal);
          links += 1;
          if (links > 1) return link;
          const close = async (): Promise<void> => {
            await closing.promise;
            await link.close();
          };
          return new Proxy(link, { get: (of, key) => (key === 'close' ? close : Reflect.get(of, key)) });
        },
      },
    },
  });
  try {
    fleet.add('h1');
    fleet.run('h1', { uuid: web, name: 'web' });
    const { host } = await slow.addHost({ uri: uriOf('h1'), name: 'h1' }, clock.timeout(10_000));
    const removing = slow.removeHost('h1');
    for (let turn = 0; turn < 1_000 && slow.hosts().length > 0; turn += 1) await clock.sleep(1);
    const again = await slow.addHost({ uri: uriOf('h1'), name: 'h1' }, clock.timeout(10_000));
    assert.equal(again.host.id, host.id);
    closing.resolve();
    await removing;
    assert.deepEqual(forgotten, []);
    assert.equal(slow.vm('web').state, 'running');
  } finally {
    closing.resolve();
    await slow.close();
  }
});
