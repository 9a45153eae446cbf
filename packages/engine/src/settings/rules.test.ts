/** Rules in a whole engine: what they refuse, warn of and prefer, and which contradict each other. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError, type RuleContent } from '@ferry/core';
import type { Engine } from '../facade.ts';
import type { FakeFleet } from '../fake/fleet.ts';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
const uuid = (n: number): string => `aaaaaaaa-0000-4000-8000-00000000000${n}`;
let clock: ThreeHosts['clock'];
let fleet: FakeFleet;
let stores: ThreeHosts['stores'];
let engine: Engine;

const start = (): Promise<Engine> => engineOver({ clock, fleet, stores });
const soon = () => AbortSignal.timeout(5_000);
beforeEach(async () => {
  ({ clock, fleet, stores, engine } = await threeHosts());
  fleet.run('h1', { uuid: uuid(1), name: 'web1' });
  fleet.run('h2', { uuid: uuid(2), name: 'web2' });
  for (let turn = 0; turn < 1_000 && engine.vms().length < 2; turn += 1) await clock.sleep(10);
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});
const set = (name: string, content: Partial<RuleContent>) =>
  engine.changeRule(name, () => ({ kind: 'apart', strength: 'hard', vms: ['web1', 'web2'], ...content }));
/** The host that is chosen, or the codes of what speaks against it. */
const planned = async (to?: string, vm = 'web1') => {
  try {
    const plan = await engine.planMigration({ vm, ...(to === undefined ? {} : { to }) }, soon());
    return [plan.to.name];
  } catch (error) {
    if (!(error instanceof FerryError)) throw error;
    return error.reasons.map(({ code, host }) => `${host ?? '*'} ${code}`);
  }
};
const refused = (code: string, words: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.code === code && words.test(error.message);

test('a hard rule refuses a host, and one that is on its way counts there; the choice goes where nothing is refused', async () => {
  await set('spread', {});
  assert.deepEqual(await planned('h2'), ['h2 rule-apart']);
  assert.deepEqual(await planned(), ['h3']);
  fleet.next.durationMs = 60_000;
  await engine.startMigration({ vm: 'web2', to: 'h3' }, by);
  assert.deepEqual(await planned(), ['h2 rule-apart', 'h3 rule-apart']);
});

test('of two hosts the one that a soft rule prefers is chosen; the other one comes with a warning', async () => {
  await engine.labelHost('h3', { add: ['zone=b'], remove: [] });
  await engine.labelVm('web1', { add: ['tier=db'], remove: [] });
  await set('zone', { kind: 'on-hosts', strength: 'soft', vms: [], vmSelector: 'tier=db', hostSelector: 'zone=b' });
  assert.deepEqual(await planned(), ['h3']);
  const there = await engine.planMigration({ vm: 'web1', to: 'h2' }, soon());
  assert.equal(there.to.name, 'h2');
  assert.match(JSON.stringify(there), /rule zone keeps web1 to hosts that h2 is not among \(soft\)/);
  await engine.labelHost('h3', { add: [], remove: ['zone=b'] });
  assert.deepEqual(engine.rule('zone').warnings, ['The selector zone=b matches no host.']);
});

test('a pinned VM does not move; rules outlive the control plane, and go when they are deleted', async () => {
  await set('pin', { kind: 'pinned', vms: ['web1'] });
  assert.deepEqual(await planned('h3'), ['* rule-pinned']);
  await engine.close();
  engine = await start();
  assert.deepEqual(await planned('h3'), ['* rule-pinned']);
  await engine.removeRule('pin');
  assert.deepEqual(await planned('h3'), ['h3']);
  assert.throws(() => engine.rule('pin'), refused('rule-unknown', /no rule "pin"/));
});

test('a group whose host died is started elsewhere one by one, and not away from those that went first', async () => {
  fleet.run('h1', { uuid: uuid(3), name: 'web3' });
  for (let turn = 0; turn < 1_000 && engine.vms().length < 3; turn += 1) await clock.sleep(10);
  await set('pair', { kind: 'together', vms: ['web1', 'web3'] });
  assert.deepEqual(await planned('h2'), ['h2 rule-together']);
  const h1 = fleet.hosts.get('h1') ?? assert.fail();
  h1.reachable = false;
  h1.drop();
  for (let turn = 0; turn < 1_000 && engine.host('h1').state === 'connected'; turn += 1) await clock.sleep(10);
  const rescue = { statement: 'it burned' };
  const plan = async (vm: string, to: string) =>
    engine.planMigration({ vm, to, rescue }, soon()).then(
      () => 'fine',
      (error: unknown) => (error instanceof FerryError ? error.reasons.map(({ code }) => code).join() : String(error)),
    );
  assert.doesNotMatch(await plan('web1', 'h2'), /rule-/);
});

test('hard rules that contradict each other are refused with their names, also when both are set at once', async () => {
  await set('spread', {});
  await assert.rejects(set('pair', { kind: 'together' }), refused('rules-contradict', /pair and spread contradict/));
  await set('pair', { kind: 'together', strength: 'soft' });
  await set('only', { kind: 'on-hosts', vms: ['web1'], hosts: ['h1'] });
  await assert.rejects(
    set('not', { kind: 'off-hosts', vms: ['web1'], hosts: ['h1'] }),
    refused('rules-contradict', /not and only contradict each other: no host is left to web1/),
  );
  const nobody = { vms: [], vmSelector: 'tier=none' };
  await set('far', nobody);
  await assert.rejects(
    set('near', { ...nobody, kind: 'together' }),
    refused('rules-contradict', /near and far contradict each other: a VM with tier=none and another VM with/),
  );
  await engine.removeRule('far');
  await engine.removeRule('spread');
  const both = await Promise.allSettled([set('a', {}), set('b', { kind: 'together' })]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await assert.rejects(set('bad', { vmSelector: 'tier in (' }), refused('rule-invalid', /The rule bad: .*tier in \(/));
  assert.deepEqual(
    engine.rules().map(({ rule }) => rule.name),
    [...(both[0].status === 'fulfilled' ? ['a'] : ['b']), 'only', 'pair'],
  );
});
