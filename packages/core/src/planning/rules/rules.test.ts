import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hostId, vmUuid } from '../../model/ids.ts';
import { ruleKinds, type Rule, type RuleContent } from '../../model/rule.ts';
import { pinReasons, ruleReasons, softRuleReasons, unmetRules } from './judge.ts';
import { rulesFor, vmsMeantBy, type RuleFleet } from './members.ts';
import { contradictions, ruleProblems, ruleWarningsOf } from './problems.ts';

const hosts = ['h1', 'h2', 'h3'].map((name, index) => ({
  id: hostId(name),
  name,
  labels: [`zone=${index === 2 ? 'b' : 'a'}`],
}));
const vmAt = (name: string, host: string) => ({ uuid: vmUuid(`uuid-${name}`), name, hostId: hostId(host) });
const rule = (name: string, content: Partial<RuleContent>): Rule => ({
  name,
  kind: 'apart',
  strength: 'hard',
  ...content,
});
type Moves = Readonly<Record<string, string>>;
/** `moves`: name of a VM to the host that was asked for, or '' for none. */
const fleet = (rules: readonly Rule[], vms: readonly ReturnType<typeof vmAt>[], moves: Moves = {}): RuleFleet => ({
  rules,
  labelsOf: (uuid) => (uuid === 'uuid-db1' || uuid === 'uuid-db2' ? ['tier=db'] : []),
  hosts,
  vmsOf: (each) => vms.filter((vm) => vmsMeantBy(each)(vm, vm.name.startsWith('db') ? ['tier=db'] : [])),
  active: Object.entries(moves).map(([name, to]) => ({
    vm: { uuid: vmUuid(`uuid-${name}`), name },
    request: to === '' ? {} : { to },
  })),
});
const nameOf = (id: string): string => id;
/** By host: the codes of the reasons against it. */
const judged = (vm: ReturnType<typeof vmAt>, all: RuleFleet): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    hosts.map((host) => [host.name, ruleReasons(vm, rulesFor(vm, all), host, nameOf).map(({ code }) => code)]),
  );
const web1 = vmAt('web1', 'h1');

test('apart: a host that has another one, or where one is going, is refused with rule, VM and host', () => {
  const apart = rule('spread', { vms: ['web1', 'web2', 'web3'] });
  const vms = [web1, vmAt('web2', 'h2'), vmAt('web3', 'h1')];
  assert.deepEqual(judged(web1, fleet([apart], vms)), { h1: ['rule-apart'], h2: ['rule-apart'], h3: [] });
  const [reason] = ruleReasons(web1, rulesFor(web1, fleet([apart], vms)), hosts[1] ?? assert.fail(), nameOf);
  assert.match(reason?.message ?? '', /rule spread keeps web1 apart from web2, which is there \(h2\)/);
  assert.match(reason?.remedy ?? '', /ferry rule set spread --soft/);
  // it counts where it is until it has left, and where it goes
  assert.deepEqual(judged(web1, fleet([apart], [web1, vmAt('web2', 'h2')], { web2: 'h3' })), {
    h1: [],
    h2: ['rule-apart'],
    h3: ['rule-apart'],
  });
});

test('together: not away from the others, but to where most of them are; one on its way counts there', () => {
  const together = rule('pair', { kind: 'together', vmSelector: 'tier=db' });
  const db1 = vmAt('db1', 'h1');
  assert.deepEqual(judged(db1, fleet([together], [db1, vmAt('db2', 'h1')])), {
    h1: [],
    h2: ['rule-together'],
    h3: ['rule-together'],
  });
  assert.deepEqual(judged(db1, fleet([together], [db1, vmAt('db2', 'h2')])), {
    h1: ['rule-together'],
    h2: [],
    h3: ['rule-together'],
  });
  assert.deepEqual(judged(db1, fleet([together], [db1, vmAt('db2', 'h1')], { db2: 'h3' })), {
    h1: ['rule-together'],
    h2: ['rule-together'],
    h3: [],
  });
  const open = fleet([together], [db1, vmAt('db2', 'h1')], { db2: '' });
  assert.deepEqual(judged(db1, open), { h1: [], h2: [], h3: [] }, 'the other one follows');
  const pair = fleet([together], [db1, vmAt('db2', 'h1')]);
  const drained = hosts.map((host) =>
    host.name === 'h1' ? { ...host, service: { state: 'draining' as const, since: 0 } } : host,
  );
  assert.deepEqual(judged(db1, { ...pair, hosts: drained }), { h1: [], h2: [], h3: [] }, 'all leave a drained host');
});

test('hosts by name and by label; a pinned VM has nowhere to go', () => {
  const rules = [
    rule('zone-a', { kind: 'on-hosts', vms: ['web1'], hostSelector: 'zone=a' }),
    rule('not-h2', { kind: 'off-hosts', vms: [web1.uuid], hosts: ['h2'] }),
    rule('pin', { kind: 'pinned', vms: ['web1'] }),
  ];
  const all = fleet(rules, [web1]);
  assert.deepEqual(judged(web1, all), { h1: [], h2: ['rule-off-hosts'], h3: ['rule-on-hosts'] });
  assert.deepEqual(
    pinReasons(web1, rulesFor(web1, all), nameOf).map(({ code, message }) => `${code}: ${message}`),
    ['rule-pinned: The rule pin pins web1 to h1.'],
  );
  assert.deepEqual(rulesFor(vmAt('other', 'h1'), all), [], 'they do not speak of it');
});

test('soft rules refuse nothing; they warn, and the host that breaks fewer of them is better', () => {
  const vms = [web1, vmAt('web2', 'h2'), vmAt('web3', 'h2'), vmAt('web4', 'h3')];
  const soft = rule('spread', { strength: 'soft', vms: ['web1', 'web2', 'web3', 'web4'] });
  const facts = rulesFor(web1, fleet([soft], vms));
  assert.deepEqual(judged(web1, fleet([soft], vms)), { h1: [], h2: [], h3: [] });
  assert.deepEqual(
    hosts.map((host) => unmetRules(facts, host)),
    [0, 2, 1],
  );
  assert.deepEqual(
    hosts.map((host) => softRuleReasons(web1, facts, host, nameOf).length),
    [0, 1, 1],
  );
});

test('what is wrong with a rule by itself', () => {
  const wrong = (content: Partial<RuleContent>) => ruleProblems(rule('r', content)).join(' ');
  assert.match(wrong({}), /names no VM/);
  assert.match(wrong({ vms: ['a', 'a'] }), /names one VM/);
  assert.match(wrong({ kind: 'on-hosts', vms: ['a'] }), /names no host/);
  assert.match(wrong({ vms: ['a', 'b'], hosts: ['h1'] }), /does not speak of/);
  assert.match(wrong({ kind: 'pinned', strength: 'soft', vms: ['a'] }), /never moves/);
  assert.match(wrong({ vmSelector: 'tier=(' }), /is not understood at "tier=\("/);
  assert.equal(wrong({ vms: ['a', 'b'] }), '');
});

const told = (rules: readonly Rule[]) =>
  contradictions(
    rules.map((each) => ({ rule: each, vms: each.vms ?? [] })),
    hosts,
    nameOf,
  );

test('contradictions are told with the names of the rules', () => {
  const pair = ['a', 'b'];
  const together = rule('t', { kind: 'together', vms: pair });
  assert.match(told([together, rule('s', { vms: pair })]).join(), /The rules t and s contradict.*a and b/);
  assert.deepEqual(told([together, rule('s', { strength: 'soft', vms: pair })]), []);
  assert.deepEqual(told([together, rule('s', { vms: ['a', 'c'] })]), []);
  assert.match(
    told([together, rule('u', { kind: 'together', vms: ['b', 'c'] }), rule('s', { vms: ['a', 'c'] })]).join(),
    /rules t, u, s contradict.*a and c/,
  );
  const on = rule('on', { kind: 'on-hosts', vms: ['a'], hosts: ['h1', 'h2'] });
  const off = rule('off', { kind: 'off-hosts', vms: ['a'], hosts: ['h1', 'h2', 'h3'] });
  assert.match(told([on, off]).join(), /The rules on and off contradict.*no host is left to a/);
  assert.deepEqual(told([on, { ...off, hosts: ['h1'] }]), []);
  assert.match(
    told([on, rule('on3', { kind: 'on-hosts', vms: ['b'], hosts: ['h3'] }), together]).join(),
    /t, on, on3 contradict/,
  );
  assert.deepEqual(told([on, { ...off, hosts: ['unknown'] }]), [], 'a rule that means no host says nothing yet');
});

test('what means nobody is a warning', () => {
  const nobody = { vms: 0, isVm: () => false };
  assert.deepEqual(
    ruleWarningsOf(rule('r', { kind: 'on-hosts', vmSelector: 'tier=x', hostSelector: 'zone=x' }), nobody, hosts),
    ['The selector tier=x matches no VM.', 'The selector zone=x matches no host.'],
  );
  assert.deepEqual(ruleWarningsOf(rule('r', { vms: ['a'] }), nobody, hosts), ['There is no VM a in the fleet.']);
  const one = rule('r', { kind: 'on-hosts', vms: ['web1'], hosts: ['h1'] });
  assert.match(ruleWarningsOf(one, { vms: 1, isVm: () => true }, hosts).join(), /One host only/);
});

test('property: a host that no hard rule refuses breaks none, and rules that contradict nothing leave the VM a host', () => {
  const name = fc.constantFrom('web1', 'web2', 'web3');
  const host = fc.constantFrom('h1', 'h2', 'h3');
  const content = fc.record({
    kind: fc.constantFrom(...ruleKinds.filter((kind) => kind !== 'pinned')),
    vms: fc.uniqueArray(name, { minLength: 2, maxLength: 3 }),
    hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 2 }),
  });
  fc.assert(
    fc.property(fc.array(content, { maxLength: 4 }), fc.tuple(host, host), (contents, [second, third]) => {
      const rules = contents.map((each, index) => rule(`r${index}`, each));
      const vms = [web1, vmAt('web2', second), vmAt('web3', third)];
      const facts = rulesFor(web1, fleet(rules, vms));
      for (const target of hosts) {
        if (ruleReasons(web1, facts, target, nameOf).length > 0) continue;
        for (const each of rules.filter(({ vms: named = [] }) => named.includes('web1'))) {
          const others = vms.filter((vm) => vm !== web1 && each.vms?.includes(vm.name) === true);
          const there = others.filter((vm) => vm.hostId === target.id).length;
          if (each.kind === 'apart') assert.equal(there, 0);
          if (each.kind === 'together') assert.ok(there > 0 || target.id === web1.hostId || others.length === 0);
          if (each.kind === 'on-hosts') assert.ok(each.hosts?.includes(target.name));
          if (each.kind === 'off-hosts') assert.ok(each.hosts?.includes(target.name) !== true);
        }
      }
      const onlyHosts = rules.filter(({ kind }) => kind === 'on-hosts' || kind === 'off-hosts');
      const refusedAll = hosts.every(
        (target) => ruleReasons(web1, rulesFor(web1, fleet(onlyHosts, vms)), target, nameOf).length > 0,
      );
      assert.equal(refusedAll && told(onlyHosts).length === 0, false);
    }),
  );
});
