/**
 * Calls whose answer is lost or late, while the host carries them out: what the hosts show decides, and nothing that a
 * host may still do is called failed.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type Migration, type MigrationRequest } from '@ferry/core';
import { startEngine } from '../engine.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { HostLink } from '../ports/ports.ts';

const web = { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' };
const by = { actor: 'operator', client: 'test' };
const patience = () => AbortSignal.timeout(20_000);
let clock: ReturnType<typeof countingClock>;
let fleet: FakeFleet;
let engine: Engine;
/** Links of this host are other ones. */
const changed = new Map<string, (link: HostLink) => HostLink>();

beforeEach(async () => {
  clock = countingClock();
  fleet = fakeFleet(clock);
  changed.clear();
  const hypervisor = {
    ...fleet.hypervisor,
    async connect(uri: string, signal: AbortSignal): Promise<HostLink> {
      const link = await fleet.hypervisor.connect(uri, signal);
      const name = ['h1', 'h2', 'h3'].find((each) => uriOf(each) === uri) ?? '';
      return changed.get(name)?.(link) ?? link;
    },
  };
  engine = await startEngine({ hypervisor, stores: memoryStores(), clock, log: silentLog });
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

async function withHosts(domain: Partial<Parameters<FakeFleet['run']>[1]>, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, patience());
  }
  fleet.run('h1', { ...web, ...domain });
  while (engine.vms().length === 0) await clock.sleep(10);
}
async function moved(request: Partial<MigrationRequest> = {}): Promise<Migration> {
  const { id } = await engine.startMigration({ vm: 'web', to: 'h2', ...request }, by);
  for await (const _ of engine.watchMigration(id, patience()));
  return engine.migration(id);
}

test('a transfer that outlives the call that performs it: its figures are still asked for until it ends', async () => {
  let asked = 0;
  changed.set('h1', (link) => ({
    ...link,
    transfer: {
      ...link.transfer,
      async perform(request, signal) {
        void link.transfer.perform(request, signal);
        await clock.sleep(1_000);
        return { failure: { outcome: 'unknown', message: 'client socket is closed' } };
      },
      async sample(uuid, signal) {
        asked += 1;
        return link.transfer.sample(uuid, signal);
      },
    },
  }));
  await withHosts({}, 'h1', 'h2');
  fleet.next.durationMs = 120_000;
  const { outcome, vmIsNow } = await moved();
  assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'running' }]);
  assert.ok(asked > 50, String(asked));
});

/** The host has done it, and says nothing: the connection that the answer should take is gone. */
const unheard = (): FerryError =>
  new FerryError('host-connection-lost', 'client socket is closed', { unanswered: true });
const outOfPatience = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
const definedOn = (): readonly string[] =>
  [...fleet.hosts].flatMap(([name, { domains }]) => (domains.has(web.uuid) ? [name] : []));

test('a late answer to an earlier call: the source that no longer has the VM does not keep its definition', async () => {
  let calls = 0;
  changed.set('h1', (link) => ({
    ...link,
    definitions: {
      ...link.definitions,
      async undefine(uuid, signal) {
        calls += 1;
        if (calls === 1) throw unheard();
        await link.definitions.undefine(uuid, signal);
        throw new FerryError('vm-unknown', 'h1: no domain with matching uuid');
      },
    },
  }));
  await withHosts({ state: 'shut-off' }, 'h1', 'h2');
  const { outcome } = await moved();
  assert.deepEqual([outcome, definedOn(), calls], ['succeeded', ['h2'], 2]);
});

for (const lateMs of [0, 90_000])
  test(`the source gives up its definition, ${lateMs} ms later, and does not say so: the VM is on the target`, async () => {
    changed.set('h1', (link) => ({
      ...link,
      definitions: {
        ...link.definitions,
        async undefine(uuid, signal) {
          const undefined_ = clock.sleep(lateMs).then(() => link.definitions.undefine(uuid, signal));
          if (lateMs === 0) {
            await undefined_;
            throw unheard();
          }
          undefined_.catch(() => undefined);
          await outOfPatience(signal);
        },
      },
    }));
    await withHosts({ state: 'shut-off' }, 'h1', 'h2');
    const { outcome, vmIsNow } = await moved();
    assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'shut-off' }]);
    assert.deepEqual(definedOn(), ['h2']);
  });

test('the target takes the definition and does not say so: it is looked at, and the move goes on', async () => {
  let lost = 0;
  changed.set('h2', (link) => ({
    ...link,
    definitions: {
      ...link.definitions,
      async write(xml, signal) {
        await link.definitions.write(xml, signal);
        lost += 1;
        if (lost === 1) throw unheard();
      },
    },
  }));
  await withHosts({ state: 'shut-off' }, 'h1', 'h2');
  const { outcome } = await moved();
  assert.deepEqual([outcome, definedOn()], ['succeeded', ['h2']]);
});

/** A start that takes longer than a call may wait, as that of a guest with very much memory does. */
function startsSlowly(host: string): { readonly calls: () => number } {
  let calls = 0;
  changed.set(host, (link) => ({
    ...link,
    power: {
      ...link.power,
      async start(uuid, signal) {
        calls += 1;
        const domain = fleet.hosts.get(host)?.domains.get(uuid) ?? assert.fail();
        Object.assign(domain, { state: 'paused', reason: 'starting' });
        void clock.sleep(150_000).then(() => Object.assign(domain, { state: 'running', reason: 'booted' }));
        await outOfPatience(signal);
      },
    },
  }));
  return { calls: () => calls };
}

test('a guest that takes minutes to start after its move has not failed to start', async () => {
  const start = startsSlowly('h2');
  await withHosts({ state: 'shut-off' }, 'h1', 'h2');
  const { outcome, vmIsNow, error } = await moved({ autoStart: true });
  assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'running' }], JSON.stringify(error));
  assert.equal(start.calls(), 1);
});

test("a dead host's VM that takes minutes to start is started on no other host meanwhile", async () => {
  const start = startsSlowly('h2');
  await withHosts({}, 'h1', 'h2', 'h3');
  await clock.sleep(60_000);
  const dead = fleet.hosts.get('h1') ?? assert.fail();
  dead.reachable = false;
  dead.drop();
  while (engine.host('h1').state !== 'unreachable') await clock.sleep(10);
  const { id } = await engine.startMigration(
    { vm: 'web', preferHost: 'h2', rescue: { statement: 'its plug is pulled' } },
    by,
  );
  for await (const _ of engine.watchMigration(id, patience()));
  const { outcome, vmIsNow } = await engine.migration(id);
  assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'running' }]);
  assert.deepEqual([start.calls(), definedOn()], [1, ['h1', 'h2']]);
});

test('a guest that shuts down as soon as it has arrived was moved, and is shut off there', async () => {
  changed.set('h1', (link) => ({
    ...link,
    transfer: {
      ...link.transfer,
      async perform(request, signal) {
        await link.transfer.perform(request, signal);
        Object.assign(fleet.hosts.get('h2')?.domains.get(web.uuid) ?? {}, { state: 'shut-off', reason: 'other' });
        return { failure: { outcome: 'unknown', message: 'client socket is closed' } };
      },
    },
  }));
  await withHosts({}, 'h1', 'h2');
  const { outcome, vmIsNow, error } = await moved();
  assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'shut-off' }], JSON.stringify(error));
});
