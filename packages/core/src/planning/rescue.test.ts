import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { HostView } from '../model/host.ts';
import { hostId, vmUuid } from '../model/ids.ts';
import type { Vm } from '../model/vm.ts';
import { defaultPolicyName, presets } from '../policy/presets.ts';
import { noFacts, type VmFacts } from './check-input.ts';
import { noNeeds } from './definition.ts';
import { checkRescue, type RescueInput } from './rescue.ts';
import type { RescueStorage } from './rescue-disks.ts';

const host = (name: string, state: HostView['state']): HostView => ({
  host: { id: hostId(name), name, uri: `qemu+tcp://${name}/system`, cluster: 'default', machineUuid: name, addedAt: 0 },
  state,
  freeMemoryBytes: 4e9,
});
const vm: Vm = {
  uuid: vmUuid('a'),
  name: 'web',
  hostId: hostId('h1'),
  state: 'unknown',
  memoryBytes: 1e9,
  vcpus: 1,
  disks: [],
  instances: [],
};
const path = '/shared/a.qcow2';
const facts: VmFacts = {
  ...noFacts,
  disks: [{ target: 'vda', device: 'disk', type: 'file', source: path, format: 'qcow2', readOnly: false, backing: [] }],
};
const has: RescueStorage = {
  sharing: new Map([[path, { verdict: 'shared', method: 'marker', at: 1 }]]),
  found: new Set([path]),
  below: new Map(),
};
const input = (more: Partial<RescueInput> = {}): RescueInput => ({
  vm,
  hosts: [host('h1', 'unreachable'), host('h2', 'connected')],
  request: { rescue: { statement: 'dead' } },
  loadOf: () => 0,
  facts,
  storage: new Map([[hostId('h2'), has]]),
  ...more,
});
const codes = (more: Partial<RescueInput>): readonly string[] => {
  const result = checkRescue(input(more));
  assert.ok(result.kind === 'refused', JSON.stringify(result));
  return result.reasons.map(({ code, host: where }) => `${where ?? '*'} ${code}`);
};

test('started where the disks are, as an evacuation', () => {
  const result = checkRescue(input());
  assert.ok(result.kind === 'chosen');
  assert.deepEqual(
    [result.to.name, result.move, result.plan.how, result.plan.disks.map(({ how }) => how)],
    ['h2', 'evacuation', 'stored-definition', ['shared']],
  );
});

test('refused: the host answers, nothing is stored, the disk is not there or was never proved, the VM runs already', () => {
  assert.deepEqual(codes({ hosts: [host('h1', 'connected'), host('h2', 'connected')] }), ['h1 rescue-source-answers']);
  const { facts: _, ...without } = input();
  const nothing = checkRescue(without);
  assert.ok(nothing.kind === 'refused' && nothing.reasons[0]?.code === 'definition-missing');
  assert.deepEqual(codes({ storage: new Map([[hostId('h2'), { ...has, found: new Set<string>() }]]) }), [
    'h2 disk-not-there',
  ]);
  assert.deepEqual(codes({ storage: new Map([[hostId('h2'), { ...has, sharing: new Map() }]]) }), [
    'h2 disk-sharing-unknown',
  ]);
  assert.deepEqual(
    codes({ hosts: [host('h1', 'unreachable'), host('h2', 'unreachable'), host('h3', 'connected')] }),
    ['h2 target-unreachable', 'h3 disk-not-there'],
    'every reason of every host',
  );
  const elsewhere = {
    ...vm,
    instances: [
      {
        hostId: hostId('h2'),
        role: 'conflict' as const,
        instance: {
          uuid: vm.uuid,
          name: 'web',
          state: 'running' as const,
          reason: 'other' as const,
          persistent: true,
          memoryBytes: 1,
          vcpus: 1,
          disks: [],
        },
      },
    ],
  };
  assert.deepEqual(codes({ vm: elsewhere }), ['* vm-two-copies']);
});

test('safety: never while the source answers, and never without the file', () => {
  const state = fc.constantFrom<HostView['state']>('connected', 'connecting', 'unreachable');
  fc.assert(
    fc.property(
      state,
      state,
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (source, target, found, proved, assumeShared) => {
        const storage = new Map([
          [
            hostId('h2'),
            { ...has, sharing: proved ? has.sharing : new Map(), found: found ? has.found : new Set<string>() },
          ],
        ]);
        const result = checkRescue(
          input({
            hosts: [host('h1', source), host('h2', target)],
            storage,
            request: { rescue: { statement: 'dead' }, assumeShared },
          }),
        );
        assert.equal(
          result.kind === 'chosen',
          source === 'unreachable' && target === 'connected' && found && (proved || assumeShared),
        );
      },
    ),
  );
});

test('"to" is this one or none, by name or id; otherwise fewest migrations, most free memory, first name', () => {
  const everywhere = new Map(['h2', 'h3', 'x4'].map((id) => [hostId(id), has] as const));
  const h4: HostView = { ...host('x4', 'connected'), host: { ...host('x4', 'connected').host, name: 'h4' } };
  const hosts = [host('h1', 'unreachable'), h4, host('h3', 'connected'), host('h2', 'connected')];
  const chosen = (more: Partial<RescueInput>): string => {
    const result = checkRescue(input({ hosts, storage: everywhere, ...more }));
    assert.ok(result.kind === 'chosen', JSON.stringify(result));
    return result.to.name;
  };
  const rescue = { statement: 'dead' };
  assert.deepEqual(
    [
      chosen({ request: { rescue, to: 'h3' } }),
      chosen({ request: { rescue, to: 'h4' } }),
      chosen({ request: { rescue, to: 'x4' } }),
    ],
    ['h3', 'h4', 'h4'],
  );
  assert.equal(chosen({}), 'h2');
  assert.equal(
    chosen({
      hosts: [...hosts.slice(0, 2), { ...host('h3', 'connected'), freeMemoryBytes: 5e9 }, host('h2', 'connected')],
    }),
    'h3',
  );
  assert.equal(chosen({ loadOf: (id) => (id === hostId('h3') ? 0 : 1) }), 'h3');
  assert.deepEqual(codes({ request: { rescue, to: 'h1' } }), ['h1 target-is-source']);
});

test('memory is asked for exactly, a parked or stopped copy elsewhere is no second one, autostart is kept', () => {
  const withFree = (freeMemoryBytes: number) => [
    host('h1', 'unreachable'),
    { ...host('h2', 'connected'), freeMemoryBytes },
  ];
  assert.deepEqual(codes({ hosts: withFree(vm.memoryBytes - 1) }), ['h2 target-memory']);
  const copy = (role: 'parked' | 'conflict' | 'authoritative', state: 'running' | 'shut-off', on = 'h2'): Vm => ({
    ...vm,
    instances: [
      {
        hostId: hostId(on),
        role,
        instance: {
          uuid: vm.uuid,
          name: 'web',
          state,
          reason: 'other',
          persistent: true,
          memoryBytes: 1,
          vcpus: 1,
          disks: [],
        },
      },
    ],
  });
  assert.deepEqual(codes({ vm: copy('parked', 'shut-off') }), ['h2 target-definition-unknown'], 'it may be an old one');
  for (const each of [copy('parked', 'running'), copy('parked', 'shut-off'), copy('authoritative', 'running', 'h1')]) {
    const result = checkRescue(
      input({
        vm: each,
        parkedOn: new Set([hostId('h2')]),
        hosts: withFree(vm.memoryBytes),
        facts: { ...facts, autostart: true },
      }),
    );
    assert.ok(result.kind === 'chosen' && result.plan.autostart);
  }
});

test('an empty drive and a disk with a name of its own need no look; a block disk needs a proof or the word', () => {
  const [file] = facts.disks;
  assert.ok(file);
  const { source: _, ...empty } = file;
  const nowhere = new Map([[hostId('h2'), { sharing: new Map(), found: new Set<string>(), below: new Map() }]]);
  const result = checkRescue(
    input({
      storage: nowhere,
      facts: {
        ...facts,
        disks: [
          { ...empty, device: 'cdrom' },
          { ...file, type: 'network', identity: 'nbd:s/x' },
        ],
      },
    }),
  );
  assert.ok(result.kind === 'chosen', JSON.stringify(result));
  assert.deepEqual(
    result.plan.disks.map(({ how, proof }) => [how, proof?.method]),
    [
      ['none', undefined],
      ['shared', 'identity'],
    ],
  );
  const block = { ...facts, disks: [{ ...file, type: 'block', source: '/dev/sdb' }] };
  assert.deepEqual(codes({ storage: nowhere, facts: block }), ['h2 disk-sharing-unknown']);
  const unplugged = new Map([
    [hostId('h2'), { sharing: new Map(), found: new Set<string>(), below: new Map(), missing: new Set(['/dev/sdb']) }],
  ]);
  for (const identity of [undefined, 'wwn-1'])
    assert.deepEqual(
      codes({
        storage: unplugged,
        facts: {
          ...block,
          disks: block.disks.map((each) => ({ ...each, ...(identity === undefined ? {} : { identity }) })),
        },
        request: { rescue: { statement: 'dead' }, assumeShared: true },
      }),
      ['h2 disk-not-there'],
      'whatever its name or the operator says',
    );
  const separate = new Map([
    [hostId('h2'), { ...has, sharing: new Map([[path, { verdict: 'separate', method: 'marker', at: 1 } as const]]) }],
  ]);
  assert.deepEqual(codes({ storage: separate }), ['h2 disk-sharing-unknown']);
});

test('the images below a disk have to be there, too, and be the ones of the dead host', () => {
  const [file] = facts.disks;
  assert.ok(file);
  const chained = {
    ...facts,
    disks: [{ ...file, backing: [{ path: '/shared/b.qcow2', format: 'qcow2' }], chainUnknown: true as const }],
  };
  const shared = { verdict: 'shared', method: 'marker', at: 1 } as const;
  const seen = (
    found: readonly string[],
    proved: readonly string[],
    below: readonly string[] | undefined = ['/base/c.raw'],
  ) => ({
    facts: chained,
    storage: new Map([
      [
        hostId('h2'),
        {
          found: new Set(found),
          sharing: new Map(proved.map((each) => [each, shared])),
          below: new Map(below === undefined ? [] : [[path, below]]),
        },
      ],
    ]),
  });
  const all = [path, '/shared/b.qcow2', '/base/c.raw'];
  assert.equal(checkRescue(input(seen(all, all))).kind, 'chosen');
  for (const image of all.slice(1)) {
    const others = all.filter((each) => each !== image);
    assert.deepEqual(codes(seen(others, all)), ['h2 disk-not-there']);
    assert.deepEqual(codes(seen(all, others)), ['h2 disk-sharing-unknown']);
  }
  const { storage } = seen(all, all);
  assert.deepEqual(
    codes({ facts: chained, storage: new Map([...storage].map(([id, each]) => [id, { ...each, below: new Map() }])) }),
    ['h2 disk-chain-unknown'],
  );
});

test('every wish is heeded or refused by name: a preferred host, the cluster, and what needs the dead host', () => {
  const inCluster = (name: string, cluster: string): HostView => ({
    ...host(name, 'connected'),
    host: { ...host(name, 'connected').host, cluster },
  });
  const everywhere = new Map(['h2', 'h3', 'h4'].map((id) => [hostId(id), has] as const));
  const hosts = [host('h1', 'unreachable'), inCluster('h2', 'west'), host('h3', 'connected'), host('h4', 'connected')];
  const rescue = { statement: 'dead' };
  const chosen = (request: RescueInput['request']): string => {
    const result = checkRescue(input({ hosts, storage: everywhere, request: { rescue, ...request } }));
    return result.kind === 'chosen' ? result.to.name : result.reasons.map(({ code }) => code).join();
  };
  assert.deepEqual(
    [
      chosen({}),
      chosen({ preferHost: 'h4' }),
      chosen({ toCluster: 'west' }),
      chosen({ to: 'h2' }),
      chosen({ to: 'h2', toCluster: 'west' }),
      chosen({ to: 'h9' }),
    ],
    ['h3', 'h4', 'h2', 'target-other-cluster', 'h2', 'target-unknown'],
  );
  const map = { networks: { a: 'b' } };
  assert.deepEqual(
    [
      chosen({ map }),
      chosen({ xml: '<domain/>' }),
      chosen({ map, xml: '<domain/>', tls: true }),
      chosen({ temporary: false, autoStart: true }),
    ],
    ['rescue-unfit', 'rescue-unfit', 'rescue-unfit,rescue-unfit,rescue-unfit', 'h3'],
  );
  const crowded = checkRescue(input({ memoryPromised: () => 3.5e9 }));
  assert.ok(crowded.kind === 'waits' && crowded.reasons[0]?.code === 'target-memory-promised');
});

test('a host on which an earlier attempt failed is passed over, with its reason; where no other is left, that is said', () => {
  const hosts = [host('h1', 'unreachable'), host('h2', 'connected'), host('h3', 'connected')];
  const storage = new Map([
    [hostId('h2'), has],
    [hostId('h3'), has],
  ]);
  const tried = new Map([[hostId('h2'), 'no emulator']]);
  const request = { rescue: { statement: 'dead' }, preferHost: 'h2' };
  const first = checkRescue(input({ hosts, storage, request }));
  assert.ok(first.kind === 'chosen' && first.to.name === 'h2');
  const second = checkRescue(input({ hosts, storage, request, tried }));
  assert.ok(second.kind === 'chosen' && second.to.name === 'h3');
  assert.deepEqual(codes({ request, tried }), ['h2 target-tried']);
});

test('a VM whose memory is saved on the dead host starts without it by the word of the operator only', () => {
  const instance = {
    uuid: vm.uuid,
    name: 'web',
    state: 'unknown',
    reason: 'other',
    persistent: true,
    saved: true,
    memoryBytes: 1e9,
    vcpus: 1,
    disks: [],
  } as const;
  const saved = { ...vm, instances: [{ hostId: vm.hostId, role: 'authoritative', instance } as const] };
  assert.deepEqual(codes({ vm: saved }), ['* rescue-saved-memory']);
  assert.deepEqual(
    codes({ arrivedSaved: true }),
    ['* rescue-saved-memory'],
    'Ferry brought it, and libvirt did not notice',
  );
  const rescue = { statement: 'dead' };
  assert.equal(checkRescue(input({ vm: saved, request: { rescue, kind: 'cold' } })).kind, 'chosen');
  assert.deepEqual(codes({ vm: saved, request: { rescue, kind: 'live' } }), [
    '* rescue-saved-memory',
    '* rescue-unfit',
  ]);
  assert.deepEqual(codes({ request: { rescue, kind: 'cold' } }), ['* rescue-unfit'], 'nothing to give up');
});

test('a host without the machine type or the emulator of the VM does not start it', () => {
  const needs = {
    ...noNeeds,
    machines: [{ type: 'qemu', arch: 'x86_64', machine: 'pc-q35-11.1', emulator: '/opt/qemu' }],
  };
  const withFacts = (machines: readonly string[], emulator: string): HostView => ({
    ...host('h2', 'connected'),
    facts: {
      hostname: 'h2',
      machineUuid: 'h2',
      libvirtVersion: '9.0.0',
      qemuVersion: '7.2.0',
      cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
      memoryBytes: 1,
      guests: [{ arch: 'x86_64', emulator, machines, aliases: [], domainTypes: ['qemu'] }],
    },
  });
  const on = (machines: readonly string[], emulator: string, there: 'there' | 'missing') => ({
    facts: { ...facts, needs },
    hosts: [host('h1', 'unreachable'), withFacts(machines, emulator)],
    paths: new Map([[hostId('h2'), new Map([['/opt/qemu', there]])]]),
  });
  assert.deepEqual(codes(on(['pc-q35-7.2'], '/opt/qemu', 'there')), ['h2 target-machine-unknown']);
  assert.deepEqual(codes(on(['pc-q35-11.1'], '/usr/bin/qemu', 'missing')), ['h2 file-missing']);
  assert.equal(checkRescue(input(on(['pc-q35-11.1'], '/opt/qemu', 'there'))).kind, 'chosen');
});

test('what the policy says of soft rules counts for a rescue, too', () => {
  const rule = { name: 'racks', kind: 'off-hosts', strength: 'soft', vms: ['web'], hosts: ['h2'] } as const;
  const rules = [{ rule, hosts: new Set([hostId('h2')]), others: [] }];
  const usual = checkRescue(input({ rules }));
  assert.match(usual.kind === 'chosen' ? (usual.answers?.[0]?.findings[0]?.message ?? '') : '', /racks/);
  const content = presets.get(defaultPolicyName);
  assert.ok(content !== undefined);
  const policy = { ...content, checks: { 'rule-soft': 'refuse' as const } };
  assert.deepEqual(codes({ rules, policy }), ['h2 rule-soft']);
});
