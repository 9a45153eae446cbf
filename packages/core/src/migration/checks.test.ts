import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hostId, vmUuid } from '../ids.ts';
import type { HostView, Vm } from '../model.ts';
import { admissible } from './admission.ts';
import { checkMigration, type CheckInput } from './checks.ts';

const gib = 1_073_741_824;
const host = (name: string, more: Partial<HostView> = {}, uri = `qemu+tcp://${name}/system`): HostView => ({
  host: { id: hostId(name), name, uri, cluster: 'default', machineUuid: name, addedAt: 0 },
  state: 'connected',
  facts: { hostname: name, machineUuid: name, libvirtVersion: '9.0.0', qemuVersion: '7.2.0', cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 }, memoryBytes: 8 * gib },
  freeMemoryBytes: 4 * gib,
  ...more,
});
const vm: Vm = {
  uuid: vmUuid('a'), name: 'web', hostId: hostId('h1'), state: 'running', memoryBytes: gib, vcpus: 1, disks: [],
  instances: [{ hostId: hostId('h1'), role: 'authoritative', instance: { uuid: vmUuid('a'), name: 'web', state: 'running', reason: 'booted', persistent: true, memoryBytes: gib, vcpus: 1, disks: [] } }],
};
const check = (input: Partial<CheckInput>) => checkMigration({ vm, hosts: [host('h1'), host('h2')], request: {}, loadOf: () => 0, ...input });
const chosen = (input: Partial<CheckInput>): string => {
  const result = check(input);
  assert.ok(result.kind === 'chosen', JSON.stringify(result));
  return result.to.name;
};
const codes = (input: Partial<CheckInput>): readonly string[] => {
  const result = check(input);
  assert.ok(result.kind === 'refused');
  return result.reasons.map((reason) => `${reason.host ?? '*'} ${reason.code}`);
};

test('chooses the host with the fewest migrations, then the most free memory', () => {
  const hosts = [host('h1'), host('h2', { freeMemoryBytes: 2 * gib }), host('h3', { freeMemoryBytes: 3 * gib })];
  assert.equal(chosen({ hosts }), 'h3');
  assert.equal(chosen({ hosts, loadOf: (id) => (id === 'h3' ? 1 : 0) }), 'h2');
});

test('"to" is this one or none, "preferHost" is tried first', () => {
  const hosts = [host('h1'), host('h2', { state: 'unreachable', stateDetail: 'no route.' }), host('h3')];
  assert.deepEqual(codes({ hosts, request: { to: 'h2' } }), ['h2 target-unreachable']);
  assert.equal(chosen({ hosts, request: { preferHost: 'h2' } }), 'h3');
  assert.equal(chosen({ hosts: [host('h1'), host('h2'), host('h3', { freeMemoryBytes: 8 * gib })], request: { preferHost: 'h2' } }), 'h2');
});

test('every reason of every host is given, not the first one', () => {
  const hosts = [host('h1'), host('h2', { state: 'unreachable' }, 'qemu:///system'), host('h3', { freeMemoryBytes: 1 }), host('h4', {}, 'qemu+tcp://127.0.0.1/system')];
  assert.deepEqual(codes({ hosts, vm: { ...vm, state: 'pm-suspended' }, request: { mode: 'peer-to-peer' } }), ['h1 vm-state', 'h2 target-unreachable', 'h2 target-not-addressable', 'h3 target-memory', 'h4 target-not-addressable']);
});

test('the host it is on, no other host, a source that does not answer, another architecture', () => {
  assert.deepEqual(codes({ request: { to: 'h1' } }), ['h1 target-is-source']);
  assert.deepEqual(codes({ hosts: [host('h1')] }), ['* no-other-host']);
  assert.deepEqual(codes({ hosts: [host('h1', { state: 'unreachable' }), host('h2')] }), ['h1 source-unreachable']);
  const arm = host('h2');
  assert.ok(arm.facts);
  assert.deepEqual(codes({ hosts: [host('h1'), { ...arm, facts: { ...arm.facts, cpu: { ...arm.facts.cpu, arch: 'aarch64' } } }] }), ['h2 target-arch']);
});

test('a name that another VM has on the target: refused, with the one that has it; the VM itself is not in its own way', () => {
  const on = (...domains: readonly { readonly uuid: ReturnType<typeof vmUuid>; readonly name: string }[]) => ({ domainsOn: (id: string) => (id === 'h2' ? domains : []) });
  assert.deepEqual(codes({ ...on({ uuid: vmUuid('b'), name: 'web' }) }), ['h2 target-name-taken']);
  assert.equal(chosen({ ...on({ uuid: vmUuid('b'), name: 'web' }), hosts: [host('h1'), host('h2'), host('h3')] }), 'h3');
  assert.equal(chosen({ ...on({ uuid: vmUuid('a'), name: 'web' }, { uuid: vmUuid('b'), name: 'web2' }) }), 'h2');
});

test('a definition of the VM on the target is replaced only when it is known to be kept, and under the same name', () => {
  const with2 = (state: 'shut-off' | 'running', role: 'parked' | 'conflict', name = 'web', persistent = true): Vm => ({
    ...vm, state,
    instances: [
      ...vm.instances.map((each) => ({ ...each, instance: { ...each.instance, state, persistent } })),
      { hostId: hostId('h2'), role, instance: { uuid: vmUuid('a'), name, state: 'shut-off', reason: 'other', persistent: true, memoryBytes: gib, vcpus: 1, disks: [] } },
    ],
  });
  const parkedOn = new Set([hostId('h2')]);
  assert.deepEqual(codes({ vm: with2('running', 'parked') }), ['h2 target-definition-unknown']);
  assert.equal(chosen({ vm: with2('running', 'parked'), parkedOn }), 'h2');
  assert.equal(chosen({ vm: with2('running', 'parked'), hosts: [host('h1'), host('h2'), host('h3')] }), 'h3');
  assert.equal(chosen({ vm: with2('running', 'parked', 'web', false) }), 'h2', 'the home of a transient guest');
  assert.deepEqual(codes({ vm: with2('running', 'parked', 'old'), parkedOn }), ['h2 target-name-differs']);
  assert.deepEqual(codes({ vm: with2('running', 'parked'), parkedOn, request: { temporary: true } }), ['h2 target-has-definition']);
  assert.deepEqual(codes({ vm: with2('shut-off', 'conflict'), hosts: [host('h1'), host('h2'), host('h3')], request: { to: 'h3' } }), ['* vm-two-definitions']);
});

test('safety: whatever the fleet looks like, the chosen host answers, is another one and has the memory', () => {
  const any = fc.array(fc.record({ state: fc.constantFrom('connected', 'unreachable', 'connecting'), free: fc.nat(4 * gib) } as const), { maxLength: 6 });
  fc.assert(
    fc.property(any, (others) => {
      const hosts = [host('h1'), ...others.map(({ state, free }, index) => host(`h${index + 2}`, { state, freeMemoryBytes: free }))];
      const result = check({ hosts });
      if (result.kind === 'refused') return assert.ok(result.reasons.length > 0);
      const target = hosts.find((each) => each.host.id === result.to.id);
      assert.ok(target?.state === 'connected' && target.host.id !== vm.hostId && (target.freeMemoryBytes ?? 0) >= vm.memoryBytes);
    }),
  );
});

test('admission: oldest first, and never more than the limit leave one host', () => {
  const queued = (id: string, from: string, phase: 'queued' | 'transferring' = 'queued') =>
    ({ id, phase, from: { id: hostId(from), name: from } }) as Parameters<typeof admissible>[0][number];
  const active = [queued('m3', 'h1'), queued('m1', 'h1'), queued('m0', 'h1', 'transferring'), queued('m2', 'h2')];
  assert.deepEqual(admissible(active, 0, 2).map(({ id }) => id), ['m1', 'm2']);
  assert.deepEqual(admissible(active, 0, 1).map(({ id }) => id), ['m2']);
  assert.deepEqual(admissible([{ ...queued('m1', 'h1'), notBefore: 10 }, queued('m3', 'h1')], 9).map(({ id }) => id), ['m3'], 'the next attempt has its time');
});
