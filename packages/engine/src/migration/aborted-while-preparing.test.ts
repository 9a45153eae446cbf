/** A migration that is aborted while a host takes its time to make something ready for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { threeHosts } from '../fake/three-hosts.ts';

test('nothing is taken back before what was asked of the source is done', async () => {
  const { clock, fleet, engine } = await threeHosts();
  using _clock = clock;
  try {
    const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';
    const snapshots = [{ kind: 'snapshot', name: 'before-upgrade', xml: '', current: true } as const];
    fleet.run('h1', { uuid, name: 'web', snapshots });
    for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
    const source = fleet.hosts.get('h1');
    const target = fleet.hosts.get('h2');
    assert.ok(source !== undefined && target !== undefined);
    source.slowStripMs = 3_000;
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, { actor: 'operator', client: 'test' });
    for (let turn = 0; turn < 1_000 && (await engine.migration(id)).phase !== 'preparing'; turn += 1)
      await clock.sleep(10);
    await engine.abortMigration(id);
    await clock.sleep(20_000);
    assert.equal((await engine.migration(id)).outcome, 'cancelled');
    const [domain] = [...source.domains.values()];
    assert.deepEqual(
      domain?.snapshots.map(({ name }) => name),
      ['before-upgrade'],
    );
  } finally {
    await engine.close();
  }
});
