/**
 * Calls whose answer is lost or late, while the host carries them out: what the hosts show decides, and nothing that a
 * host may still do is called failed.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Migration, MigrationRequest } from '@ferry/core';
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
