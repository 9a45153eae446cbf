/** Drains and restores on hosts in virtual time: what leaves, what stays, what a restart and a cancel make of it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, hasEnded, planDrain, type Batch, type BatchMember } from '@ferry/core';
import type { DrainRequest, Engine } from '../facade.ts';
import type { FakeFleet, FakeHost } from '../fake/fleet.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let stores: ThreeHosts['stores'];
let engine: Engine;
const patience = () => AbortSignal.timeout(10_000);
const start = (): Promise<Engine> => engineOver({ clock, fleet, stores });
const host = (name: string): FakeHost => {
  const found = fleet.hosts.get(name);
  assert.ok(found);
  return found;
};
const uuidOf = (index: number): string => `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`;
const until = async (is: () => boolean, what: string): Promise<void> => {
  for (let turn = 0; turn < 120_000; turn += 1) {
    if (is()) return;
    await clock.sleep(10);
  }
  assert.fail(`never: ${what}`);
};
async function guests(count: number, on = 'h1'): Promise<void> {
  for (let index = 0; index < count; index += 1) fleet.run(on, { uuid: uuidOf(index), name: `vm${index}` });
  await until(() => engine.vms().length === count, `${count} VMs`);
}
const drain = (hosts: readonly string[], more: Partial<DrainRequest> = {}): Promise<Batch> =>
  engine.batches.drain({ hosts, force: false, ...more }, by);
const now = ({ id }: Batch): Batch => engine.batches.find(id);
async function ended(batch: Batch): Promise<Batch> {
  await until(() => hasEnded(now(batch)), `${batch.name} ends`);
  return now(batch);
}
const serviceOf = (name: string): string => engine.host(name).host.service?.state ?? 'schedulable';
const states = ({ members }: Batch): Record<string, BatchMember['state']> =>
  Object.fromEntries(members.map(({ vm, state }) => [vm.name, state]));
const runningOn = (name: string): number =>
  [...host(name).domains.values()].filter(({ state }) => state === 'running').length;
const refusedWith = (code: string, says: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.code === code && says.test(error.message);

beforeEach(async () => {
  ({ clock, fleet, stores, engine } = await threeHosts());
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});

test('a drain empties the host, two at a time, and a restore brings everything back', async () => {
  await guests(5);
  const begun = await drain(['h1']);
  assert.match(begun.name, /^drain-h1-/);
  let most = 0;
  await until(() => {
    most = Math.max(most, fleet.leaving('h1'));
    return now(begun).phase !== 'running';
  }, 'the drain ends');
  const done = now(begun);
  assert.equal(done.phase, 'done', JSON.stringify(done));
  assert.equal(most, 2);
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [0, 'maintenance']);
  assert.ok(runningOn('h2') > 0 && runningOn('h3') > 0, 'they are spread');
  const { items } = await engine.migrations({});
  assert.ok(
    items.every(
      ({ origin, batch, name }) => origin === 'drain' && batch?.id === done.id && name.startsWith('drain-h1-'),
    ),
  );

  const back = await ended(await engine.batches.restore('h1', by));
  assert.deepEqual([back.kind, back.phase, back.of], ['restore', 'done', done.id]);
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [5, 'schedulable']);
});

test('a plan says where each VM would go, counts those before it, and changes nothing', async () => {
  await guests(4);
  const plan = await engine.batches.planDrain({ hosts: ['h1'], force: false }, by);
  assert.deepEqual(plan.members.map(({ to }) => to?.name ?? '').sort(), ['h2', 'h2', 'h3', 'h3']);
  const changing = fleet.calls.filter((call) => !call.endsWith('dirty rate'));
  assert.deepEqual([engine.batches.all(), serviceOf('h1'), changing], [[], 'schedulable', []]);
});

test('a plan places its VMs as a group: none takes the only place of another, and rules among them hold', async () => {
  const guestBytes = 256 * 1_048_576;
  host('h2').freeMemoryBytes = 2 * guestBytes;
  host('h3').freeMemoryBytes = guestBytes;
  await guests(4);
  await engine.changeRule('home', () => ({ kind: 'on-hosts', strength: 'hard', vms: ['vm2'], hosts: ['h3'] }));
  await engine.changeRule('pair', () => ({ kind: 'together', strength: 'hard', vms: ['vm1', 'vm3'] }));
  const plan = await engine.batches.planDrain({ hosts: ['h1'], force: false }, by);
  assert.deepEqual(
    plan.members.map(({ vm, to }) => `${vm.name} ${to?.name ?? 'stays'}`),
    ['vm0 stays', 'vm1 h2', 'vm2 h3', 'vm3 h2'],
  );
  assert.equal(
    plan.members[0]?.note,
    'No host has room for it beside the others that move: it needs 256 MiB, and h2, which has the most left, has 0 MiB.',
  );
});

test('what is recorded of the fleet is enough to plan the same', async () => {
  await guests(5);
  await engine.changeRule('spread', () => ({ kind: 'apart', strength: 'hard', vms: ['vm0', 'vm1'] }));
  await engine.labelVm('vm4', { add: ['ferry.maintenance=leave-running'], remove: [] });
  const asked = await engine.batches.planDrain({ hosts: ['h1'], force: false }, by);
  const recorded = planDrain(engine.recordedFleet(), ['h1'], clock.now());
  const shown = (members: readonly BatchMember[]) =>
    members.map(({ vm, to, state, note }) => [vm.name, to?.name, state, note]);
  assert.deepEqual(shown(recorded), shown(asked.members));
  assert.deepEqual(new Set(recorded.map(({ to }) => to?.name)), new Set(['h2', 'h3', undefined]));
});

test("hosts that are drained together never receive each other's VMs", async () => {
  fleet.run('h2', { uuid: uuidOf(9), name: 'other' });
  await until(() => engine.vms().length === 1, 'other');
  for (let index = 0; index < 3; index += 1) fleet.run('h1', { uuid: uuidOf(index), name: `vm${index}` });
  await until(() => engine.vms().length === 4, 'four');
  const done = await ended(await drain(['h1', 'h2']));
  assert.equal(done.phase, 'done');
  assert.deepEqual([runningOn('h1'), runningOn('h2'), runningOn('h3')], [0, 0, 4]);
});

test('a drain goes on after the control plane was stopped in the middle of it', async () => {
  await guests(4);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  await engine.close();
  engine = await start();
  assert.equal(serviceOf('h1'), 'draining');
  const done = await ended(begun);
  assert.deepEqual([done.phase, runningOn('h1'), runningOn('h2') + runningOn('h3')], ['done', 0, 4]);
});

test('cancel lets what runs end, begins nothing more, and puts the host back; retry goes on with the rest', async () => {
  await guests(4);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  await engine.batches.cancel(begun.id, false);
  const cancelled = await ended(begun);
  assert.equal(cancelled.phase, 'cancelled');
  assert.deepEqual(Object.values(states(cancelled)).sort(), ['held', 'held', 'moved', 'moved']);
  await clock.sleep(60_000);
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [2, 'schedulable']);
  await assert.rejects(engine.batches.cancel(begun.id, false), refusedWith('drain-finished', /has ended already/));
  await engine.batches.retry(begun.id);
  assert.equal((await ended(begun)).phase, 'done');
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [0, 'maintenance']);
});

test('cancel with abort aborts what runs: every VM is where it was', async () => {
  await guests(3);
  fleet.next.durationMs = 60_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  await engine.batches.cancel(begun.id, true);
  const cancelled = await ended(begun);
  assert.deepEqual([cancelled.phase, runningOn('h1'), serviceOf('h1')], ['cancelled', 3, 'schedulable']);
});

test('to abort one migration holds its VM; the others go on, and the host is not said to be empty', async () => {
  await guests(3);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  const held = now(begun).members.find(({ state }) => state === 'moving');
  assert.ok(held?.migration !== undefined);
  await engine.abortMigration(held.migration);
  const over = await ended(begun);
  assert.equal(over.phase, 'incomplete');
  assert.equal(states(over)[held.vm.name], 'held');
  assert.match(over.attention ?? '', new RegExp(`1 VM\\(s\\) did not leave: ${held.vm.name}`));
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [1, 'cordoned']);
});

test('labels say how a VM leaves: shut down and started again, left running, never touched', async () => {
  await guests(4);
  await engine.labelVm('vm0', { add: ['ferry.maintenance=shutdown'], remove: [] });
  await engine.labelVm('vm1', { add: ['ferry.maintenance=never'], remove: [] });
  const begun = await drain(['h1']);
  const done = await ended(begun);
  assert.deepEqual([done.phase, states(done)], ['done', { vm0: 'stopped', vm1: 'stays', vm2: 'moved', vm3: 'moved' }]);
  const back = await ended(await engine.batches.restore('h1', by));
  assert.deepEqual([back.phase, states(back)], ['done', { vm0: 'started', vm2: 'moved', vm3: 'moved' }]);
  assert.equal(runningOn('h1'), 4);

  await engine.labelVm('vm1', { add: ['ferry.maintenance=leave-running'], remove: ['ferry.maintenance=never'] });
  const blocked = await ended(await drain(['h1']));
  assert.deepEqual([blocked.phase, serviceOf('h1')], ['incomplete', 'cordoned']);
  assert.match(blocked.attention ?? '', /did not leave: vm1/);
});

test('a VM that its label moves cold is shut down, moved and started; without a target it is not shut down', async () => {
  await guests(1);
  await engine.labelVm('vm0', { add: ['ferry.maintenance=cold'], remove: [] });
  await engine.cordonHosts(['h2', 'h3']);
  const refused = await ended(await drain(['h1'], { force: true }));
  assert.deepEqual([refused.phase, runningOn('h1')], ['incomplete', 1], JSON.stringify(refused));
  assert.ok(!fleet.calls.some((call) => call.includes('shutdown')), fleet.calls.join('; '));
  await engine.uncordonHosts(['h1', 'h2']);
  const done = await ended(await drain(['h1']));
  assert.deepEqual([done.phase, states(done), runningOn('h2')], ['done', { vm0: 'moved' }, 1], JSON.stringify(done));
  assert.equal((await engine.migration(done.members[0]?.migration ?? '')).kind, 'cold');
});

test('a guest whose control plane stops before it was asked to shut down is asked by the next one', async () => {
  await guests(1);
  await engine.labelVm('vm0', { add: ['ferry.maintenance=shutdown'], remove: [] });
  const asks = (): number => fleet.calls.filter((call) => call === 'h1 shutdown').length;
  const begun = await drain(['h1']);
  // as a kill leaves it: what is to be done is stored, and nothing was done
  await engine.close();
  const { intents } = stores;
  const entry = await intents.get(`batches/${begun.id}`);
  assert.ok(entry !== undefined);
  const value = entry.value as Batch;
  const members = value.members.map((member) => ({ ...member, state: 'stopping', since: clock.now() - 3_600_000 }));
  await intents.commit([{ op: 'put', key: entry.key, value: { ...value, members }, ifRevision: entry.revision }]);
  const before = asks();
  engine = await start();
  const done = await ended(begun);
  assert.deepEqual([done.phase, states(done), asks() - before], ['done', { vm0: 'stopped' }, 1]);
});

test('a guest whose label changes while another one is asked to shut down is left running', async () => {
  await guests(2);
  for (const vm of ['vm0', 'vm1']) await engine.labelVm(vm, { add: ['ferry.maintenance=shutdown'], remove: [] });
  const asks = (): number => fleet.calls.filter((call) => call === 'h1 shutdown').length;
  host('h1').slowMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => now(begun).members.every(({ state }) => state === 'stopping'), 'both are to shut down');
  for (const vm of ['vm0', 'vm1'])
    await engine.labelVm(vm, { add: ['ferry.maintenance=leave-running'], remove: ['ferry.maintenance=shutdown'] });
  const over = await ended(begun);
  assert.deepEqual([over.phase, asks(), Object.values(states(over)).sort()], ['incomplete', 1, ['stays', 'stopped']]);
});

test('a guest whose host refuses to ask it is not said to have been asked', async () => {
  await guests(1);
  await engine.labelVm('vm0', { add: ['ferry.maintenance=shutdown'], remove: [] });
  host('h1').refusesShutdown = 'no such method';
  const over = await ended(await drain(['h1']));
  const [left] = over.members;
  assert.deepEqual([over.phase, left?.state, left?.asked], ['incomplete', 'failed', undefined]);
  assert.match(left?.note ?? '', /^It cannot be asked to shut down: no such method/);
});

test('a VM that appears on the host joins; one that is deleted or moved by somebody else is named', async () => {
  await guests(4);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  const waiting = now(begun).members.filter(({ state }) => state === 'waiting');
  const [gone, moved] = waiting;
  assert.ok(gone !== undefined && moved !== undefined);
  const domain = host('h1').domains.get(moved.vm.uuid);
  assert.ok(domain !== undefined);
  host('h1').domains.delete(gone.vm.uuid);
  host('h1').domains.delete(moved.vm.uuid);
  host('h1').drop();
  fleet.run('h3', domain);
  fleet.run('h1', { uuid: uuidOf(7), name: 'late' });
  const done = await ended(begun);
  assert.equal(done.phase, 'done', JSON.stringify(done));
  assert.deepEqual(
    [states(done)[gone.vm.name], states(done)[moved.vm.name], states(done)['late']],
    ['gone', 'gone', 'moved'],
  );
  assert.match(done.members.find(({ vm }) => vm.name === moved.vm.name)?.note ?? '', /on h3 now; somebody else/);
});

test('when a target dies in the middle, its VM stays until that host has spoken, and then goes to the other one', async () => {
  await guests(3);
  fleet.next.durationMs = 3_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 2, 'two move');
  fleet.lose('h2');
  await clock.sleep(2_000);
  assert.equal(runningOn('h1'), 3);
  await clock.sleep(30_000);
  host('h2').reachable = true;
  const over = await ended(begun);
  assert.deepEqual(
    [over.phase, runningOn('h1'), runningOn('h2') + runningOn('h3')],
    ['done', 0, 3],
    JSON.stringify(over),
  );
});

test('a VM that was on its way to the host when its drain began leaves again before that is done', async () => {
  fleet.run('h3', { uuid: uuidOf(0), name: 'vm0' });
  await until(() => engine.vms().length === 1, 'a VM');
  fleet.next.durationMs = 20_000;
  await engine.startMigration({ vm: 'vm0', to: 'h1' }, by);
  await until(() => fleet.leaving('h3') === 1, 'it moves');
  const begun = await drain(['h1']);
  await until(() => /vm0 is still being moved to h1/.test(now(begun).attention ?? ''), 'it is waited for');
  fleet.next.durationMs = 1_000;
  const done = await ended(begun);
  assert.deepEqual([done.phase, states(done), runningOn('h1')], ['done', { vm0: 'moved' }, 0], JSON.stringify(done));
});

test('a restore says of a VM that its host has no room for beside the others, and brings back the others', async () => {
  await guests(3);
  await ended(await drain(['h1']));
  host('h1').freeMemoryBytes = 2 * 256 * 1_048_576;
  const restore = await engine.batches.restore('h1', by);
  assert.deepEqual(
    restore.members.flatMap(({ note }) => note ?? []),
    [
      'No host has room for it beside the others that move: it needs 256 MiB, and h1, which has the most left, has 0 MiB.',
    ],
  );
  assert.deepEqual(
    restore.members.map(({ to, state }) => [to?.name, state]),
    restore.members.map(() => ['h1', 'waiting']),
  );
});

test('a restore leaves a VM where somebody else has moved it, and says so', async () => {
  await guests(2);
  const done = await ended(await drain(['h1']));
  const [first] = done.members;
  assert.ok(first?.to !== undefined);
  await engine.uncordonHosts(['h1']);
  const other = first.to.name === 'h2' ? 'h3' : 'h2';
  const move = await engine.startMigration({ vm: first.vm.uuid, to: other }, by);
  for await (const state of engine.watchMigration(move.id, patience())) assert.notEqual(state.outcome, 'failed');
  const back = await ended(await engine.batches.restore('h1', by));
  assert.equal(states(back)[first.vm.name], 'stays');
  assert.match(back.members.find(({ vm }) => vm.uuid === first.vm.uuid)?.note ?? '', /somebody else moved it/);
  assert.deepEqual([back.phase, runningOn('h1'), runningOn(other) > 0], ['done', 1, true]);
});

test('what cannot be drained is refused in a sentence, and nothing has begun', async () => {
  await guests(1);
  const refusals: readonly [Promise<Batch>, string, RegExp][] = [
    [drain(['h9']), 'host-unknown', /no host "h9"/],
    [drain(['h1', 'h1']), 'drain-refused', /h1 is named twice/],
    [drain(['h1'], { deadlineAt: 1 }), 'drain-refused', /deadline .* has passed/],
    [drain(['h1'], { beginsAt: 1 }), 'drain-refused', /The time .* has passed/],
    [
      drain(['h1'], { beginsAt: clock.now() + 9_000, deadlineAt: clock.now() + 8_000 }),
      'drain-refused',
      /The deadline .* is not after .*, when the drain begins/,
    ],
    [drain(['h1', 'h2', 'h3']), 'drain-last-host', /no host for the VMs of h1, h2, h3/],
    [engine.batches.restore('h1', by), 'drain-none', /nothing to bring back/],
  ];
  for (const [asked, code, says] of refusals) await assert.rejects(asked, refusedWith(code, says));
  host('h2').reachable = false;
  host('h2').drop();
  await until(() => engine.host('h2').state === 'unreachable', 'h2 is unreachable');
  await assert.rejects(drain(['h2']), refusedWith('host-unreachable', /h2 does not answer/));
  assert.deepEqual([engine.batches.all(), serviceOf('h1')], [[], 'schedulable']);

  fleet.next.durationMs = 60_000;
  await drain(['h1']);
  await assert.rejects(drain(['h1']), refusedWith('host-draining', /drained already/));
  await assert.rejects(engine.uncordonHosts(['h1']), refusedWith('host-draining', /being drained/));
  await assert.rejects(engine.removeHost('h1'), refusedWith('host-draining', /being drained/));
});

test('nothing begins after the deadline, and the drain says so', async () => {
  await guests(4);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1'], { deadlineAt: clock.now() + 3_000 });
  const over = await ended(begun);
  assert.deepEqual(
    [over.phase, Object.values(states(over)).sort()],
    ['incomplete', ['failed', 'failed', 'moved', 'moved']],
  );
  assert.match(over.members.find(({ state }) => state === 'failed')?.note ?? '', /deadline passed/);
});

/** Each guest is measured to write this much; the link carries 256 MiB in `durationMs`. */
const writing = (dirtyBytesPerSecond: number, durationMs: number): void => {
  fleet.next.dirtyBytesPerSecond = dirtyBytesPerSecond;
  fleet.next.durationMs = durationMs;
};
/** The most that left h1 at a time, and that the drain let use the link. */
const mostOf = async (begun: Batch): Promise<{ readonly leaving: number; readonly atOnce: number }> => {
  let [leaving, atOnce] = [0, 0];
  await until(() => {
    leaving = Math.max(leaving, fleet.leaving('h1'));
    atOnce = Math.max(atOnce, now(begun).pace?.[0]?.atOnce ?? 0);
    return now(begun).phase !== 'running';
  }, 'the drain ends');
  return { leaving, atOnce };
};
const paceOf = ({ pace = [] }: Batch): readonly [number, string][] => pace.map(({ atOnce, why }) => [atOnce, why]);

test('idle guests leave several at once, and the drain says why not more', async () => {
  writing(0, 10_000);
  await guests(8);
  const begun = await drain(['h1']);
  const most = await mostOf(begun);
  assert.equal(most.atOnce, 4);
  assert.ok(most.leaving >= 4 && most.leaving <= 8, 'those that are about to end do not count');
  const done = now(begun);
  assert.deepEqual([done.phase, runningOn('h1')], ['done', 0]);
  assert.match(paceOf(done)[0]?.[1] ?? '', /fill the link|no more are left/);
});

test('guests that write much leave one after the other', async () => {
  writing(13 * 1_048_576, 10_000);
  await guests(4);
  const begun = await drain(['h1']);
  const most = await mostOf(begun);
  assert.equal(most.atOnce, 1);
  assert.ok(most.leaving <= 2, 'the next one begins as one is about to end');
  assert.equal(now(begun).phase, 'done');
  assert.match(paceOf(now(begun))[0]?.[1] ?? '', /vm. writes 13 MiB\/s/);
});

test('no more leave at once than the limits of the cluster allow, and the others wait in the drain', async () => {
  writing(0, 10_000);
  await engine.changeCluster('default', (before) => ({ ...before, maxOutgoingPerHost: 1 }));
  await guests(3);
  const begun = await drain(['h1']);
  assert.equal((await mostOf(begun)).leaving, 1);
  assert.deepEqual(engine.queue(), []);
});

test('a plan says when each VM and the whole will have left, and says what is not known', async () => {
  writing(0, 10_000);
  await guests(4);
  const unknown = await engine.batches.planDrain({ hosts: ['h1'], force: false }, by);
  assert.match(engine.batches.forecast(unknown)?.text ?? '', /^not known, because what the link of h1 carries/);
  // the link is known once something has used it
  await engine.startMigration({ vm: 'vm0', to: 'h2' }, by);
  await until(() => runningOn('h2') === 1, 'it has moved');
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') > 0, 'one moves');
  await clock.sleep(4_000);
  const forecast = engine.batches.forecast(now(begun));
  const ends = [...(forecast?.members.values() ?? [])].map((each) => ('unknown' in each ? each.unknown : 'known'));
  assert.deepEqual(ends, ['known', 'known', 'known'], forecast?.text);
  assert.ok(forecast?.endsAt !== undefined && forecast.endsAt > clock.now(), forecast?.text);
  assert.match(forecast.text, /^in about \d+ s, \d+ s at most$/);
  const done = await ended(begun);
  assert.equal(engine.batches.forecast(done), undefined);
});

test('a drain with a time begins then, with the VMs that are there by then, also after a restart', async () => {
  await guests(1);
  const beginsAt = clock.now() + 60_000;
  const scheduled = await drain(['h1'], { beginsAt });
  assert.deepEqual([scheduled.phase, serviceOf('h1')], ['scheduled', 'schedulable']);
  await engine.close();
  engine = await start();
  fleet.run('h1', { uuid: uuidOf(5), name: 'late' });
  await until(() => engine.vms().length === 2, 'two VMs');
  await clock.sleep(30_000);
  assert.deepEqual([now(scheduled).phase, runningOn('h1')], ['scheduled', 2]);
  const done = await ended(scheduled);
  assert.deepEqual([done.phase, states(done)], ['done', { vm0: 'moved', late: 'moved' }]);
  assert.ok(done.startedAt >= beginsAt);
});

test('a drain that is cancelled before its time never begins; one that cannot begin is given up', async () => {
  await guests(1);
  const cancelled = await drain(['h1'], { beginsAt: clock.now() + 60_000 });
  await engine.batches.cancel(cancelled.id, false);
  assert.equal(now(cancelled).phase, 'cancelled');
  await assert.rejects(engine.batches.retry(cancelled.id), refusedWith('drain-finished', /has not begun/));
  const late = await drain(['h1'], { beginsAt: clock.now() + 60_000 });
  host('h1').reachable = false;
  host('h1').drop();
  await clock.sleep(120_000);
  assert.match(now(late).attention ?? '', /It cannot begin: h1 does not answer/);
  const over = await ended(late);
  assert.deepEqual([over.phase, serviceOf('h1')], ['incomplete', 'schedulable']);
  assert.match(over.attention ?? '', /It has not begun: h1/);
});

test('a drain whose time has passed while no control plane ran does not begin', async () => {
  await guests(1);
  const late = await drain(['h1'], { beginsAt: clock.now() + 60_000 });
  await engine.close();
  await clock.sleep(3_600_000);
  engine = await start();
  const over = await ended(late);
  assert.deepEqual([over.phase, runningOn('h1'), serviceOf('h1')], ['incomplete', 1, 'schedulable']);
  assert.match(over.attention ?? '', /It has not begun: no control plane ran at its time/);
});

test('nothing begins within a blackout period, and the drain says until when', async () => {
  await guests(2);
  const until20 = new Date(clock.now() + 20_000).toISOString();
  const before = new Date(clock.now() - 86_400_000).toISOString();
  const blackouts = [`${before}/${until20}`.replaceAll(/\.\d+/g, '')];
  await engine.changeCluster('default', (before) => ({
    ...before,
    blackouts: ['1970-01-01T00:00Z/1970-01-02T00:00Z'],
  }));
  await assert.rejects(
    engine.changeCluster('default', (before) => ({ ...before, blackouts: ['00:00-24:00'] })),
    refusedWith('request-invalid', /never end/),
  );
  await engine.changeCluster('default', (before) => ({ ...before, blackouts }));
  const begun = await drain(['h1']);
  await clock.sleep(10_000);
  assert.equal(fleet.leaving('h1'), 0);
  assert.match(now(begun).attention ?? '', /^h1: nothing begins before .*, for the blackout period/);
  const done = await ended(begun);
  assert.deepEqual([done.phase, runningOn('h1')], ['done', 0]);
});

test('two drains at once leave the last host of a cluster to one of them', async () => {
  await guests(1);
  await engine.cordonHosts(['h3']);
  const both = await Promise.allSettled([drain(['h1']), drain(['h2'])]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  for (const each of both)
    if (each.status === 'rejected') assert.ok(refusedWith('drain-last-host', /no host for the VMs/)(each.reason));
  const services = [serviceOf('h1'), serviceOf('h2')];
  assert.ok(services.includes('schedulable'), services.join());
});

test('with never-degrade, what would make guests share memory waits, is no try in vain, and the plan says so', async () => {
  const big = { memory: { totalBytes: 3.9e9, sets: [] } };
  fleet.run('h2', { uuid: uuidOf(8), name: 'big2', ...big });
  fleet.run('h3', { uuid: uuidOf(9), name: 'big3', ...big });
  fleet.run('h1', { uuid: uuidOf(0), name: 'vm0' });
  await until(() => engine.vms().length === 3, 'three VMs');
  const wish = { hosts: ['h1'], force: false, neverDegrade: true };
  const [planned] = (await engine.batches.planDrain(wish, by)).members;
  assert.deepEqual([planned?.to, /of which its guests were given/.test(planned?.note ?? '')], [undefined, true]);
  const begun = await drain(['h1'], wish);
  await clock.sleep(120_000);
  const [waiting] = now(begun).members;
  assert.deepEqual([waiting?.state, waiting?.tries, runningOn('h1')], ['waiting', 0, 1]);
  assert.match(now(begun).attention ?? '', /^vm0: h[23] has 3814 MiB, of which its guests were given 3719 MiB/);
  host('h3').domains.delete(uuidOf(9));
  host('h3').drop();
  const done = await ended(begun);
  assert.deepEqual([done.phase, done.members[0]?.to?.name], ['done', 'h3']);
});

test('with never-degrade, a cold VM waits for room too; one that no host may take for another reason does not', async () => {
  fleet.run('h2', { uuid: uuidOf(8), name: 'big2', memory: { totalBytes: 3.9e9, sets: [] } });
  fleet.run('h1', { uuid: uuidOf(0), name: 'vm0' });
  await until(() => engine.vms().length === 2, 'two VMs');
  await engine.labelVm('vm0', { add: ['ferry.maintenance=cold'], remove: [] });
  await engine.cordonHosts(['h3']);
  const cold = await drain(['h1'], { neverDegrade: true });
  await clock.sleep(120_000);
  assert.deepEqual([now(cold).members[0]?.state, now(cold).members[0]?.tries, runningOn('h1')], ['waiting', 0, 1]);
  await engine.batches.cancel(cold.id, false);
  await ended(cold);
  await engine.cordonHosts(['h2']);
  await engine.uncordonHosts(['h1']);
  const over = await ended(await drain(['h1'], { neverDegrade: true, force: true }));
  assert.deepEqual([over.phase, over.members[0]?.state, over.members[0]?.tries], ['incomplete', 'failed', 3]);
});

test('a VM that appears on an empty host within a blackout period waits for its end', async () => {
  await guests(1);
  const [before, later] = [clock.now() - 60_000, clock.now() + 60_000].map((at) => new Date(at).toISOString());
  const blackouts = [`${before}/${later}`.replaceAll(/\.\d+/g, '')];
  await engine.changeCluster('default', (cluster) => ({ ...cluster, blackouts }));
  const begun = await drain(['h1', 'h2']);
  fleet.run('h2', { uuid: uuidOf(5), name: 'late' });
  await until(() => now(begun).members.length === 2, 'it joins');
  await clock.sleep(20_000);
  assert.deepEqual([runningOn('h1'), runningOn('h2'), runningOn('h3')], [1, 1, 0]);
  assert.equal((await ended(begun)).phase, 'done');
});

test('a drain whose host was removed meanwhile does not wait for it', async () => {
  await guests(1);
  fleet.next.durationMs = 5_000;
  const begun = await drain(['h1']);
  await until(() => fleet.leaving('h1') === 1, 'one moves');
  await engine.abortMigration(now(begun).members[0]?.migration ?? '');
  assert.equal((await ended(begun)).phase, 'incomplete');
  host('h1').domains.delete(uuidOf(0));
  host('h1').drop();
  await engine.removeHost('h1');
  await engine.batches.retry(begun.id);
  const over = await ended(begun);
  assert.deepEqual([over.phase, over.members[0]?.state], ['done', 'gone']);
});

test('without it, a host may give its guests more than it has', async () => {
  await guests(1);
  fleet.run('h2', { uuid: uuidOf(8), name: 'big2', memory: { totalBytes: 3.9e9, sets: [] } });
  await until(() => engine.vms().length === 2, 'two VMs');
  await engine.cordonHosts(['h3']);
  assert.equal((await ended(await drain(['h1']))).phase, 'done');
});
