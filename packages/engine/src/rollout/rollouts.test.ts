/** Rollouts over simulated hosts in virtual time: what is emptied when, what stops them, and what a restart makes of it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type Rollout } from '@ferry/core';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';
import type { RolloutRequest } from './rollouts.ts';

const by = { actor: 'operator', client: 'test' };
let world: ThreeHosts;
const until = async (is: () => boolean, what: string): Promise<void> => {
  for (let turn = 0; turn < 60_000; turn += 1) {
    if (is()) return;
    await world.clock.sleep(10);
  }
  assert.fail(`never: ${what}`);
};
const begin = (hosts: readonly string[], more: Omit<RolloutRequest, 'hosts'> = {}): Promise<Rollout> =>
  world.engine.rollouts.begin({ hosts, ...more }, by);
const now = ({ id }: Rollout): Rollout => world.engine.rollouts.find(id);
const states = (rollout: Rollout): readonly string[] => now(rollout).hosts.map(({ state }) => state);
const serviceOf = (name: string): string => world.engine.host(name).host.service?.state ?? 'schedulable';
const runningOn = (name: string): number =>
  [...(world.fleet.hosts.get(name)?.domains.values() ?? [])].filter(({ state }) => state === 'running').length;
const waitsForOperator = (rollout: Rollout, name: string): Promise<void> =>
  until(() => new RegExp(`^${name} is empty`).test(now(rollout).attention ?? ''), `${name} is empty`);
async function rests(rollout: Rollout): Promise<Rollout> {
  await until(() => !['running', 'cancelling'].includes(now(rollout).phase), `${rollout.name} rests`);
  return now(rollout);
}
const refusedWith = (code: string, says: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.code === code && says.test(error.message);
const work = { program: '/hooks/work' };
const asked = (): readonly string[] =>
  world.hooks.asked.map(({ program, document }) => `${program} ${(document['host'] as { name: string }).name}`);
/** The host is gone for a while, and back. */
async function reboot(name: string): Promise<void> {
  const host = world.fleet.hosts.get(name);
  assert.ok(host !== undefined);
  host.reachable = false;
  host.drop();
  await until(() => world.engine.host(name).state === 'unreachable', `${name} is gone`);
  host.reachable = true;
  await until(() => world.engine.host(name).state === 'connected', `${name} is back`);
}

beforeEach(async () => {
  world = await threeHosts();
  for (const [index, on] of ['h1', 'h1', 'h2'].entries())
    world.fleet.run(on, { uuid: `aaaaaaaa-0000-4000-8000-${String(index).padStart(12, '0')}`, name: `vm${index}` });
  await until(() => world.engine.vms().length === 3, 'three VMs');
});
afterEach(async () => {
  await world.engine.close();
  world.clock[Symbol.dispose]();
});

test('one host after the other is emptied, waits for the operator, comes back and has its VMs again', async () => {
  const begun = await begin(['h1', 'h2']);
  assert.match(begun.name, /^rollout-h1\+1-/);
  await waitsForOperator(begun, 'h1');
  assert.deepEqual([states(begun), runningOn('h1'), serviceOf('h1')], [['working', 'waiting'], 0, 'maintenance']);
  assert.equal(serviceOf('h2'), 'schedulable');
  await world.engine.rollouts.goOn(begun.id);
  await waitsForOperator(begun, 'h2');
  assert.deepEqual([states(begun), runningOn('h1') >= 2, runningOn('h2')], [['done', 'working'], true, 0]);
  await world.engine.rollouts.goOn(begun.name);
  const done = await rests(begun);
  assert.deepEqual([done.phase, states(done), done.attention], ['done', ['done', 'done'], undefined]);
  assert.deepEqual(
    [runningOn('h1'), runningOn('h2'), serviceOf('h1'), serviceOf('h2')],
    [2, 1, 'schedulable', 'schedulable'],
  );
});

test('a hook that cannot be called is said before a host is emptied for it', async () => {
  world.hooks.problems.set('/hooks/work', '/hooks/work is not executable: run "chmod +x /hooks/work"');
  await assert.rejects(begin(['h1'], { work }), refusedWith('rollout-refused', /cannot be called: .*chmod \+x/));
  assert.deepEqual([world.engine.rollouts.all(), runningOn('h1'), serviceOf('h1')], [[], 2, 'schedulable']);
});

test('a hook works on each host once; only hosts of which the other hook agrees have a turn', async () => {
  const onlyIf = { program: '/hooks/needed' };
  world.hooks.answers.set('/hooks/needed', { result: 'refused', message: 'same kernel' });
  const begun = await begin(['h1'], { work, onlyIf });
  const none = await rests(begun);
  assert.deepEqual([none.phase, none.hosts[0]?.state, runningOn('h1')], ['done', 'skipped', 2]);
  assert.match(none.hosts[0]?.note ?? '', /not needed: same kernel/);
  world.hooks.answers.delete('/hooks/needed');
  const done = await rests(await begin(['h1', 'h2'], { work, onlyIf }));
  assert.equal(done.phase, 'done', JSON.stringify(done));
  assert.deepEqual(asked(), [
    '/hooks/needed h1',
    '/hooks/needed h1',
    '/hooks/work h1',
    '/hooks/needed h2',
    '/hooks/work h2',
  ]);
  assert.deepEqual([runningOn('h1'), runningOn('h2')], [2, 1]);
});

test('it stops at the first host that does not come back, and the next one is not touched; continue waits again', async () => {
  const begun = await begin(['h1', 'h2'], { work, returnMs: 60_000, reboots: true });
  const stopped = await rests(begun);
  assert.deepEqual(
    [stopped.phase, states(stopped), serviceOf('h1')],
    ['stopped', ['returning', 'waiting'], 'maintenance'],
  );
  assert.match(stopped.attention ?? '', /h1 is not back as expected after 60 s: h1 has not lost its connection/);
  assert.deepEqual([runningOn('h2') >= 1, serviceOf('h2')], [true, 'schedulable']);
  await world.engine.rollouts.goOn(begun.id);
  await until(() => states(begun)[1] === 'returning', 'h2 is worked on');
  await reboot('h2');
  assert.equal((await rests(begun)).phase, 'done');
  assert.deepEqual([runningOn('h1'), runningOn('h2')], [2, 1]);
});

test('a host with another version than expected gets no VMs back', async () => {
  const stopped = await rests(await begin(['h1'], { work, returnMs: 5_000, libvirtVersion: '99.0.0' }));
  assert.equal(stopped.phase, 'stopped');
  assert.match(stopped.attention ?? '', /h1 has libvirt .*, and 99\.0\.0 is expected/);
  assert.deepEqual([runningOn('h1'), serviceOf('h1')], [0, 'maintenance']);
});

test('a hook that fails stops it; VMs cannot be brought to a host that is worked on', async () => {
  world.hooks.answers.set('/hooks/work', 'hangs');
  const begun = await begin(['h1', 'h2'], { work: { ...work, timeoutMs: 60_000 } });
  await until(() => states(begun)[0] === 'working', 'the hook works');
  await assert.rejects(
    world.engine.batches.restore('h1', by),
    refusedWith('host-in-rollout', /h1 is working in rollout-/),
  );
  await assert.rejects(world.engine.uncordonHosts(['h1']), refusedWith('host-in-rollout', /h1 is working/));
  await assert.rejects(world.engine.rollouts.goOn(begun.id), refusedWith('rollout-not-waiting', /h1 is working/));
  const stopped = await rests(begun);
  assert.match(stopped.attention ?? '', /The hook for h1 did not end in time: it had 60 s.*ferry rollout continue/);
  assert.deepEqual([states(stopped), asked()], [['working', 'waiting'], ['/hooks/work h1']]);
  await world.engine.rollouts.cancel(begun.id);
  const over = await rests(begun);
  assert.match(over.attention ?? '', /^VMs of h1 may still be elsewhere/);
  assert.match(over.hosts[0]?.note ?? '', /^The rollout was cancelled\. The hook for h1 did not end in time/);
});

test('after a restart a hook that worked on a host is not called again; the operator says how it ended', async () => {
  world.hooks.answers.set('/hooks/work', 'hangs');
  const begun = await begin(['h1'], { work });
  await until(() => asked().length === 1, 'the hook works');
  await world.engine.close();
  world = { ...world, engine: await engineOver(world) };
  const stopped = await rests(begun);
  assert.match(stopped.attention ?? '', /How the hook for h1 ended is not known.*not called again/);
  await world.engine.rollouts.goOn(begun.id);
  assert.equal((await rests(begun)).phase, 'done');
  assert.deepEqual([asked().length, runningOn('h1')], [1, 2]);
});

test('it goes on where it was after the control plane was stopped in the middle of a drain', async () => {
  world.fleet.next.durationMs = 5_000;
  const begun = await begin(['h1']);
  await until(() => world.fleet.leaving('h1') > 0, 'they move');
  await world.engine.close();
  world = { ...world, engine: await engineOver(world) };
  await waitsForOperator(begun, 'h1');
  assert.equal(world.engine.batches.all().length, 1);
});

test('in upgrade mode no VM goes to a host that is still old, and all come back at the end', async () => {
  const begun = await begin(['h1', 'h2'], { upgrade: true });
  assert.deepEqual([serviceOf('h1') === 'schedulable', serviceOf('h2') === 'schedulable'], [false, false]);
  await waitsForOperator(begun, 'h1');
  assert.deepEqual([runningOn('h1'), runningOn('h2'), runningOn('h3')], [0, 1, 2]);
  await world.engine.rollouts.goOn(begun.id);
  await waitsForOperator(begun, 'h2');
  assert.deepEqual([states(begun), runningOn('h2'), serviceOf('h1')], [['returned', 'working'], 0, 'schedulable']);
  await world.engine.rollouts.goOn(begun.id);
  assert.equal((await rests(begun)).phase, 'done');
  assert.deepEqual([runningOn('h1'), runningOn('h2'), runningOn('h3')], [2, 1, 0]);
  assert.deepEqual([serviceOf('h1'), serviceOf('h2')], ['schedulable', 'schedulable']);
});

test('cancel ends the drain that runs, opens what was held back, and begins nothing more', async () => {
  world.fleet.next.durationMs = 5_000;
  const begun = await begin(['h1', 'h2'], { upgrade: true });
  await until(() => world.fleet.leaving('h1') > 0, 'they move');
  await world.engine.rollouts.cancel(begun.id);
  const over = await rests(begun);
  assert.deepEqual([over.phase, states(over)], ['cancelled', ['held', 'held']]);
  assert.match(over.attention ?? '', /VMs of h1 may still be elsewhere/);
  assert.deepEqual([serviceOf('h1'), serviceOf('h2')], ['schedulable', 'schedulable']);
  await world.clock.sleep(60_000);
  assert.equal(world.engine.batches.all().length, 1);
  await assert.rejects(world.engine.rollouts.cancel(begun.id), refusedWith('rollout-finished', /has ended already/));
});

test('a drain that is cancelled under it, or that leaves VMs, stops it; continue tries the same drain again', async () => {
  await world.engine.labelVm('vm0', { add: ['ferry.maintenance=leave-running'], remove: [] });
  const begun = await begin(['h1', 'h2']);
  const stopped = await rests(begun);
  assert.match(stopped.attention ?? '', /h1 is not empty: 1 VM\(s\) did not leave: vm0/);
  await world.engine.labelVm('vm0', { add: [], remove: ['ferry.maintenance=leave-running'] });
  await world.engine.rollouts.goOn(begun.id);
  await waitsForOperator(begun, 'h1');
  assert.deepEqual([world.engine.batches.all().length, runningOn('h1')], [1, 0]);
  await world.engine.rollouts.goOn(begun.id);
  await until(() => states(begun)[1] === 'draining', 'the next one');
  await until(() => now(begun).hosts[1]?.drain !== undefined, 'its drain');
  await world.engine.batches.cancel(now(begun).hosts[1]?.drain ?? '', false);
  assert.match((await rests(begun)).attention ?? '', /The drain of h2 was cancelled/);
  assert.ok(runningOn('h1') >= 2, 'its own are back');
});

test('a host that had nothing is in service again, and what an older drain moved stays', async () => {
  await world.engine.batches.drain({ hosts: ['h1'], force: false }, by);
  await until(() => serviceOf('h1') === 'maintenance', 'it is empty');
  await world.engine.uncordonHosts(['h1']);
  const done = await rests(await begin(['h1'], { work }));
  assert.deepEqual([done.phase, done.hosts[0]?.note, serviceOf('h1')], ['done', 'No VM had left it.', 'schedulable']);
  assert.equal(runningOn('h1'), 0);
});

test('what cannot be rolled out is refused in a sentence, and nothing has begun', async () => {
  await world.engine.labelHost('h1', { add: ['zone=a'], remove: [] });
  for (const name of ['h1', 'h2', 'h3']) await world.engine.labelHost(name, { add: ['rack=1'], remove: [] });
  const refusals: readonly [Promise<Rollout>, string, RegExp][] = [
    [begin(['h9']), 'host-unknown', /no host "h9"/],
    [begin(['h1', 'h1']), 'rollout-refused', /h1 is named twice/],
    [begin(['h1'], { selector: 'zone=a' }), 'rollout-refused', /h1 is named twice/],
    [begin([], { selector: 'rack=1' }), 'rollout-refused', /selects all 3 hosts of the fleet: name the hosts/],
    [begin([], { selector: 'rack=2' }), 'rollout-refused', /No host has the labels "rack=2"/],
    [begin(['h1'], { work: { program: 'reboot' } }), 'rollout-refused', /"reboot" is not an absolute path/],
    [begin(['h1', 'h2', 'h3'], { upgrade: true }), 'drain-last-host', /no host for the VMs of h1, h2, h3/],
  ];
  for (const [begun, code, says] of refusals) await assert.rejects(begun, refusedWith(code, says));
  const gone = world.fleet.hosts.get('h2');
  assert.ok(gone !== undefined);
  gone.reachable = false;
  gone.drop();
  await until(() => world.engine.host('h2').state === 'unreachable', 'h2 is gone');
  await assert.rejects(begin(['h1', 'h2']), refusedWith('host-unreachable', /h2 does not answer/));
  assert.deepEqual([world.engine.rollouts.all(), world.engine.batches.all(), serviceOf('h1')], [[], [], 'schedulable']);

  const both = await Promise.allSettled([begin(['h1']), begin(['h1'])]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(begin(['h1']), refusedWith('host-in-rollout', /h1 belongs to rollout-h1-/));
});

test('cancelled while its hook works, the host stays closed and belongs to the rollout until the hook has ended', async () => {
  world.hooks.answers.set('/hooks/work', 'hangs');
  const begun = await begin(['h1', 'h2'], { work: { ...work, timeoutMs: 60_000 } });
  await until(() => asked().length === 1, 'the hook works');
  await world.engine.rollouts.cancel(begun.id);
  await until(() => /hook still works on h1/.test(now(begun).attention ?? ''), 'it is waited for');
  await assert.rejects(world.engine.batches.restore('h1', by), refusedWith('host-in-rollout', /h1 is working/));
  await assert.rejects(begin(['h1']), refusedWith('host-in-rollout', /h1 belongs to/));
  const over = await rests(begun);
  assert.deepEqual([over.phase, states(over), asked().length], ['cancelled', ['held', 'held'], 1]);
  assert.match(over.hosts[0]?.note ?? '', /its hook ended: timed-out/);
  await world.engine.batches.restore('h1', by);
  await until(() => runningOn('h1') === 2, 'they are back');
});

test('a connection that is lost while the hook works is no reboot', async () => {
  world.hooks.answers.set('/hooks/work', 'hangs');
  const begun = await begin(['h1'], { work: { ...work, timeoutMs: 3_600_000 }, reboots: true, returnMs: 60_000 });
  await until(() => asked().length === 1, 'the hook works');
  await reboot('h1');
  await world.engine.close();
  world = { ...world, engine: await engineOver(world) };
  const stopped = await rests(begun);
  assert.match(stopped.attention ?? '', /continue .* says that the work on h1 is done/);
  await world.engine.rollouts.goOn(begun.id);
  await until(() => /has not lost its connection/.test(now(begun).attention ?? ''), 'it is waited for');
  await reboot('h1');
  assert.equal((await rests(begun)).phase, 'done');
});

test('cancelled, and Ferry is restarted before the hook has ended: that it may still work is said', async () => {
  world.hooks.answers.set('/hooks/work', 'hangs');
  const begun = await begin(['h1'], { work: { ...work, timeoutMs: 3_600_000 } });
  await until(() => asked().length === 1, 'the hook works');
  await world.engine.rollouts.cancel(begun.id);
  await until(() => /hook still works on h1/.test(now(begun).attention ?? ''), 'it is waited for');
  await world.engine.close();
  world = { ...world, engine: await engineOver(world) };
  const over = await rests(begun);
  assert.match(over.attention ?? '', /hook may still work on h1: see to that first/);
  assert.match(over.hosts[0]?.note ?? '', /how its hook ended is not known/);
});

test('of an address that did not answer in time nobody knows whether the work goes on', async () => {
  world.hooks.answers.set('', 'hangs');
  const byAddress = { url: 'https://work.example', secretFile: '/hooks/key', timeoutMs: 60_000 };
  const begun = await begin(['h1'], { work: byAddress });
  assert.match((await rests(begun)).attention ?? '', /did not end in time/);
  await world.engine.rollouts.cancel(begun.id);
  assert.match((await rests(begun)).attention ?? '', /hook may still work on h1: see to that first/);
});

test('the drain of a rollout is kept until it has ended, however many there were since', async () => {
  const begun = await begin(['h1']);
  await waitsForOperator(begun, 'h1');
  for (let count = 0; count < 502; count += 1) {
    const drain = await world.engine.batches.drain({ hosts: ['h3'], force: false }, by);
    await world.engine.batches.cancel(drain.id, false).catch(() => undefined);
    await until(() => serviceOf('h3') !== 'draining', 'it has ended');
    if (serviceOf('h3') === 'maintenance') await world.engine.uncordonHosts(['h3']);
  }
  const drains = world.engine.batches.all();
  assert.ok(drains.length <= 502 && drains.some(({ id }) => id === now(begun).hosts[0]?.drain));
  await world.engine.rollouts.goOn(begun.id);
  assert.deepEqual([(await rests(begun)).phase, runningOn('h1')], ['done', 2]);
});
