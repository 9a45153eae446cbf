import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Batch } from '../model/batch.ts';
import type { Host } from '../model/host.ts';
import { batchId, hostId, migrationId, vmUuid } from '../model/ids.ts';
import { hostAfter } from './begin.ts';
import { blindAtOnce } from './pace.ts';
import type { BatchEvent, SeenVm } from './protocol.ts';
import { hasEnded, memberOf, stepBatch, triesAgain } from './step.ts';
import { wayOf } from './ways.ts';

const h1 = { id: hostId('h1'), name: 'h1' };
const h2 = { id: hostId('h2'), name: 'h2' };
const names = ['a', 'b', 'c', 'd', 'e'] as const;
const seen = (name: string, more: Partial<SeenVm> = {}): SeenVm => ({
  uuid: vmUuid(name),
  name,
  memoryBytes: name.charCodeAt(0),
  host: h1,
  isActive: true,
  isPersistent: true,
  way: 'live',
  ...more,
});
const fresh: Batch = {
  id: batchId('d1'),
  name: 'drain-h1-d1',
  kind: 'drain',
  actor: 'operator',
  client: 'test',
  hosts: [h1],
  startedAt: 0,
  phase: 'running',
  members: [],
};
const looked = (...vms: readonly SeenVm[]): BatchEvent => ({ type: 'looked', vms, silent: [] });
const run = (events: readonly BatchEvent[], from = fresh, now = 1_000): Batch =>
  events.reduce((batch, event) => stepBatch(batch, event, now).batch, from);
const stateOf = (batch: Batch, name: string): string | undefined =>
  batch.members.find(({ vm }) => vm.name === name)?.state;
const nothingThere: BatchEvent = { type: 'confirmed', active: new Map([[h1.id, new Set()]]) };

test('the largest begin first, a few at a time; one that another migration moves waits without a place', () => {
  const vms = names.map((name) => seen(name, name === 'e' ? { migration: migrationId('m9') } : {}));
  const { batch, effects } = stepBatch(fresh, looked(...vms), 1_000);
  assert.deepEqual(
    effects.map((effect) => (effect.do === 'begin' ? effect.member.vm.name : effect.do)),
    ['d', 'c'],
  );
  assert.match(batch.attention ?? '', /^Moved by other migrations, and waited for: e\.$/);
});

test('a member is tried again on another host, and given up after the last try', () => {
  const failed: BatchEvent = { type: 'ended', vm: vmUuid('a'), outcome: 'failed', to: h2, message: 'reset by peer' };
  let batch = run([looked(seen('a'))]);
  for (let tries = 0; tries < triesAgain; tries += 1) {
    batch = run([failed], batch);
    assert.equal(stateOf(batch, 'a'), 'waiting');
  }
  batch = run([failed], batch);
  assert.deepEqual([stateOf(batch, 'a'), batch.members[0]?.note], ['failed', 'reset by peer']);
  assert.deepEqual(batch.members[0]?.tried, [h2.id, h2.id, h2.id]);
  const closed = run(
    [looked(seen('a')), { type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('a')])]]) }],
    batch,
  );
  assert.equal(closed.phase, 'incomplete');
});

test('a VM that was shut down for its move, and that somebody else then moved, is left there, which is said', () => {
  const cold = (more: Partial<SeenVm> = {}): SeenVm => seen('a', { way: 'cold', ...more });
  const off = run([looked(cold()), looked(cold({ isActive: false }))]);
  const over = run([looked(cold({ isActive: false, host: h2 })), nothingThere], off);
  assert.deepEqual([over.phase, stateOf(over, 'a')], ['done', 'gone']);
  assert.match(
    over.members[0]?.note ?? '',
    /somebody else moved it, after it was shut down for this move\. It is shut off\.$/,
  );
});

test('a move that fails while the drain is cancelled is not tried again', () => {
  const moving = run([looked(seen('a')), { type: 'began', vm: vmUuid('a'), migration: migrationId('m1') }]);
  const over = run(
    [
      { type: 'cancel-requested', abort: false },
      { type: 'ended', vm: vmUuid('a'), outcome: 'failed', to: h2, message: 'reset by peer' },
      looked(seen('a')),
    ],
    moving,
  );
  assert.deepEqual([over.phase, stateOf(over, 'a')], ['cancelled', 'held']);
});

test('a drain ends, though the host keeps a copy of a VM that is said to be elsewhere', () => {
  const there: BatchEvent = { type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('a')])]]) };
  const elsewhere = looked(seen('a', { host: h2 }));
  let batch = run([looked(seen('a')), { type: 'ended', vm: vmUuid('a'), outcome: 'succeeded', to: h2 }]);
  for (let turns = 0; turns < 3 * (triesAgain + 1) && !hasEnded(batch); turns += 1)
    batch = run([elsewhere, there], batch, 1_000_000 * (turns + 1));
  assert.deepEqual([batch.phase, stateOf(batch, 'a')], ['incomplete', 'failed']);
});

test('done is said only once the host has shown that nothing is left', () => {
  const moved = run([looked(seen('a')), { type: 'ended', vm: vmUuid('a'), outcome: 'succeeded', to: h2 }]);
  const { effects } = stepBatch(moved, looked(seen('a', { host: h2 })), 2_000);
  assert.deepEqual(effects, [{ do: 'confirm' }]);
  assert.equal(run([{ type: 'unconfirmed', message: 'h1 does not answer.' }], moved).phase, 'running');
  const still = run([{ type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('a')])]]) }], moved);
  assert.deepEqual([still.phase, stateOf(still, 'a')], ['running', 'waiting']);
  const late = run([{ type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('z')])]]) }], moved);
  assert.deepEqual([late.phase, late.attention], ['running', '1 VM(s) have appeared on the host meanwhile.']);
  assert.equal(run([nothingThere], moved).phase, 'done');
});

test('a domain that never becomes a VM of the host ends the drain as incomplete, and is named', () => {
  const moved = run([looked(seen('a')), { type: 'ended', vm: vmUuid('a'), outcome: 'succeeded', to: h2 }]);
  const stranger: BatchEvent = { type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('z')])]]) };
  const first = run([stranger], moved, 10_000);
  assert.equal(run([stranger], first, 50_000).phase, 'running');
  const joined = run([looked(seen('a', { host: h2 }), seen('b'))], first, 60_000);
  assert.equal(joined.strangersSince, undefined, 'one that joins is none');
  const over = run([stranger], first, 70_000);
  assert.deepEqual(
    [over.phase, over.attention],
    ['incomplete', '1 domain(s) run there that do not count as VMs of the host: z.'],
  );
  assert.equal(run([{ type: 'retry-requested' }], over).strangersSince, undefined);
});

test('a guest is shut down only where its label says so, asked once, and given up after its time', () => {
  const first = stepBatch(fresh, looked(seen('a', { way: 'shutdown' }), seen('b', { way: 'leave-running' })), 1_000);
  assert.deepEqual(
    first.effects.map((effect) => effect.do),
    ['shut-down'],
  );
  const asked = run([{ type: 'asked', vm: vmUuid('a') }], first.batch);
  const again = stepBatch(asked, looked(seen('a', { way: 'shutdown' }), seen('b')), 2_000);
  assert.deepEqual(again.effects, []);
  assert.equal(stateOf(run([looked(seen('a', { isActive: false }), seen('b'))], asked), 'a'), 'stopped');
  assert.equal(stateOf(stepBatch(asked, looked(seen('a'), seen('b')), 400_000).batch, 'a'), 'failed');
});

test('a guest that nobody is known to have asked is asked again, and has its time from then on', () => {
  const there = looked(seen('a', { way: 'shutdown' }));
  const again = stepBatch(run([there]), there, 400_000);
  assert.deepEqual([again.effects.map((effect) => effect.do), stateOf(again.batch, 'a')], [['shut-down'], 'stopping']);
  const silent = stepBatch(run([there]), { type: 'looked', vms: [], silent: [h1] }, 400_000);
  assert.deepEqual(silent.effects, []);
  const asked = run([{ type: 'asked', vm: vmUuid('a') }], again.batch, 400_000);
  assert.equal(stateOf(stepBatch(asked, there, 500_000).batch, 'a'), 'stopping');
  assert.equal(stateOf(stepBatch(asked, there, 800_000).batch, 'a'), 'failed');
  const refused = run([{ type: 'refused', vm: vmUuid('a'), message: 'no agent' }], again.batch);
  assert.deepEqual([refused.members[0]?.asked, refused.members[0]?.note], [undefined, 'no agent']);
});

test('a VM that is moved cold runs again, wherever that ends', () => {
  const cold = (more: Partial<SeenVm> = {}): SeenVm => seen('a', { way: 'cold', ...more });
  const asked = stepBatch(fresh, looked(cold()), 1_000);
  assert.deepEqual(
    asked.effects.map((effect) => effect.do),
    ['shut-down'],
  );
  const off = stepBatch(asked.batch, looked(cold({ isActive: false })), 2_000);
  assert.deepEqual(
    off.effects.map((effect) => effect.do === 'begin' && effect.member.off),
    [true],
  );
  const cancelled = stepBatch(off.batch, { type: 'cancel-requested', abort: false }, 3_000).batch;
  const winding = stepBatch(cancelled, looked(cold({ isActive: false })), 4_000);
  assert.deepEqual([winding.batch.phase, winding.effects.map((effect) => effect.do)], ['cancelling', ['start']]);
  const back = run([{ type: 'started', vm: vmUuid('a') }, looked(cold())], winding.batch);
  assert.deepEqual([back.phase, stateOf(back, 'a')], ['cancelled', 'held']);
  const stuck = run([{ type: 'refused', vm: vmUuid('a'), message: 'no memory' }, looked(cold())], winding.batch);
  assert.match(stuck.members[0]?.note ?? '', /cannot be started on h1: no memory/);
  const moved = run([{ type: 'ended', vm: vmUuid('a'), outcome: 'succeeded', to: h2 }], off.batch);
  assert.deepEqual([stateOf(moved, 'a'), moved.members[0]?.off], ['moved', undefined]);
});

test('a guest that goes off only after the cancel is started again, once its host shows it shut off and nothing moves it', () => {
  const cold = (more: Partial<SeenVm> = {}): SeenVm => seen('a', { way: 'cold', ...more });
  const asked = run([looked(cold()), { type: 'cancel-requested', abort: false }]);
  const off = stepBatch(asked, looked(cold({ isActive: false })), 2_000);
  assert.deepEqual([off.batch.phase, off.effects.map((effect) => effect.do)], ['cancelling', ['start']]);
  const moving = stepBatch(off.batch, looked(cold({ isActive: false, migration: migrationId('m9') })), 3_000);
  assert.deepEqual([moving.batch.phase, moving.effects], ['cancelling', []], 'somebody moves it');
  const silent = stepBatch(off.batch, { type: 'looked', vms: [], silent: [h1] }, 3_000);
  assert.deepEqual([silent.batch.phase, silent.effects], ['cancelling', []]);
  assert.match(silent.batch.attention ?? '', /^h1 does not answer; a is started once it does/);
  const refused = stepBatch(off.batch, { type: 'refused', vm: vmUuid('a'), message: 'no answer' }, 3_000).batch;
  assert.deepEqual(stepBatch(refused, looked(cold({ isActive: false })), 4_000).effects, [], 'not at once');
  const later = stepBatch(refused, looked(cold({ isActive: false })), 60_000);
  assert.deepEqual(
    later.effects.map((effect) => effect.do),
    ['start'],
  );
  assert.equal(stepBatch(later.batch, looked(cold()), 61_000).batch.phase, 'cancelled', 'it runs: the answer was lost');
});

test('a guest that obeys late counts as shut down; one whose label or definition has changed is not asked', () => {
  const asked = run([looked(seen('a', { way: 'shutdown' }), seen('b')), { type: 'asked', vm: vmUuid('a') }]);
  const late = stepBatch(asked, looked(seen('a', { way: 'shutdown' }), seen('b')), 400_000).batch;
  assert.equal(stateOf(late, 'a'), 'failed');
  assert.equal(
    stateOf(run([looked(seen('a', { way: 'shutdown', isActive: false }), seen('b'))], late), 'a'),
    'stopped',
  );
  const waiting = { ...fresh, members: ['c', 'd'].map((name) => memberOf(seen(name, { way: 'shutdown' }))) };
  const { effects } = stepBatch(waiting, looked(seen('c'), seen('d', { way: 'shutdown', isPersistent: false })), 1_000);
  assert.deepEqual(
    effects.map((effect) => [effect.do, 'member' in effect && effect.member.vm.name]),
    [['begin', 'c']],
  );
});

test('a restore counts by the link of the host that its VMs come back to, from wherever they come', () => {
  const h3 = { id: hostId('h3'), name: 'h3' };
  const members = names.map((name, index) => ({
    ...memberOf(seen(name, { host: index % 2 === 0 ? h2 : h3 })),
    to: h1,
  }));
  const vms = members.map(({ vm, from }) => seen(vm.name, { host: from }));
  const { batch, effects } = stepBatch({ ...fresh, kind: 'restore', members }, looked(...vms), 1_000);
  assert.deepEqual(
    [effects.length, batch.pace?.map(({ host, code }) => [host.name, code])],
    [blindAtOnce, [['h1', 'guest-unknown']]],
  );
});

test('one that was shut down for its move goes before others and waits for no link; one that is started uses none', () => {
  const lanes = [{ host: h1, most: 8, bytesPerSecond: 1 }];
  const busy = { at: 1, readings: [{ seconds: 1, bytesPerSecond: 4 * 2 ** 20 }] };
  const vms = [
    seen('a', { way: 'cold', isActive: false }),
    ...['d', 'e'].map((name) => seen(name, { curve: busy, memoryBytes: 2 ** 30 })),
  ];
  const down = { ...memberOf(seen('a', { way: 'cold' })), off: true as const };
  const moving = { ...memberOf(seen('d', { curve: busy })), state: 'moving' as const, curve: busy };
  const members = [moving, memberOf(seen('e', { memoryBytes: 2 ** 30 })), down];
  const { effects } = stepBatch({ ...fresh, members }, { type: 'looked', vms, silent: [], lanes }, 1_000);
  assert.deepEqual(
    effects.map((effect) => 'member' in effect && effect.member.vm.name),
    ['a'],
  );
  const starts = names.map((name) => ({ ...memberOf(seen(name)), way: 'start' as const }));
  const off = names.map((name) => seen(name, { isActive: false }));
  const restored = stepBatch({ ...fresh, kind: 'restore', members: starts }, looked(...off), 1_000);
  assert.equal(restored.effects.length, names.length);
});

test('a note is cut: a refusal has a reason for each of many hosts', () => {
  const long: BatchEvent = { type: 'refused', vm: vmUuid('a'), message: 'no room. '.repeat(1_000) };
  assert.equal(run([looked(seen('a')), long]).members[0]?.note?.length, 300);
});

test('within a blackout period nothing begins but the move of a VM that is down', () => {
  const lanes = [{ host: h1, most: 8, blackout: { until: 9_000, period: 'Mon 00:00-24:00' } }];
  const dark = (from: Batch, ...vms: readonly SeenVm[]) =>
    stepBatch(from, { type: 'looked', vms, silent: [], lanes }, 1_000);
  const held = dark(fresh, seen('a'), seen('b', { way: 'shutdown' }), seen('c', { way: 'cold' }));
  assert.deepEqual(held.effects, []);
  assert.match(
    held.batch.attention ?? '',
    /^h1: nothing begins before 1970.*, for the blackout period Mon 00:00-24:00\.$/,
  );
  const down = { ...memberOf(seen('c', { way: 'cold' })), off: true as const };
  const { effects } = dark({ ...fresh, members: [down] }, seen('c', { way: 'cold', isActive: false }));
  assert.deepEqual(
    effects.map((effect) => effect.do),
    ['begin'],
  );
});

test('what does not fit waits without being tried in vain; a drain that has not begun cannot be tried again', () => {
  const batch = run([looked(seen('a')), { type: 'refused', vm: vmUuid('a'), message: 'no room', waits: true }]);
  assert.deepEqual([stateOf(batch, 'a'), batch.members[0]?.tries, batch.members[0]?.note], ['waiting', 0, 'no room']);
  const scheduled: Batch = { ...fresh, phase: 'scheduled', beginsAt: 50_000 };
  assert.equal(run([looked(seen('a'))], scheduled), scheduled);
  const cancelled = run([{ type: 'cancel-requested', abort: false }], scheduled);
  assert.equal(cancelled.phase, 'cancelled');
  assert.throws(() => run([{ type: 'retry-requested' }], cancelled), /has not begun/);
  const begun = run([{ type: 'due', members: [memberOf(seen('a'))] }], scheduled, 50_000);
  assert.deepEqual([begun.phase, begun.startedAt, stateOf(begun, 'a')], ['running', 50_000, 'waiting']);
});

test('guests are shut down for a cold move one after the other, and none after its cancel', () => {
  const { batch, effects } = stepBatch(fresh, looked(seen('a', { way: 'cold' }), seen('b', { way: 'cold' })), 1_000);
  assert.deepEqual(
    effects.map((effect) => effect.do),
    ['shut-down'],
  );
  const refusal: BatchEvent = { type: 'refused', vm: vmUuid('b'), message: 'It was not asked to shut down.' };
  assert.equal(stateOf(run([{ type: 'cancel-requested', abort: false }, refusal], batch), 'b'), 'held');
});

test('a VM that runs on any of the drained hosts keeps the drain from being done', () => {
  const both = { ...fresh, hosts: [h1, h2] };
  const gone = run([looked(seen('a', { isActive: false })), looked(seen('a', { host: h2 }))], both);
  const back = run([{ type: 'confirmed', active: new Map([[h2.id, new Set([vmUuid('a')])]]) }], gone);
  assert.deepEqual([back.phase, stateOf(back, 'a'), back.members[0]?.from], ['running', 'waiting', h2]);
  const off = { ...fresh, members: [{ ...memberOf(seen('a')), state: 'stays' as const, note: 'It is shut off.' }] };
  const on = run([{ type: 'confirmed', active: new Map([[h1.id, new Set([vmUuid('a')])]]) }], off);
  assert.deepEqual([on.phase, stateOf(on, 'a')], ['running', 'waiting']);
});

test('a transient guest is not shut down: it would be gone', () => {
  const { batch, effects } = stepBatch(fresh, looked(seen('a', { way: 'shutdown', isPersistent: false })), 1_000);
  assert.deepEqual([stateOf(batch, 'a'), effects.filter((effect) => effect.do === 'shut-down')], ['stays', []]);
});

test('what a host that does not answer had is not taken for gone', () => {
  const batch = run([looked(seen('a'))]);
  const { batch: next, effects } = stepBatch(batch, { type: 'looked', vms: [], silent: [h1] }, 2_000);
  assert.deepEqual([stateOf(next, 'a'), effects], ['waiting', []]);
  assert.match(next.attention ?? '', /h1 does not answer/);
});

test('a label that cannot be read leaves the VM running and says so', () => {
  assert.deepEqual(wayOf([]), { way: 'live' });
  assert.deepEqual(wayOf(['ferry.maintenance=suspend']), { way: 'suspend' });
  assert.equal(wayOf(['ferry.maintenance=off']).way, 'leave-running');
  assert.match(wayOf(['ferry.maintenance=off']).wayNote ?? '', /says off.*one of live, suspend/);
});

test('the host is what it was before once the drain is cancelled, and in maintenance once it is done', () => {
  const host: Host = { ...h1, uri: 'x', cluster: 'default', machineUuid: 'm', addedAt: 0 };
  const cordoned: Host = { ...host, service: { state: 'cordoned', since: 1 } };
  const draining = hostAfter(fresh, cordoned, 5);
  assert.equal(draining.service?.state, 'draining');
  assert.equal(hostAfter(fresh, draining, 9), draining);
  assert.equal(hostAfter({ ...fresh, phase: 'cancelled' }, draining, 9).service?.state, 'cordoned');
  assert.deepEqual(hostAfter({ ...fresh, phase: 'cancelled' }, hostAfter(fresh, host, 5), 9), host);
  assert.equal(hostAfter({ ...fresh, phase: 'done' }, draining, 9).service?.state, 'maintenance');
  assert.throws(() => hostAfter({ ...fresh, id: batchId('d2') }, draining, 9), /drained already, by d1/);
  const restore: Batch = { ...fresh, kind: 'restore' };
  assert.equal(hostAfter(restore, cordoned, 9).service, undefined, 'it opens its host');
  assert.equal(hostAfter(restore, cordoned, 9, restore), cordoned, 'and leaves it to its operator from then on');
});

test('whatever happens: never too many at once, and nothing begins once it is cancelled or has ended', () => {
  const vm = fc.constantFrom(...names);
  const event: fc.Arbitrary<BatchEvent | 'look'> = fc.oneof(
    { arbitrary: fc.constant('look' as const), weight: 4 },
    vm.map((name) => ({ type: 'refused' as const, vm: vmUuid(name), message: 'no' })),
    fc
      .record({ name: vm, outcome: fc.constantFrom('succeeded' as const, 'failed' as const, 'cancelled' as const) })
      .map(({ name, outcome }) => ({ type: 'ended' as const, vm: vmUuid(name), outcome, to: h2 })),
    { arbitrary: fc.boolean().map((abort) => ({ type: 'cancel-requested' as const, abort })), weight: 1 },
    fc.constant(nothingThere),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let batch = fresh;
      let now = 0;
      for (const happens of events) {
        now += 7_000;
        const before = batch;
        const member = (uuid: string) => before.members.find((each) => each.vm.uuid === uuid);
        // only what runs ends, and only what waits is refused
        if (happens !== 'look' && happens.type === 'ended' && member(happens.vm)?.state !== 'moving') continue;
        if (happens !== 'look' && happens.type === 'refused' && member(happens.vm)?.state !== 'waiting') continue;
        if (happens !== 'look' && happens.type === 'cancel-requested' && hasEnded(batch)) continue;
        const vms = names.map((name) => seen(name, member(name)?.state === 'moved' ? { host: h2 } : {}));
        const { batch: next, effects } = stepBatch(batch, happens === 'look' ? looked(...vms) : happens, now);
        batch = next;
        const begins = effects.flatMap((effect) => (effect.do === 'begin' ? [effect.member.vm.uuid] : []));
        assert.ok(begins.length === 0 || before.phase === 'running');
        for (const uuid of begins)
          batch = stepBatch(batch, { type: 'began', vm: uuid, migration: migrationId(`m${now}`) }, now).batch;
        assert.ok(batch.members.filter(({ state }) => state === 'moving').length <= blindAtOnce);
        if (hasEnded(before)) assert.equal(batch.phase, before.phase);
        if (batch.phase === 'done') assert.ok(batch.members.every(({ state }) => state === 'moved'));
      }
    }),
  );
});
