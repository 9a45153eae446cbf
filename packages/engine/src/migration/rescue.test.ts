/** The VM of a dead host: which hosts are tried, and the reasons of those that could not start it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Migration } from '@ferry/core';
import type { Engine } from '../facade.ts';
import type { FakeFleet, FakeHost } from '../fake/fleet.ts';
import { threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const web = { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' };
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let engine: Engine;
const patience = () => AbortSignal.timeout(10_000);

beforeEach(async () => {
  ({ clock, fleet, engine } = await threeHosts());
  fleet.run('h1', web);
  for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
  await clock.sleep(60_000);
  host('h1').reachable = false;
  host('h1').drop();
  for (let turn = 0; turn < 1_000 && engine.host('h1').state !== 'unreachable'; turn += 1) await clock.sleep(10);
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

const host = (name: string): FakeHost => fleet.hosts.get(name) ?? assert.fail(name);
async function rescued(): Promise<Migration> {
  const { id } = await engine.startMigration(
    { vm: 'web', preferHost: 'h2', rescue: { statement: 'its plug is pulled' } },
    { actor: 'operator', client: 'test' },
  );
  let last: Migration | undefined;
  for await (const state of engine.watchMigration(id, patience())) last = state;
  return last ?? assert.fail('nothing was told');
}
const toldOf = ({ attempts = [] }: Migration): readonly string[] =>
  attempts.map(({ to, error }) => `${to?.name ?? '?'}: ${error.message}`);

test('a host whose QEMU starts nothing: the next one that suits is tried, and the first one is told with its reason', async () => {
  host('h2').broken = 'no emulator';
  const migration = await rescued();
  assert.deepEqual([migration.outcome, migration.vmIsNow], ['succeeded', { host: 'h3', state: 'running' }]);
  assert.deepEqual(toldOf(migration), ['h2: web: it did not start on h2: no emulator']);
  assert.equal(host('h2').domains.size, 0, 'nothing of it is left there');
});

test('none can: each is tried once, and the end names what was wrong with each', async () => {
  for (const name of ['h2', 'h3']) host(name).broken = `no emulator on ${name}`;
  const migration = await rescued();
  assert.equal(migration.outcome, 'failed');
  assert.deepEqual(toldOf(migration), [
    'h2: web: it did not start on h2: no emulator on h2',
    'h3: web: it did not start on h3: no emulator on h3',
  ]);
  assert.equal(migration.error?.message, 'web: it did not start on h3: no emulator on h3');
  assert.deepEqual(
    migration.error?.reasons.map(({ code, host: where, message }) => [code, where, /no emulator on h\d/.test(message)]),
    [
      ['target-tried', 'h2', true],
      ['target-tried', 'h3', true],
    ],
  );
  assert.ok([...fleet.hosts.values()].slice(1).every(({ domains }) => domains.size === 0));
});
