import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host, HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import type { MigrationRequest } from '../model/request.ts';
import { presets } from '../policy/presets.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import { addressOf, clusterDifferences, isNetworkUri, planTransfer, type TransferInput } from './transfer.ts';
import { onOtherPorts, portsOf } from './ports.ts';

const view = (name: string, uri: string, more: Partial<Host> = {}, libvirtVersion = '9.0.0'): HostView => ({
  host: { id: hostId(name), name, uri, cluster: 'default', machineUuid: name, addedAt: 0, ...more },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion,
    qemuVersion: '7.2.0',
    cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
    memoryBytes: 1,
  },
});
const plan = (request: MigrationRequest, more: Partial<TransferInput> = {}) =>
  planTransfer({
    source: view('a', 'qemu+tcp://10.0.0.1/system'),
    target: view('b', 'qemu+tls://10.0.0.2/system'),
    cluster: { name: 'default' },
    request,
    copies: false,
    live: true,
    portsInUse: [],
    ...more,
  });
const codes = (...args: Parameters<typeof plan>): readonly string[] => plan(...args).reasons.map(({ code }) => code);

test('which URIs others can use, and the address in one', () => {
  for (const uri of ['qemu+tcp://h/system', 'qemu+ssh://root@h:22/system', 'qemu+tls://[fd00::1]/system'])
    assert.ok(isNetworkUri(uri), uri);
  for (const uri of [
    'qemu:///system',
    'qemu+unix:///system?socket=/x',
    'qemu+tcp://localhost/system',
    'qemu+ssh://root@127.0.0.1/system',
    'qemu+tcp://[::1]/system',
  ])
    assert.ok(!isNetworkUri(uri), uri);
  assert.equal(addressOf('qemu+ssh://root@[fd00::1]:22/system'), 'fd00::1');
  assert.equal(addressOf('qemu+tcp://10.0.0.1:17/system'), '10.0.0.1');
  assert.equal(addressOf('qemu+tcp://name/system'), undefined);
});

test('who drives: the source where it reaches the target, else Ferry, else who was asked for', () => {
  const local = view('b', 'qemu:///system');
  const peerRefusal = { at: 0, message: 'no route' };
  assert.equal(plan({}).transfer.mode, 'peer-to-peer');
  assert.equal(plan({}, { target: local }).transfer.mode, 'direct');
  assert.deepEqual(plan({}, { peerRefusal }).transfer, {
    mode: 'direct',
    modeReason: 'a did not reach b when it last tried: no route',
    migrateUri: 'tcp://10.0.0.2',
  });
  assert.equal(plan({ mode: 'peer-to-peer' }, { peerRefusal }).transfer.mode, 'peer-to-peer');
  assert.equal(plan({ mode: 'direct' }).transfer.mode, 'direct');
  assert.deepEqual(codes({ mode: 'peer-to-peer' }, { target: local }), ['target-not-addressable']);
});

test('wishes that do not go together, and hosts that do not know them', () => {
  assert.deepEqual(codes({ tunnelled: true }), []);
  assert.deepEqual(codes({ tunnelled: true, mode: 'direct' }), ['tunnelled-direct']);
  assert.deepEqual(codes({ tunnelled: true, parallelConnections: 2, tls: true }, { copies: true }), [
    'tunnelled-copies',
    'tunnelled-parallel',
    'tunnelled-tls',
  ]);
  assert.deepEqual(codes({ compression: 'xbzrle' }), []);
  assert.deepEqual(codes({ compression: 'xbzrle', parallelConnections: 2 }), ['compression-parallel']);
  assert.deepEqual(codes({ compression: 'zstd' }), [
    'compression-single',
    'compression-unsupported',
    'compression-unsupported',
  ]);
  const newer = {
    source: view('a', 'qemu:///system', {}, '9.4.0'),
    target: view('b', 'qemu+tcp://b/system', {}, '10.0.0'),
  };
  assert.deepEqual(codes({ compression: 'zstd', parallelConnections: 2 }, newer), []);
  assert.deepEqual(codes({ postCopy: true }), []);
  assert.deepEqual(codes({ postCopy: true, mode: 'direct', parallelConnections: 2 }, { live: false }), [
    'post-copy-unfit',
    'post-copy-direct',
    'post-copy-parallel',
  ]);
  assert.deepEqual(codes({ zeroCopy: true }), ['zero-copy-single']);
  assert.deepEqual(codes({ zeroCopy: true, parallelConnections: 2, tls: true }), ['zero-copy-changed']);
});

test('addresses and ports come from the host and its cluster; what does not fit is refused', () => {
  const cluster = { name: 'default', migrationNetwork: '10.9.0.0/16', migrationPorts: { first: 50_000, last: 50_002 } };
  assert.deepEqual(codes({}, { cluster }), ['migration-network']);
  const target = view('b', 'qemu+tls://10.0.0.2/system', { migrationAddress: '10.9.0.2' });
  const chosen = plan({}, { cluster, target, copies: true, portsInUse: [50_000] }).transfer;
  assert.deepEqual(
    [chosen.migrateUri, chosen.listenAddress, chosen.disksPort],
    ['tcp://10.9.0.2:50001', '10.9.0.2', 50_002],
  );
  assert.deepEqual(portsOf(chosen), [50_001, 50_002]);
  const busy = plan({}, { cluster, target, copies: true, portsInUse: [50_000, 50_001] });
  assert.deepEqual(
    [busy.reasons, busy.waits.map(({ code }) => code)],
    [[], ['migration-ports']],
    'others give them back',
  );
  assert.deepEqual(
    codes({}, { cluster: { ...cluster, migrationPorts: { first: 50_000, last: 50_000 } }, target, copies: true }),
    ['migration-ports'],
    'that will never be enough',
  );
  assert.deepEqual(
    plan({ tunnelled: true }, { cluster, target, portsInUse: [50_000, 50_001, 50_002] }).waits,
    [],
    'a tunnel takes none',
  );
  assert.deepEqual(portsOf(onOtherPorts(chosen, [50_000, 50_002])), [50_000, 50_002]);
  assert.equal(onOtherPorts(chosen, [50_000]), undefined);
  assert.deepEqual(codes({}, { cluster, target, portsInUse: [50_000, 50_001] }), []);
  assert.equal(
    plan({}, { target: view('b', 'qemu+tcp://b/system', { migrationAddress: 'fd00::2' }) }).transfer.migrateUri,
    'tcp://[fd00::2]',
  );
  assert.equal(
    plan({}, { cluster: { name: 'default', migrationPorts: { first: 50_000, last: 50_000 } } }).transfer.migrateUri,
    'tcp://10.0.0.2:50000',
  );
});

test('migration data goes where Ferry knows that the target is reached, and not to the name that the target gives itself', () => {
  const to = (uri: string, request: MigrationRequest = {}, more: Partial<Host> = {}) =>
    plan(request, { target: view('b', uri, more) }).transfer;
  assert.equal(to('qemu+tls://10.0.0.2/system').migrateUri, 'tcp://10.0.0.2');
  assert.equal(to('qemu+tcp://[fd00::2]:16509/system', { mode: 'direct' }).migrateUri, 'tcp://[fd00::2]');
  assert.equal(to('qemu+ssh://root@10.0.0.2/system').listenAddress, undefined, 'it may be the address of a NAT');
  assert.equal(
    to('qemu+tls://b.example/system').migrateUri,
    'tcp://b.example',
    "the source's daemon uses this name too",
  );
  for (const uri of ['qemu+ssh://b/system', 'qemu:///system', 'qemu+tcp://127.0.0.1/system'])
    assert.equal(to(uri).migrateUri, undefined, uri);
  assert.equal(
    to('qemu+tls://b.example/system', { mode: 'direct' }).migrateUri,
    undefined,
    'Ferry resolves it, and not the source',
  );
  assert.equal(to('qemu+tls://10.0.0.2/system', {}, { migrationAddress: '10.9.0.2' }).migrateUri, 'tcp://10.9.0.2');
  assert.equal(to('qemu+tls://10.0.0.2/system', { tunnelled: true }).migrateUri, undefined);
  assert.deepEqual(
    [to('qemu+tls://10.0.0.2/system', { tls: true }).tlsName, to('qemu+tls://10.0.0.2/system').tlsName],
    ['b', undefined],
  );
});

test('the cluster says whether migration data is encrypted, unless asked otherwise', () => {
  const cluster = { name: 'default', tls: true };
  assert.equal(plan({}, { cluster }).transfer.tls, true);
  assert.equal(plan({ tls: false }, { cluster }).transfer.tls, undefined);
  assert.equal(plan({ tls: true }).transfer.tls, true);
  assert.equal(
    plan({}, { sourceCluster: { name: 'other', tls: true } }).transfer.tls,
    true,
    "what the source's cluster asks for holds too",
  );
});

test('what two clusters do otherwise is listed, and nothing within one', () => {
  const west = { name: 'west', tls: true, migrationPorts: { first: 50_000, last: 50_009 } };
  const east = {
    name: 'east',
    migrationPorts: { first: 50_000, last: 50_009 },
    map: { networks: { lan: 'uplink' }, graphicsListen: '::1' },
  };
  assert.deepEqual(clusterDifferences(west, west), []);
  assert.deepEqual(clusterDifferences(west, east), [
    'encryption: on in west, off in east',
    'maps for what comes in: none in west, lan = uplink, consoles on ::1 in east',
  ]);
});

test(
  "the policy's share of the slower link: for all where only memory travels, else for the memory; nothing " +
    'where no guest runs, or a limit is named',
  () => {
    const linked = (name: string, linkMbit: number): HostView => {
      const host = view(name, `qemu+tcp://${name}/system`);
      return host.facts === undefined ? host : { ...host, facts: { ...host.facts, linkMbit } };
    };
    const ferry = presets.get('default') ?? assert.fail();
    const limits = (more: Partial<TransferInput>) => {
      const { bandwidthMiBPerSecond, memoryBandwidthMiBPerSecond } = plan(
        {},
        { source: linked('a', 10_000), target: linked('b', 1_000), policy: resolvePolicy(ferry, 'default'), ...more },
      ).transfer;
      return [bandwidthMiBPerSecond, memoryBandwidthMiBPerSecond];
    };
    assert.deepEqual(limits({}), [107, undefined]);
    assert.deepEqual(limits({ copies: true }), [undefined, 107]);
    assert.deepEqual(limits({ copies: true, live: false }), [undefined, undefined]);
    assert.deepEqual(limits({ copies: true, policy: resolvePolicy({ ...ferry, bandwidthMiBPerSecond: 40 }, 'vm') }), [
      40,
      undefined,
    ]);
    assert.deepEqual(limits({ source: view('a', 'qemu+tcp://a/system'), target: view('b', 'qemu+tcp://b/system') }), [
      undefined,
      undefined,
    ]);
  },
);

test('one connection for each 10 Gbit/s of the slower link, unless asked otherwise or something speaks against it', () => {
  const fast = (name: string, linkMbit: number): HostView => {
    const host = view(name, `qemu+tcp://${name}/system`);
    return host.facts === undefined ? host : { ...host, facts: { ...host.facts, linkMbit } };
  };
  const connections = (a: number, b: number, request: MigrationRequest = {}) =>
    plan(request, { source: fast('a', a), target: fast('b', b) }).transfer.parallelConnections;
  assert.deepEqual(
    [connections(10_000, 100_000), connections(25_000, 40_000), connections(400_000, 400_000)],
    [undefined, 2, 8],
  );
  assert.equal(connections(25_000, 25_000, { parallelConnections: 3 }), 3);
  assert.equal(connections(25_000, 25_000, { tunnelled: true }), undefined);
  assert.equal(connections(25_000, 25_000, { compression: 'xbzrle' }), undefined);
  assert.equal(plan({}).transfer.parallelConnections, undefined);
});

test('a policy goes to post-copy only where both daemons survive the resumption of an interrupted one', () => {
  const policy = resolvePolicy(presets.get('default') ?? assert.fail(), 'default');
  const postCopy = (source: string, target: string) =>
    plan(
      {},
      {
        policy,
        source: view('a', 'qemu+tcp://10.0.0.1/system', {}, source),
        target: view('b', 'qemu+tcp://10.0.0.2/system', {}, target),
      },
    ).transfer.postCopy;
  assert.equal(postCopy('9.0.0', '9.0.0'), true);
  assert.equal(postCopy('11.3.0', '9.0.0'), true, 'only the target crashes');
  assert.equal(postCopy('9.0.0', '11.3.0'), undefined);
  assert.equal(postCopy('9.0.0', '11.2.0'), undefined);
  assert.equal(postCopy('9.0.0', '12.8.0'), true);
  assert.equal(postCopy('8.4.0', '9.0.0'), undefined);
});
