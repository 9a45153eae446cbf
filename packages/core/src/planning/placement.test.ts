import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { CpuThere } from '../model/cpu.ts';
import type { HostView } from '../model/host.ts';
import { hostId, vmUuid } from '../model/ids.ts';
import type { Vm } from '../model/vm.ts';
import { presets } from '../policy/presets.ts';
import { noFacts, type CheckInput } from './check-input.ts';
import { checkMigration } from './placement.ts';
import { noNeeds } from './definition.ts';
import { changedMeanwhile } from './meanwhile.ts';
import type { SecretFacts } from './secrets.ts';

const gib = 1_073_741_824;
const host = (name: string, more: Partial<HostView> = {}, uri = `qemu+tcp://${name}/system`): HostView => ({
  host: { id: hostId(name), name, uri, cluster: 'default', machineUuid: name, addedAt: 0 },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion: '9.0.0',
    qemuVersion: '7.2.0',
    cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
    memoryBytes: 8 * gib,
  },
  freeMemoryBytes: 4 * gib,
  ...more,
});
const vm: Vm = {
  uuid: vmUuid('a'),
  name: 'web',
  hostId: hostId('h1'),
  state: 'running',
  memoryBytes: gib,
  vcpus: 1,
  disks: [],
  instances: [
    {
      hostId: hostId('h1'),
      role: 'authoritative',
      instance: {
        uuid: vmUuid('a'),
        name: 'web',
        state: 'running',
        reason: 'booted',
        persistent: true,
        memoryBytes: gib,
        vcpus: 1,
        disks: [],
      },
    },
  ],
};
const check = (input: Partial<CheckInput>) =>
  checkMigration({ vm, hosts: [host('h1'), host('h2')], request: {}, loadOf: () => 0, ...input });
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
  assert.equal(
    chosen({
      hosts: [host('h1'), host('h2'), host('h3', { freeMemoryBytes: 8 * gib })],
      request: { preferHost: 'h2' },
    }),
    'h2',
  );
});

test('every reason of every host is given, not the first one', () => {
  const hosts = [
    host('h1'),
    host('h2', { state: 'unreachable' }, 'qemu:///system'),
    host('h3', { freeMemoryBytes: 1 }),
    host('h4', {}, 'qemu+tcp://127.0.0.1/system'),
  ];
  assert.deepEqual(codes({ hosts, vm: { ...vm, state: 'pm-suspended' }, request: { mode: 'peer-to-peer' } }), [
    'h1 vm-state',
    'h2 target-unreachable',
    'h2 target-not-addressable',
    'h3 target-memory',
    'h4 target-not-addressable',
  ]);
});

test('the host it is on, no other host, a source that does not answer, another architecture', () => {
  assert.deepEqual(codes({ request: { to: 'h1' } }), ['h1 target-is-source']);
  assert.deepEqual(codes({ hosts: [host('h1')] }), ['* no-other-host']);
  assert.deepEqual(codes({ hosts: [host('h1', { state: 'unreachable' }), host('h2')] }), ['h1 source-unreachable']);
  const arm = host('h2');
  assert.ok(arm.facts);
  assert.deepEqual(
    codes({ hosts: [host('h1'), { ...arm, facts: { ...arm.facts, cpu: { ...arm.facts.cpu, arch: 'aarch64' } } }] }),
    ['h2 target-arch'],
  );
});

test('a name that another VM has on the target: refused, with the one that has it; the VM itself is not in its own way', () => {
  const on = (...domains: readonly { readonly uuid: ReturnType<typeof vmUuid>; readonly name: string }[]) => ({
    domainsOn: (id: string) => (id === 'h2' ? domains : []),
  });
  assert.deepEqual(codes({ ...on({ uuid: vmUuid('b'), name: 'web' }) }), ['h2 target-name-taken']);
  assert.equal(
    chosen({ ...on({ uuid: vmUuid('b'), name: 'web' }), hosts: [host('h1'), host('h2'), host('h3')] }),
    'h3',
  );
  assert.equal(chosen({ ...on({ uuid: vmUuid('a'), name: 'web' }, { uuid: vmUuid('b'), name: 'web2' }) }), 'h2');
});

test('a definition that was kept on purpose is not moved as the VM while another host does not answer', () => {
  const off: Vm = { ...vm, state: 'shut-off', instances: [] };
  const hosts = [host('h1'), host('h2'), host('h3', { state: 'unreachable' })];
  const parkedOn = new Set([hostId('h1')]);
  assert.deepEqual(codes({ vm: off, hosts, parkedOn, request: { to: 'h2' } }), ['* vm-parked']);
  assert.equal(chosen({ vm: off, hosts, parkedOn: new Set([hostId('h3')]), request: { to: 'h2' } }), 'h2');
  assert.equal(chosen({ vm: off, parkedOn }), 'h2', 'all answer: the other one is gone');
  const removed = check({ vm: off, parkedOn, goneWith: ['h7'] });
  assert.ok(
    removed.kind === 'refused' &&
      /web may be on h7, which was removed from Ferry/.test(removed.reasons[0]?.message ?? ''),
    JSON.stringify(removed),
  );
});

test('a definition of the VM on the target is replaced only when it is known to be kept, and under the same name', () => {
  const with2 = (state: 'shut-off' | 'running', role: 'parked' | 'conflict', name = 'web', persistent = true): Vm => ({
    ...vm,
    state,
    instances: [
      ...vm.instances.map((each) => ({ ...each, instance: { ...each.instance, state, persistent } })),
      {
        hostId: hostId('h2'),
        role,
        instance: {
          uuid: vmUuid('a'),
          name,
          state: 'shut-off',
          reason: 'other',
          persistent: true,
          memoryBytes: gib,
          vcpus: 1,
          disks: [],
        },
      },
    ],
  });
  const parkedOn = new Set([hostId('h2')]);
  assert.deepEqual(codes({ vm: with2('running', 'parked') }), ['h2 target-definition-unknown']);
  assert.equal(chosen({ vm: with2('running', 'parked'), parkedOn }), 'h2');
  assert.equal(chosen({ vm: with2('running', 'parked'), hosts: [host('h1'), host('h2'), host('h3')] }), 'h3');
  assert.equal(chosen({ vm: with2('running', 'parked', 'web', false) }), 'h2', 'the home of a transient guest');
  assert.deepEqual(codes({ vm: with2('running', 'parked', 'old'), parkedOn }), ['h2 target-name-differs']);
  assert.deepEqual(codes({ vm: with2('running', 'parked'), parkedOn, request: { temporary: true } }), [
    'h2 target-has-definition',
  ]);
  assert.deepEqual(
    codes({ vm: with2('shut-off', 'conflict'), hosts: [host('h1'), host('h2'), host('h3')], request: { to: 'h3' } }),
    ['* vm-two-definitions'],
  );
  const [first, second] = with2('running', 'conflict').instances;
  assert.ok(first !== undefined && second !== undefined);
  const unseen = { ...second, instance: { ...second.instance, state: 'unknown' as const } };
  const twice = check({ vm: { ...vm, instances: [first, unseen] }, hosts: [host('h1'), host('h2'), host('h3')] });
  assert.ok(twice.kind === 'refused' && twice.reasons[0]?.code === 'vm-two-copies', JSON.stringify(twice));
  assert.match(twice.reasons[0].message, /^web was active on h2 too when Ferry last saw it/);
});

test('safety: whatever the fleet looks like, the chosen host answers, is another one and has the memory', () => {
  const any = fc.array(
    fc.record({ state: fc.constantFrom('connected', 'unreachable', 'connecting'), free: fc.nat(4 * gib) } as const),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(any, (others) => {
      const hosts = [
        host('h1'),
        ...others.map(({ state, free }, index) => host(`h${index + 2}`, { state, freeMemoryBytes: free })),
      ];
      const result = check({ hosts });
      if (result.kind === 'refused') return assert.ok(result.reasons.length > 0);
      const target = hosts.find((each) => each.host.id === result.to.id);
      assert.ok(
        target?.state === 'connected' &&
          target.host.id !== vm.hostId &&
          (target.freeMemoryBytes ?? 0) >= vm.memoryBytes,
      );
    }),
  );
});

test('what other migrations have there is waited for; what is short without them, and a range that is too small, is refused', () => {
  const cluster = { name: 'default', migrationPorts: { first: 50_000, last: 50_001 } };
  const clusters = new Map([['default', cluster]]);
  const full = check({ clusters, portsInUse: () => [50_000, 50_001] });
  assert.ok(full.kind === 'waits', JSON.stringify(full));
  assert.deepEqual(
    [full.to.name, full.reasons.map(({ code }) => code), full.on],
    ['h2', ['migration-ports'], [{ host: 'h2', ports: 1, memoryBytes: gib, travels: true }]],
  );
  const promised = check({ memoryPromised: () => 3.5 * gib });
  assert.ok(
    promised.kind === 'waits' && promised.reasons[0]?.code === 'target-memory-promised',
    JSON.stringify(promised),
  );
  assert.deepEqual(
    codes({ hosts: [host('h1'), host('h2', { freeMemoryBytes: gib - 1 })], memoryPromised: () => gib }),
    ['h2 target-memory'],
    'nobody gives that back',
  );
  const copied = { facts: noFacts };
  assert.equal(
    check({
      ...copied,
      clusters: new Map([['default', { ...cluster, migrationPorts: { first: 50_000, last: 50_000 } }]]),
    }).kind,
    'chosen',
  );
});

test('a host with room is chosen before one to wait for, also before the preferred one; promised memory counts as taken', () => {
  const hosts = [host('h1'), host('h2', { freeMemoryBytes: 4 * gib }), host('h3', { freeMemoryBytes: 3 * gib })];
  const clusters = new Map([['default', { name: 'default', migrationPorts: { first: 50_000, last: 50_000 } }]]);
  assert.equal(
    chosen({ hosts, clusters, portsInUse: (id) => (id === 'h2' ? [50_000] : []), request: { preferHost: 'h2' } }),
    'h3',
  );
  assert.equal(chosen({ hosts }), 'h2');
  assert.equal(chosen({ hosts, memoryPromised: (id) => (id === 'h2' ? 2 * gib : 0) }), 'h3');
});

test('a host that does not answer, one that is not there, one that was tried: each is named with its own reason', () => {
  const silent = new Map([
    [
      hostId('h2'),
      { code: 'target-silent' as const, host: 'h2', message: 'h2 did not answer within 5 s.', remedy: '' },
    ],
  ]);
  assert.deepEqual(codes({ silent }), ['h2 target-silent']);
  assert.equal(chosen({ hosts: [host('h1'), host('h2'), host('h3', { freeMemoryBytes: gib })], silent }), 'h3');
  assert.deepEqual(codes({ request: { to: 'h9' } }), ['h9 target-unknown']);
  const tried = check({ tried: new Map([[hostId('h2'), 'no QEMU there']]) });
  assert.ok(tried.kind === 'refused' && /h2 has failed already: no QEMU there/.test(tried.reasons[0]?.message ?? ''));
  const other = host('h2');
  const elsewhere = check({ hosts: [host('h1'), { ...other, host: { ...other.host, cluster: 'west' } }] });
  assert.ok(
    elsewhere.kind === 'refused' && /there are hosts in west/.test(elsewhere.reasons[0]?.message ?? ''),
    JSON.stringify(elsewhere),
  );
});

test('what happened while it waited is named: the VM is gone, or elsewhere, or the target is', () => {
  const asked = { vm: { uuid: vm.uuid, name: 'web' }, from: { id: hostId('h1'), name: 'h1' }, request: { to: 'h2' } };
  const told = (...args: Parameters<typeof changedMeanwhile>) =>
    changedMeanwhile(...args).map(({ code, host: where }) => `${where ?? '*'} ${code}`);
  const hosts = [host('h1'), host('h2'), host('h3')];
  assert.deepEqual(told(asked, vm, hosts), []);
  assert.deepEqual(told(asked, undefined, hosts), ['h1 vm-gone']);
  assert.deepEqual(told(asked, { ...vm, hostId: hostId('h3') }, hosts), ['h3 vm-moved']);
  assert.deepEqual(told(asked, vm, [host('h1'), host('h3')]), ['h2 target-removed']);
});

test('a map of networks: the advice names what the VM has, and a name that it does not have is refused', () => {
  const facts = {
    ...noFacts,
    needs: { networks: ['lan'], bridges: ['br0'], filters: [], secrets: [], paths: [], ties: [], machines: [] },
  };
  const resources = new Map([
    [
      hostId('h2'),
      {
        networks: new Map([['lan', true]]),
        interfaces: new Set(['br0']),
        filters: new Set<string>(),
        secrets: new Map<string, SecretFacts>(),
      },
    ],
  ]);
  const told = (networks: Record<string, string>) => {
    const result = check({ facts, resources, request: { map: { networks } } });
    return result.kind === 'refused' ? result.reasons.map(({ code, remedy }) => `${code}: ${remedy}`) : [];
  };
  assert.match(told({ br0: 'nosuch' }).join(), /^bridge-missing: .*--map-network br0=BRIDGE/);
  assert.match(
    told({ lan: 'nosuch' }).join(),
    /^network-missing: Map it with --map-network lan=NAME \(h2 has: lan\)\.$/,
  );
  assert.deepEqual(told({ br9: 'br0' }), ['map-network-unknown: It has: br0, lan.']);
  assert.equal(
    check({
      facts,
      resources,
      clusters: new Map([['default', { name: 'default', map: { networks: { br9: 'br0' } } }]]),
    }).kind,
    'chosen',
    "a cluster's map is for whatever comes in",
  );
});

test('saved memory: what cannot be read, and a definition that it would not come back with, are reasons', () => {
  const saved = {
    ...noFacts,
    saved: true,
    stateFiles: ['/save/web'],
  };
  const off: Vm = { ...vm, state: 'shut-off' };
  const told = (more: Partial<CheckInput>) => {
    const result = check({ vm: off, facts: saved, ...more });
    return result.kind === 'refused' ? result.reasons.map(({ code }) => code) : result.plan.savedMemory;
  };
  assert.equal(told({}), true);
  assert.deepEqual(told({ facts: { ...saved, savedUnread: 'image magic is incorrect' } }), ['saved-memory-unread']);
  assert.deepEqual(told({ ownXml: { uuid: vm.uuid, name: vm.name, disks: {}, needs: noNeeds } }), ['saved-memory-xml']);
});

test('a machine that the target does not have, and state that it may not read: refused, unsure, and chosen last', () => {
  const guests = (machine: string) => [
    { arch: 'x86_64', emulator: '/q', machines: [machine], aliases: [], domainTypes: ['qemu'] },
  ];
  const of = (name: string, qemuVersion: string, machine = 'pc-q35-7.2'): HostView => {
    const view = host(name);
    return view.facts === undefined
      ? view
      : { ...view, facts: { ...view.facts, qemuVersion, guests: guests(machine) } };
  };
  const needs = {
    ...noNeeds,
    machines: [{ type: 'qemu', arch: 'x86_64', machine: 'pc-q35-7.2', emulator: '/q' }],
  };
  const facts = {
    ...noFacts,
    needs,
    virtio: true as const,
  };
  const from = of('h1', '10.0.13');
  const hosts = [from, of('h2', '11.1.2')];
  assert.deepEqual(codes({ facts, hosts: [from, of('h2', '10.0.13', 'pc-q35-6.2')] }), ['h2 target-machine-unknown']);
  const live = check({ facts, hosts });
  assert.ok(live.kind === 'chosen');
  assert.match(
    live.answers?.[0]?.findings[0]?.message ?? '',
    /^Ferry cannot tell whether h2 takes the virtio queues of web: QEMU 11\.1\.2/,
  );
  assert.deepEqual(
    live.plan.stateRisks?.map(({ of: what }) => what),
    ['memory'],
  );
  assert.equal(chosen({ facts, hosts: [...hosts, of('h3', '10.0.13')] }), 'h3', 'nothing is unsure there');
  const shutOff: Vm = { ...vm, state: 'shut-off' };
  const saved = { ...facts, saved: true };
  assert.deepEqual(codes({ vm: shutOff, facts: saved, hosts }), ['h2 saved-memory-unsure']);
  const cold = check({ vm: shutOff, facts, hosts });
  assert.ok(cold.kind === 'chosen' && cold.plan.stateRisks === undefined, 'no memory travels');
});

test('every host in question is answered for, also when one fits; what a policy says of a doubt holds', () => {
  const hosts = [host('h1'), host('h2'), host('h3', { freeMemoryBytes: 1 }), host('h4', { state: 'unreachable' })];
  const cold: Partial<CheckInput> = {
    hosts,
    vm: { ...vm, state: 'shut-off' },
    request: { autoStart: true },
    facts: { ...noFacts, hardware: { devices: [1, 2].map((at) => ({ kind: 'usb', name: `${at}` })) } },
  };
  const said = (input: Partial<CheckInput>) => {
    const result = check(input);
    return [
      result.kind,
      ...(result.answers ?? []).map(
        ({ host: { name }, verdict, findings }) =>
          `${name} ${verdict}: ${findings.map((each) => `${each.verdict} ${each.code}`).join(', ')}`,
      ),
    ];
  };
  const doubt = 'unknown target-devices-unknown';
  assert.deepEqual(said(cold), [
    'chosen',
    `h2 fits: ${doubt}`,
    `h3 refused: refuse target-memory, ${doubt}`,
    `h4 refused: refuse target-unreachable, ${doubt}`,
  ]);
  const policy = (checks: NonNullable<CheckInput['policy']>['checks']): Partial<CheckInput> => ({
    policy: { ...(presets.get('default') ?? assert.fail()), ...(checks === undefined ? {} : { checks }) },
  });
  assert.equal(said({ ...cold, ...policy({ 'target-devices-unknown': 'ignore' }) })[1], 'h2 fits: ');
  assert.deepEqual(said({ ...cold, ...policy({ 'target-devices-unknown': 'refuse' }) }).slice(0, 2), [
    'refused',
    'h2 refused: refuse target-devices-unknown',
  ]);
  // what is refused without a policy is refused under every one
  assert.equal(
    said({ ...cold, ...policy({ 'target-memory': 'ignore' }) })[2],
    `h3 refused: refuse target-memory, ${doubt}`,
  );
});

test('the CPU by what libvirt on the target says of it, older versions and too few threads are warned of; a policy refuses them', () => {
  const of = (name: string, libvirtVersion: string, qemuVersion: string, model = 'EPYC'): HostView => {
    const { facts, ...rest } = host(name);
    assert.ok(facts);
    return { ...rest, facts: { ...facts, libvirtVersion, qemuVersion, cpu: { ...facts.cpu, model } } };
  };
  const cpu = { xml: '<cpu/>', passthrough: false, type: 'kvm', arch: 'x86_64' };
  const facts = { ...noFacts, cpu };
  const found = (input: Partial<CheckInput>) =>
    (check(input).answers ?? []).flatMap(({ findings }) =>
      findings.map((each) => `${each.verdict} ${each.code}: ${each.message}`),
    );
  const same = [of('h1', '9.0.0', '7.2.0'), of('h2', '9.0.0', '7.2.0')];
  const says = (there: CpuThere) => new Map([[hostId('h2'), there]]);
  assert.deepEqual(found({ hosts: same, facts, cpus: says({ answer: 'fits' }) }), []);
  assert.deepEqual(found({ hosts: same, facts, vm: { ...vm, state: 'shut-off' } }), [], 'it starts anew there');
  assert.deepEqual(found({ hosts: same, facts, cpus: says({ answer: 'lacks', why: 'no avx512f' }) }), [
    'warn target-cpu-lacks: libvirt on h2 cannot provide the CPU of web: no avx512f.',
  ]);
  assert.deepEqual(found({ hosts: same, facts, cpus: says({ answer: 'unknown', why: 'not supported' }) }), [
    'unknown target-cpu-unknown: Ferry cannot tell whether h2 has the CPU of web: not supported.',
  ]);
  const passthrough = { ...noFacts, cpu: { ...cpu, passthrough: true } };
  assert.deepEqual(found({ hosts: same, facts: passthrough }), []);
  assert.deepEqual(
    found({ hosts: [of('h1', '9.0.0', '7.2.0'), of('h2', '9.0.0', '7.2.0', 'Opteron')], facts: passthrough }),
    ['warn target-cpu-differs: web has the CPU of h1 as it is (host-passthrough), EPYC; that of h2 is Opteron.'],
  );
  const third = of('h3', '9.0.0', '7.2.0');
  assert.equal(
    chosen({
      hosts: [...same, { ...third, freeMemoryBytes: 2 * gib }],
      facts,
      cpus: new Map([...says({ answer: 'lacks', why: 'no avx' }), [hostId('h3'), { answer: 'fits' }]]),
    }),
    'h3',
    'a host that may refuse it comes after the others',
  );
  const [old, newer] = [of('h2', '9.0.0', '7.2.22'), of('h1', '11.3.0', '10.0.13')];
  assert.deepEqual(
    found({ hosts: [newer, old], vm: { ...vm, vcpus: 2 } }).map((each) => each.split(':')[0]),
    ['warn target-older-libvirt', 'warn target-older-qemu', 'warn target-few-threads'],
  );
  assert.deepEqual(found({ hosts: [of('h1', '9.0.0', '7.2.22'), of('h2', '11.3.0', '10.0.13')] }), []);
  const pcd = check({ hosts: [newer, old], policy: presets.get('pcd') ?? assert.fail() });
  assert.deepEqual(pcd.kind === 'refused' && pcd.reasons.map(({ code }) => code), [
    'target-older-libvirt',
    'target-older-qemu',
  ]);
});
