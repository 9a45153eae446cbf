/**
 * How the bytes of a move travel, on real hosts: who drives, encrypted, tunnelled, over several connections, by which
 * address and ports; what Ferry does when the hosts do not reach each other; and where the VM is when the control plane
 * dies between the steps that it drives.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  credentialsOf,
  execCommand,
  issueCertificate,
  readTicks,
  run,
  virsh,
  vmCreate,
  vmLog,
  waitFor,
} from '@ferry/lab';
import { onTheWire } from './wire.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
let at = 'host1';
withFleet(async (made) => {
  fleet = made;
  await vmCreate(made.lab, { name: 'guest', host: 'host1', workload: 'dirty:4' });
  await vmCreate(made.lab, { name: 'writer', host: 'host1', disk: 'local', workload: 'disk' });
});

const addressOf = (host: string): string =>
  fleet.temporary.status.hosts.find(({ name }) => name === host)?.address ?? assert.fail(host);
const other = (): string => (at === 'host1' ? 'host2' : 'host1');
const moved = async (...options: readonly string[]): Promise<MigrationJson> => {
  const before = readTicks(vmLog(fleet.lab, 'guest'));
  const to = other();
  const migration = await fleet.move('guest', '--to', to, ...options);
  assert.equal(migration.outcome, 'succeeded');
  assert.deepEqual(migration.vmIsNow, { host: to, state: 'running' });
  assert.equal(await fleet.state(at, 'guest'), 'absent');
  at = to;
  await waitFor(
    'the guest to count on',
    () => {
      const now = readTicks(vmLog(fleet.lab, 'guest'));
      assert.equal(now.boots.length, before.boots.length, 'the guest booted again');
      return now.last > before.last ? true : undefined;
    },
    { timeoutMs: 20_000 },
  );
  return migration;
};

/** The same, and what went into the target meanwhile. */
const counted = async (...options: readonly string[]) => {
  const { result, wire } = await onTheWire(fleet, other(), addressOf(at), () => moved(...options));
  return { ...result, wire };
};

test('peer-to-peer by default, direct when asked; the plan says why', async () => {
  const byHosts = await counted();
  assert.match(byHosts.transfer?.modeReason ?? '', /can be reached by qemu\+tcp/);
  assert.ok(
    byHosts.wire.daemons >= 1 && byHosts.wire.data >= 1 && byHosts.wire.tls === 0,
    JSON.stringify(byHosts.wire),
  );
  const direct = await counted('--direct');
  assert.ok(direct.wire.daemons === 0 && direct.wire.data >= 1 && direct.wire.tls === 0, JSON.stringify(direct.wire));
  assert.deepEqual([direct.transfer?.mode, direct.transfer?.modeReason], ['direct', 'asked for']);
});

test('hosts that do not know each other by name: memory and disks go to the address by which Ferry reaches the target', async () => {
  for (const host of ['host1', 'host2'])
    await fleet.sh(
      host,
      "cp /etc/hosts /root/hosts; sed -i '/host[12]/d' /etc/hosts; cat /etc/hosts; ! getent hosts host1 host2",
    );
  try {
    assert.ok((await counted()).wire.data >= 1, 'nothing came to the target');
    await moved('--direct');
    for (const [to, ...options] of [
      ['host2', '--peer-to-peer'],
      ['host1', '--direct'],
    ] as const)
      assert.deepEqual((await fleet.move('writer', '--to', to, ...options)).vmIsNow, { host: to, state: 'running' });
  } finally {
    for (const host of ['host1', 'host2']) await fleet.sh(host, 'cat /root/hosts > /etc/hosts');
  }
});

test('direct: a paused guest stays paused, a local disk is copied, a shut-off VM moves by its helper', async () => {
  await virsh(fleet.lab, at, ['suspend', 'guest']);
  await fleet.seen('guest', 'paused');
  const to = other();
  const paused = await fleet.move('guest', '--to', to, '--direct');
  assert.deepEqual(paused.vmIsNow, { host: to, state: 'paused' });
  at = to;
  await virsh(fleet.lab, at, ['resume', 'guest']);
  await fleet.seen('guest', 'running');
  const copied = await fleet.move('writer', '--to', 'host2', '--direct');
  assert.deepEqual(copied.vmIsNow, { host: 'host2', state: 'running' });
  await virsh(fleet.lab, 'host2', ['destroy', 'writer']);
  await fleet.seen('writer', 'shut-off');
  const cold = await fleet.move('writer', '--to', 'host1', '--direct');
  assert.deepEqual([cold.how, cold.vmIsNow], ['helper', { host: 'host1', state: 'shut-off' }]);
  await virsh(fleet.lab, 'host1', ['start', 'writer']);
  await fleet.seen('writer', 'running');
});

test('memory and disks travel encrypted, in either mode', async () => {
  for (const mode of ['--peer-to-peer', '--direct']) {
    const { wire } = await counted('--enable-tls', mode);
    assert.ok(wire.data >= 1 && wire.tls === wire.data, `${mode}: ${JSON.stringify(wire)}`);
  }
  const copied = await fleet.move('writer', '--to', 'host2', '--enable-tls');
  assert.equal(copied.outcome, 'succeeded');
  assert.equal((await fleet.move('writer', '--to', 'host1', '--enable-tls', '--direct')).outcome, 'succeeded');
});

test('the peer is verified: a target with a certificate for another name gets nothing, the VM runs on', async () => {
  const to = other();
  const { pki } = credentialsOf(fleet.lab);
  await issueCertificate(pki, { name: 'imposter', commonName: 'imposter', alternativeNames: 'DNS:somebody.else' });
  for (const [file, as] of [
    ['imposterkey.pem', 'server-key.pem'],
    ['impostercert.pem', 'server-cert.pem'],
  ] as const) {
    await run(
      execCommand(fleet.lab, to, [
        'bash',
        '-ec',
        `cp -n /etc/pki/qemu/${as} /etc/pki/qemu/${as}.own; cat >/etc/pki/qemu/${as}`,
      ]),
      { input: readFileSync(join(pki, file), 'utf8') },
    );
  }
  try {
    const failed = await fleet.plane.ferry('vm', 'migrate', 'guest', '--to', to, '--enable-tls', '-o', 'json');
    assert.equal((JSON.parse(failed.stdout) as MigrationJson).outcome, 'failed', failed.stdout);
    assert.equal(await fleet.state(at, 'guest'), 'running');
    assert.equal(await fleet.state(to, 'guest'), 'absent');
  } finally {
    await fleet.sh(to, 'for f in key cert; do mv /etc/pki/qemu/server-$f.pem.own /etc/pki/qemu/server-$f.pem; done');
  }
  await moved('--enable-tls');
});

test('tunnelled, several connections; compressed in a way that the host does not know', async () => {
  assert.equal((await counted('--tunnelled')).wire.data, 0, 'memory went by a connection of its own');
  // one that leads, and one for each
  assert.equal((await counted('--parallel', '2')).wire.data, 3);
  const refused = await fleet.plane.ferry(
    'vm',
    'migrate',
    'guest',
    '--to',
    other(),
    '--parallel',
    '2',
    '--compression',
    'zstd',
  );
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /libvirt 9\.0\.0\) does not support zstd/);
});

test('zero copy where the host lets QEMU lock its memory; the VM runs on where it does not', async () => {
  const to = other();
  const ran = await fleet.plane.ferry(
    'vm',
    'migrate',
    'guest',
    '--to',
    to,
    '--parallel',
    '2',
    '--zero-copy',
    '-o',
    'json',
  );
  const { outcome, error } = JSON.parse(ran.stdout) as MigrationJson;
  if (outcome === 'succeeded') at = to;
  else assert.match(error?.message ?? '', /cannot limit locked memory/);
  assert.equal(await fleet.state(at, 'guest'), 'running');
});

test('migration data goes to the migration network and to the ports of the cluster', async () => {
  const addresses = Object.fromEntries(fleet.temporary.status.hosts.map(({ name, address6 }) => [name, address6]));
  const network = addresses['host1']?.replace(/::.*/, '::/64') ?? '';
  await fleet.plane.json(
    'cluster',
    'set',
    'default',
    '--migration-network',
    network,
    '--migration-ports',
    '50000-50003',
  );
  try {
    const refused = await fleet.plane.ferry('vm', 'migrate', 'guest', '--to', other());
    assert.match(refused.stderr, new RegExp(`${other()} has no address in ${network}`));
    const outside = await fleet.plane.ferry('host', 'set', 'host1', '--migration-address', '192.0.2.1');
    assert.match(outside.stderr, /192\.0\.2\.1 is not in fd10:/);
    for (const [name, address] of Object.entries(addresses))
      await fleet.plane.json('host', 'set', name, '--migration-address', address);
    const inRange = [50_000, 50_001, 50_002, 50_003];
    const memory = await onTheWire(fleet, other(), addressOf(at), () => moved(), inRange);
    assert.deepEqual([memory.wire.data, memory.wire.ports], [0, [1, 0, 0, 0]]);
    const disks = await onTheWire(
      fleet,
      'host2',
      addressOf('host1'),
      () => fleet.move('writer', '--to', 'host2'),
      inRange,
    );
    assert.equal(disks.wire.data, 0);
    assert.ok((disks.wire.ports[0] ?? 0) >= 1 && (disks.wire.ports[1] ?? 0) >= 1, JSON.stringify(disks.wire));
    await fleet.move('writer', '--to', 'host1', '--direct');
  } finally {
    await fleet.plane.json('cluster', 'set', 'default', '--migration-network', '', '--migration-ports', '');
    for (const name of ['host1', 'host2']) await fleet.plane.json('host', 'set', name, '--migration-address', '');
  }
});

test('the limits of a running migration are changed at once, and memory is compressed: QEMU says so', async () => {
  const to = other();
  const qemu = async <T>(execute: string): Promise<T> =>
    (
      JSON.parse(await virsh(fleet.lab, at, ['qemu-monitor-command', 'guest', JSON.stringify({ execute })])) as {
        readonly return: T;
      }
    ).return;
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'guest',
    '--to',
    to,
    '--max-bandwidth-mb',
    '1',
    '--compression',
    'xbzrle',
    '--detach',
  );
  await waitFor(
    'memory to travel',
    async () => (await qemu<{ readonly status?: string }>('query-migrate')).status === 'active' || undefined,
    { timeoutMs: 20_000 },
  );
  const capabilities =
    await qemu<readonly { readonly capability: string; readonly state: boolean }[]>('query-migrate-capabilities');
  assert.equal(capabilities.find(({ capability }) => capability === 'xbzrle')?.state, true);
  await fleet.plane.json('migration', 'set', id, '--max-bandwidth-mb', '2', '--max-downtime-ms', '500');
  const limits = await qemu<{ readonly 'max-bandwidth': number; readonly 'downtime-limit': number }>(
    'query-migrate-parameters',
  );
  assert.deepEqual([limits['max-bandwidth'], limits['downtime-limit']], [2 * 1_048_576, 500]);
  await fleet.plane.json('migration', 'set', id, '--max-bandwidth-mb', '500');
  const done = await fleet.ended(id);
  assert.equal(done.outcome, 'succeeded');
  at = to;
  const late = await fleet.plane.ferry('migration', 'set', id, '--max-bandwidth-mb', '5');
  assert.match(late.stderr, /has already succeeded/);
});

test('a port range that is closed: refused by the hosts, the VM stays as it was', async () => {
  const to = other();
  await fleet.sh(
    to,
    'nft add table inet closed; nft "add chain inet closed in { type filter hook input priority 0; }"; ' +
      'nft add rule inet closed in tcp dport 49152-49215 reject with tcp reset',
  );
  try {
    const failed = await fleet.plane.ferry('vm', 'migrate', 'guest', '--to', to, '-o', 'json');
    const migration = JSON.parse(failed.stdout) as MigrationJson;
    assert.equal(migration.outcome, 'failed');
    assert.match(migration.error?.message ?? '', /guest stayed on .*unable to connect to server at .*refused/);
    assert.equal(await fleet.state(at, 'guest'), 'running');
    assert.equal(await fleet.state(to, 'guest'), 'absent');
  } finally {
    await fleet.sh(to, 'nft delete table inet closed');
  }
});

test('hosts that do not reach each other: Ferry drives the move, and remembers it', async () => {
  const to = other();
  await fleet.sh(
    to,
    'nft add table inet apart; nft "add chain inet apart in { type filter hook input priority 0; }"; nft ' +
      'add rule inet apart in tcp dport 16509 ip saddr ' +
      `${fleet.temporary.status.hosts.find(({ name }) => name === at)?.address ?? ''} reject with tcp reset`,
  );
  try {
    const first = await moved();
    assert.equal(first.transfer?.mode, 'direct');
    assert.match(first.transfer?.modeReason ?? '', /unable to connect to server/);
    await moved('--direct');
    const again = await moved();
    assert.equal(again.phases.filter(({ phase }) => phase === 'transferring').length, 1, 'it was known before');
  } finally {
    await fleet.sh(to, 'nft delete table inet apart');
  }
});
