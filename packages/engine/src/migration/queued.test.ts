/**
 * Several migrations at once: what each of them is given, who waits for what, and what happened to those that waited.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, portsOf, type Migration, type MigrationRequest } from '@ferry/core';
import type { Engine } from '../facade.ts';
import type { FakeFleet, FakeHost } from '../fake/fleet.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
const guestBytes = 256 * 1_048_576;
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let stores: ThreeHosts['stores'];
let engine: Engine;
const patience = () => AbortSignal.timeout(10_000);

beforeEach(async () => {
  ({ clock, fleet, stores, engine } = await threeHosts());
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

const start = (): Promise<Engine> => engineOver({ clock, fleet, stores });
const host = (name: string): FakeHost => {
  const found = fleet.hosts.get(name);
  assert.ok(found);
  return found;
};
const uuidOf = (index: number): string => `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`;
async function guests(count: number, more: { readonly local?: true } = {}): Promise<readonly string[]> {
  const names = Array.from({ length: count }, (_, index) => `vm${index}`);
  for (const [index, name] of names.entries())
    fleet.run('h1', { uuid: uuidOf(index), name, ...(more.local === true ? { disk: `/pool/${name}.raw` } : {}) });
  for (let turn = 0; turn < 1_000 && engine.vms().length < count; turn += 1) await clock.sleep(10);
  return names;
}
async function ended(id: string): Promise<Migration> {
  let last: Migration | undefined;
  for await (const state of engine.watchMigration(id, patience())) last = state;
  assert.ok(last?.outcome !== undefined, 'it ended');
  return last;
}
const startAll = (names: readonly string[], request: MigrationRequest): Promise<readonly Migration[]> =>
  Promise.all(names.map((vm) => engine.startMigration({ vm, ...request }, by)));
/** When each of these had its target until it ended. */
const spans = (
  all: readonly Migration[],
): readonly { readonly from: number; readonly until: number; readonly migration: Migration }[] =>
  all.map((migration) => ({
    from: migration.phases.find(({ phase }) => phase === 'preparing')?.at ?? 0,
    until: migration.phases.at(-1)?.at ?? 0,
    migration,
  }));
const mostAtOnce = (all: readonly Migration[]): number =>
  Math.max(
    ...spans(all).map(({ from }) => spans(all).filter((other) => other.from <= from && from < other.until).length),
  );

test('with a range of four ports, four move and eight wait, each on a port of its own; none is refused and none fails', async () => {
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_003 } }));
  fleet.next.durationMs = 20_000;
  const started = await startAll(await guests(12), { to: 'h2' });
  await clock.sleep(5_000);
  const waiting = (await engine.migrations({ state: 'active' })).items.filter(({ phase }) => phase === 'queued');
  assert.equal(waiting.length, 8);
  assert.ok(
    waiting.some(({ attention = '' }) => /It waits: .*port of h2 from 50000 to 50003/.test(attention)),
    JSON.stringify(waiting.map(({ attention }) => attention)),
  );
  const all = await Promise.all(started.map(({ id }) => ended(id)));
  assert.deepEqual(
    new Set(all.map(({ outcome, attempts = [] }) => `${outcome} ${attempts.length}`)),
    new Set(['succeeded 0']),
  );
  assert.equal(mostAtOnce(all), 4);
  for (const a of spans(all)) {
    for (const b of spans(all)) {
      const shared = portsOf(a.migration.plan?.transfer).filter((port) =>
        portsOf(b.migration.plan?.transfer).includes(port),
      );
      if (a.migration.id !== b.migration.id && a.from < b.until && b.from < a.until)
        assert.deepEqual(shared, [], 'no port twice at one time');
    }
  }
});

test('copies need two ports each: two go at once, and what came after them has its turn', async () => {
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_004 } }));
  fleet.next.durationMs = 10_000;
  const all = await Promise.all(
    (await startAll(await guests(5, { local: true }), { to: 'h2' })).map(({ id }) => ended(id)),
  );
  assert.deepEqual([new Set(all.map(({ outcome }) => outcome)), mostAtOnce(all)], [new Set(['succeeded']), 2]);
});

test('one that needs two ports is not passed over by all that need one', async () => {
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_001 } }));
  fleet.next.durationMs = 10_000;
  const names = await guests(6);
  fleet.run('h1', { uuid: uuidOf(9), name: 'copied', disk: '/pool/copied.raw' });
  for (let turn = 0; turn < 1_000 && engine.vms().length < 7; turn += 1) await clock.sleep(10);
  const begun = async (name: string): Promise<string> => {
    const { id } = await engine.startMigration({ vm: name, to: 'h2' }, by);
    await clock.sleep(3_000);
    return id;
  };
  // they end one after the other: two ports are never free together by themselves
  const ids = [await begun(names[0] ?? ''), await begun(names[1] ?? ''), await begun('copied')];
  for (const name of names.slice(2)) ids.push(await begun(name));
  const all = await Promise.all(ids.map((id) => ended(id)));
  assert.deepEqual(new Set(all.map(({ outcome }) => outcome)), new Set(['succeeded']));
  const order = spans(all).toSorted((a, b) => a.from - b.from);
  assert.equal(order[2]?.migration.vm.name, 'copied', order.map(({ migration }) => migration.vm.name).join());
});

test('a wider range lets those go that wait for ports', async () => {
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_000 } }));
  fleet.next.durationMs = 60_000;
  const started = await startAll(await guests(2), { to: 'h2' });
  await clock.sleep(5_000);
  const before = clock.now();
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_001 } }));
  const all = await Promise.all(started.map(({ id }) => ended(id)));
  assert.ok(
    spans(all).every(({ from }) => from < before + 5_000),
    'it did not wait for the other one to end',
  );
});

test('a batch spreads over the hosts, and never more is sent to one than it has memory for', async () => {
  for (const name of ['h2', 'h3']) host(name).freeMemoryBytes = 2.5 * guestBytes;
  fleet.next.durationMs = 10_000;
  const all = await Promise.all((await startAll(await guests(8), {})).map(({ id }) => ended(id)));
  assert.deepEqual(new Set(all.map(({ outcome }) => outcome)), new Set(['succeeded']));
  const at = (name: string): readonly Migration[] => all.filter(({ to }) => to?.name === name);
  assert.deepEqual([at('h2').length, at('h3').length], [4, 4]);
  for (const name of ['h2', 'h3']) assert.equal(mostAtOnce(at(name)), 2);
});

test(
  'one candidate that says nothing is passed over for another after some seconds; where it is the only ' +
    'one, that is the reason',
  async () => {
    await guests(2);
    host('h2').hangs = true;
    const before = clock.now();
    const migration = await ended((await engine.startMigration({ vm: 'vm0' }, by)).id);
    assert.deepEqual([migration.outcome, migration.to?.name], ['succeeded', 'h3']);
    assert.ok((migration.phases.find(({ phase }) => phase === 'preparing')?.at ?? 0) - before < 12_000);
    await assert.rejects(
      engine.startMigration({ vm: 'vm1', to: 'h2' }, by),
      (error) =>
        error instanceof FerryError &&
        error.code === 'migration-refused' &&
        error.reasons.map(({ code }) => code).join() === 'target-silent',
    );
    host('h1').hangs = true;
    await assert.rejects(
      engine.startMigration({ vm: 'vm1', to: 'h3' }, by),
      (error) =>
        error instanceof FerryError &&
        error.reasons.map(({ code, host: where }) => `${where} ${code}`).join() === 'h1 facts-missing',
    );
  },
);

test(
  'a host whose daemon takes no further client is passed over; where it is the only one, that is the ' +
    'reason, and nothing is begun',
  async () => {
    await guests(2);
    host('h2').crowded = true;
    assert.equal((await ended((await engine.startMigration({ vm: 'vm0', preferHost: 'h2' }, by)).id)).to?.name, 'h3');
    fleet.calls.length = 0;
    const full = (error: unknown) =>
      error instanceof FerryError && error.reasons.map(({ code }) => code).join() === 'target-full';
    await assert.rejects(engine.startMigration({ vm: 'vm1', to: 'h2' }, by), full);
    await assert.rejects(engine.planMigration({ vm: 'vm1', to: 'h2' }, patience()), full);
    assert.deepEqual(fleet.calls, []);
  },
);

/** Nine go to h3 and take their time; a tenth waits for one of them. */
async function oneThatWaits(request: MigrationRequest): Promise<{ readonly id: string; readonly uuid: string }> {
  fleet.next.durationMs = 30_000;
  const names = await guests(9);
  await startAll(names.slice(0, 8), { to: 'h3' });
  const { id, phase } = await engine.startMigration({ vm: 'vm8', ...request }, by);
  assert.equal(phase, 'queued');
  await clock.sleep(3_000);
  assert.equal((await engine.migration(id)).phase, 'queued');
  return { id, uuid: uuidOf(8) };
}
const codesOf = ({ error }: Migration): readonly string[] => error?.reasons.map(({ code }) => code) ?? [];

test('while it waited its target was removed: that is the reason', async () => {
  const { id } = await oneThatWaits({ to: 'h2' });
  await engine.removeHost('h2');
  const migration = await ended(id);
  assert.deepEqual(
    [migration.outcome, codesOf(migration), migration.vmIsNow],
    ['failed', ['target-removed'], { host: 'h1', state: 'running' }],
  );
});

test('while it waited the VM was undefined: that is the reason, and nowhere is where it is', async () => {
  const { id, uuid } = await oneThatWaits({ to: 'h2' });
  host('h1').domains.delete(uuid);
  const migration = await ended(id);
  assert.deepEqual([migration.outcome, codesOf(migration), migration.vmIsNow], ['failed', ['vm-gone'], undefined]);
});

test('while it waited somebody else moved the VM: that is the reason, and it is where the hosts show it', async () => {
  const { id, uuid } = await oneThatWaits({ to: 'h3' });
  const domain = host('h1').domains.get(uuid);
  assert.ok(domain);
  host('h1').domains.delete(uuid);
  fleet.run('h2', domain);
  const migration = await ended(id);
  assert.deepEqual(
    [migration.outcome, codesOf(migration), migration.vmIsNow],
    ['failed', ['vm-moved'], { host: 'h2', state: 'running' }],
  );
});

test('a plan refuses what a start would: an unknown host, and a VM that is on its way', async () => {
  await guests(1);
  await assert.rejects(
    engine.planMigration({ vm: 'vm0', to: 'h9' }, patience()),
    (error) => error instanceof FerryError && error.code === 'host-unknown',
  );
  fleet.next.durationMs = 20_000;
  const { id } = await engine.startMigration({ vm: 'vm0', to: 'h2' }, by);
  await assert.rejects(
    engine.planMigration({ vm: 'vm0', to: 'h3' }, patience()),
    (error) => error instanceof FerryError && error.code === 'vm-already-migrating',
  );
  await ended(id);
});

test('right after a restart each VM is shown with its migration, also one that waits', async () => {
  await engine.changeCluster('default', (before) => ({ ...before, migrationPorts: { first: 50_000, last: 50_000 } }));
  fleet.next.durationMs = 60_000;
  const started = await startAll(await guests(3), { to: 'h2' });
  await engine.close();
  engine = await start();
  assert.deepEqual(
    started.map(({ vm }) => engine.vm(vm.uuid).currentMigration),
    started.map(({ id }) => id),
  );
});

/** Another control plane over the same store. */
async function anotherEngine(run: (other: Engine) => Promise<void>): Promise<void> {
  const other = await start();
  try {
    for (let turn = 0; turn < 1_000 && other.hosts().some(({ state }) => state !== 'connected'); turn += 1)
      await clock.sleep(10);
    await run(other);
  } finally {
    await other.close();
  }
}

test('two control planes over one store never let more come to a host than it takes, nor give a port twice', async () => {
  await engine.changeCluster('default', (before) => ({
    ...before,
    maxIncomingPerHost: 3,
    migrationPorts: { first: 50_000, last: 50_003 },
  }));
  fleet.next.durationMs = 5_000;
  const names = await guests(10);
  await anotherEngine(async (other) => {
    for (let turn = 0; turn < 1_000 && other.vms().length < 10; turn += 1) await clock.sleep(10);
    const started = await Promise.all(
      names.map(async (vm, n) => {
        const by = n % 2 === 0 ? engine : other;
        return { by, id: (await by.startMigration({ vm, to: 'h2' }, { actor: 'operator', client: 'test' })).id };
      }),
    );
    const all = await Promise.all(
      started.map(async ({ by, id }) => {
        let last: Migration | undefined;
        for await (const state of by.watchMigration(id, patience())) last = state;
        assert.ok(last !== undefined);
        return last;
      }),
    );
    assert.deepEqual(new Set(all.map(({ outcome }) => outcome)), new Set(['succeeded']));
    assert.equal(mostAtOnce(all), 3);
    for (const a of spans(all))
      for (const b of spans(all))
        if (a.migration.id < b.migration.id && a.from < b.until && b.from < a.until)
          assert.notDeepEqual(portsOf(a.migration.plan?.transfer), portsOf(b.migration.plan?.transfer));
  });
});

test('limits hold as they are now: one that is raised lets those go that wait, one that is lowered stops nobody', async () => {
  await engine.changeFleetSettings(() => ({ maxMigrations: 1 }));
  fleet.next.durationMs = 60_000;
  const [first, second, third] = await startAll(await guests(3), {});
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  await clock.sleep(3_000);
  const waits = (): readonly string[] =>
    engine.queue().flatMap(({ waitsFor }) => waitsFor.map(({ message }) => message));
  assert.deepEqual(
    waits(),
    Array.from({ length: 2 }, () => `1 of 1 slots of the fleet are taken by ${first.vm.name}.`),
  );
  await engine.changeFleetSettings(() => ({}));
  await engine.changeCluster('default', (before) => ({ ...before, maxOutgoingPerHost: 2 }));
  await clock.sleep(3_000);
  const phaseOf = async ({ id }: Migration): Promise<string> => (await engine.migration(id)).phase;
  assert.deepEqual(
    [await phaseOf(first), await phaseOf(second), await phaseOf(third)],
    ['transferring', 'transferring', 'queued'],
  );
  await engine.changeCluster('default', (before) => ({ ...before, maxOutgoingPerHost: 1 }));
  await clock.sleep(3_000);
  assert.deepEqual(await phaseOf(second), 'transferring');
  assert.match(waits().join(), /^1 of 1 slots of h1 for outgoing migrations are taken by /);
  assert.deepEqual(
    new Set((await Promise.all([first, second].map(({ id }) => ended(id)))).map(({ outcome }) => outcome)),
    new Set(['succeeded']),
  );
});

test('limits that are no whole numbers from 1 are refused in one sentence, and nothing changes', async () => {
  for (const wrong of [0, -1, 1.5, Number.NaN]) {
    const refused = (error: unknown) =>
      error instanceof FerryError &&
      error.code === 'request-invalid' &&
      /takes a whole number from 1/.test(error.message);
    await assert.rejects(
      engine.changeFleetSettings(() => ({ maxMigrations: wrong })),
      refused,
    );
    await assert.rejects(
      engine.changeCluster('default', (before) => ({ ...before, maxIncomingPerHost: wrong })),
      refused,
    );
  }
  await assert.rejects(
    engine.changeFleetSettings(() => ({ maxMigrations: 2_001 })),
    /at most 2000/,
  );
  assert.deepEqual(engine.fleetSettings(), { settings: {}, revision: 0 });
});

test('of those that wait, the one that was asked for by an operator goes before what a drain wants', async () => {
  await engine.changeFleetSettings(() => ({ maxMigrations: 1 }));
  fleet.next.durationMs = 5_000;
  const [one = '', two = '', three = ''] = await guests(3);
  const first = await engine.startMigration({ vm: one }, by);
  const batch = { id: 'b1', name: 'drain-h1' };
  const drained = await engine.startMigration({ vm: two }, { ...by, origin: 'drain', batch });
  const asked = await engine.startMigration({ vm: three }, by);
  assert.deepEqual(
    [drained.name.replace(/.{5}$/, ''), drained.origin, drained.batch, asked.origin],
    ['drain-h1-', 'drain', batch, 'operator'],
  );
  await clock.sleep(2_000);
  assert.deepEqual(
    engine.queue().map(({ migration, place, priority }) => [migration.id, place, priority]),
    [
      [asked.id, 1, 'operator'],
      [drained.id, 2, 'drain'],
    ],
  );
  const all = await Promise.all([first, drained, asked].map(({ id }) => ended(id)));
  const begunAt = all.map(({ phases }) => phases.find(({ phase }) => phase === 'preparing')?.at ?? 0);
  assert.ok((begunAt[2] ?? 0) < (begunAt[1] ?? 0));
});
