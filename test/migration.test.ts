/**
 * Live migrations of real guests between real libvirt hosts, ordered by the command line: the main way, each refusal,
 * abort, and the control plane killed in the middle.
 */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import {
  execCommand,
  readTicks,
  run,
  virsh,
  vmCreate,
  vmLog,
  waitFor,
  type LabRef,
  type TemporaryLab,
} from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet, type MigrationJson, type VmJson } from './fleet.ts';

let temporary: TemporaryLab;
let lab: LabRef;
let plane: ControlPlane;
let show: Fleet['migration'];
withFleet(async (fleet) => {
  ({ temporary, lab, plane, migration: show } = fleet);
  await vmCreate(lab, { name: 'web', host: 'host1', workload: 'dirty:4' });
  await fleet.seen('web', 'running');
});

const vm = (): Promise<VmJson> => plane.json<VmJson>('vm', 'show', 'web');
const other = (host: string): string => (host === 'host1' ? 'host2' : 'host1');
/** Hosts on which libvirt itself says that the VM runs: the truth the control plane is measured by. */
async function runsOn(): Promise<readonly string[]> {
  const hosts: string[] = [];
  for (const { name } of temporary.status.hosts)
    if ((await virsh(lab, name, ['list', '--name'])).split('\n').includes('web')) hosts.push(name);
  return hosts;
}
async function counterGoesOn(): Promise<void> {
  const seen = readTicks(vmLog(lab, 'web')).last;
  const ticks = await waitFor(
    'the guest to count on',
    () => {
      const now = readTicks(vmLog(lab, 'web'));
      return now.last > seen + 2 ? now : undefined;
    },
    { timeoutMs: 30_000 },
  );
  assert.ok(ticks.contiguous, 'a number is missing or comes twice');
  assert.equal(ticks.boots.length, 1, `the guest booted again: ${vmLog(lab, 'web').slice(-6_000)}`);
}
const detached = async (...more: readonly string[]): Promise<string> => {
  const ran = await plane.ferry('vm', 'migrate', 'web', '--detach', ...more);
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout.trim();
};
const untilPhase = (id: string, phase: string): Promise<MigrationJson> =>
  waitFor(
    `migration ${id} to be ${phase}`,
    async () => {
      const migration = await show(id);
      return migration.phase === phase ? migration : undefined;
    },
    { timeoutMs: 60_000 },
  );

test('a running VM moves live: measured, verified, running in one place', { timeout: 120_000 }, async () => {
  const before = await vm();
  const migration = await plane.json<MigrationJson>(
    'vm',
    'migrate',
    'web',
    '--to',
    other(before.host),
    '--max-bandwidth-mb',
    '32',
  );
  assert.equal(migration.outcome, 'succeeded');
  assert.equal(migration.from, before.host);
  assert.equal(migration.to, other(before.host));
  assert.deepEqual(migration.vmIsNow, { host: other(before.host), state: 'running' });
  assert.ok(
    (migration.downtimeMs ?? 0) > 0 && (migration.downtimeMs ?? 0) < (migration.totalMs ?? 0),
    'downtime is a part of the total',
  );
  assert.ok((migration.transferredBytes ?? 0) > 1_000_000, 'bytes went over the wire');
  const order = migration.phases.map(({ phase }) => phase);
  assert.deepEqual(
    order.filter((phase) => phase !== 'switching'),
    ['queued', 'checking', 'preparing', 'transferring', 'verifying', 'cleaning', 'succeeded'],
  );
  assert.deepEqual(await runsOn(), [other(before.host)]);
  assert.equal((await vm()).host, other(before.host));
  await counterGoesOn();
});

test('refused: the host it is on, an unknown host, an unknown VM; nothing changes', { timeout: 60_000 }, async () => {
  const { host } = await vm();
  const same = await plane.ferry('vm', 'migrate', 'web', '--to', host);
  assert.equal(same.code, 4);
  assert.match(same.stderr, new RegExp(`already on ${host}`));
  const nowhere = await plane.ferry('vm', 'migrate', 'web', '--to', 'nowhere');
  assert.equal(nowhere.code, 6);
  assert.match(nowhere.stderr, /no host "nowhere"/);
  const nobody = await plane.ferry('vm', 'migrate', 'nobody');
  assert.equal(nobody.code, 6);
  assert.match(nobody.stderr, /no VM "nobody"/);
  assert.deepEqual(await runsOn(), [host]);
});

test(
  'a second migration of the same VM is refused while one runs; an abort leaves it where it was',
  { timeout: 120_000 },
  async () => {
    const { host } = await vm();
    const id = await detached('--max-bandwidth-mb', '1');
    await untilPhase(id, 'transferring');
    const second = await plane.ferry('vm', 'migrate', 'web');
    assert.equal(second.code, 8);
    assert.match(second.stderr, new RegExp(id));
    const aborted = await plane.ferry('migration', 'abort', id);
    assert.equal(aborted.code, 0, aborted.stderr);
    const ended = await untilPhase(id, 'cancelled');
    assert.deepEqual(ended.vmIsNow, { host, state: 'running' });
    assert.deepEqual(await runsOn(), [host]);
    const again = await plane.ferry('migration', 'abort', id);
    assert.equal(again.code, 8);
    await counterGoesOn();
  },
);

test(
  'control plane killed in the middle: started again it follows the migration to its true end',
  { timeout: 120_000 },
  async () => {
    const { host } = await vm();
    const id = await detached('--max-bandwidth-mb', '12');
    await waitFor('some progress', async () => ((await show(id)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 30_000,
    });
    await plane.kill();
    await plane.start();
    const ended = await untilPhase(id, 'succeeded');
    assert.equal(ended.adopted, true);
    assert.deepEqual(ended.vmIsNow, { host: other(host), state: 'running' });
    assert.ok((ended.downtimeMs ?? 0) > 0);
    assert.deepEqual(await runsOn(), [other(host)]);
    await counterGoesOn();
  },
);

test(
  'control plane killed in the middle, the migration aborted behind its back: recorded as failed, the VM where it was',
  { timeout: 120_000 },
  async () => {
    const { host } = await vm();
    const id = await detached('--max-bandwidth-mb', '1');
    await waitFor('some progress', async () => ((await show(id)).progress?.percent ?? 0) > 0 || undefined, {
      timeoutMs: 30_000,
    });
    await plane.kill();
    await virsh(lab, host, ['domjobabort', 'web']);
    await plane.start();
    const ended = await untilPhase(id, 'failed');
    assert.equal(ended.error?.code, 'migration-interrupted');
    assert.deepEqual(ended.vmIsNow, { host, state: 'running' });
    assert.deepEqual(await runsOn(), [host]);
  },
);

test('a change on a host is seen within a second', { timeout: 60_000 }, async () => {
  const { host } = await vm();
  await virsh(lab, host, ['suspend', 'web']);
  const paused = performance.now();
  await waitFor('the pause to be seen', async () => (await vm()).state === 'paused' || undefined, { timeoutMs: 5_000 });
  const refused = await plane.ferry('vm', 'migrate', 'web', '--kind', 'live');
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /paused/);
  await virsh(lab, host, ['resume', 'web']);
  await waitFor('the resume to be seen', async () => (await vm()).state === 'running' || undefined, {
    timeoutMs: 5_000,
  });
  assert.ok(performance.now() - paused < 15_000);
});

test('one host by two URIs is one host', { timeout: 60_000 }, async () => {
  const [first] = temporary.status.hosts;
  assert.ok(first);
  const twice = await plane.ferry('host', 'add', `${first.uri}?`);
  const port = await plane.ferry('host', 'add', first.uri.replace('/system', ':16509/system'));
  assert.deepEqual([twice.code, port.code], [8, 8], twice.stderr + port.stderr);
  assert.match(port.stderr, /points to a machine that calls itself host1 .* which is that of host1/);
});

test(
  'hosts that cannot be added: nobody listens, not libvirt; each its own sentence',
  { timeout: 60_000 },
  async () => {
    const [first] = temporary.status.hosts;
    assert.ok(first);
    const closed = await plane.ferry('host', 'add', `qemu+tcp://${first.address}:1/system`);
    assert.equal(closed.code, 7);
    assert.match(closed.stderr, new RegExp(first.address));
    const own = new URL(plane.url());
    const notLibvirt = await plane.ferry('host', 'add', `qemu+tcp://${own.hostname}:${own.port}/system`);
    assert.equal(notLibvirt.code, 7);
    assert.notEqual(notLibvirt.stderr, closed.stderr);
    const nonsense = await plane.ferry('host', 'add', 'http://x');
    assert.equal(nonsense.code, 2);
    for (const { stderr } of [closed, notLibvirt, nonsense]) assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
  },
);

test('two VMs of one name: the name is ambiguous, the UUID is not', { timeout: 60_000 }, async () => {
  const xml =
    "<domain type='qemu'><name>twin</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os></domain>";
  for (const host of ['host1', 'host2'])
    await run(
      execCommand(lab, host, ['bash', '-ec', `echo "${xml}" > /root/twin.xml; virsh -q define /root/twin.xml`]),
    );
  const twins = await waitFor(
    'both to be seen',
    async () => {
      const found = (await plane.json<readonly VmJson[]>('vm', 'list')).filter(({ name }) => name === 'twin');
      return found.length === 2 ? found : undefined;
    },
    { timeoutMs: 5_000 },
  );
  const ambiguous = await plane.ferry('vm', 'migrate', 'twin');
  assert.equal(ambiguous.code, 6);
  for (const { uuid, host } of twins) {
    assert.match(ambiguous.stderr, new RegExp(`${uuid}.*${host}`));
    assert.equal((await plane.json<VmJson>('vm', 'show', uuid)).host, host);
  }
  for (const host of ['host1', 'host2']) await virsh(lab, host, ['undefine', 'twin']);
});

test(
  'a peer that breaks off in a frame, or announces an absurd one: a sentence, no host',
  { timeout: 60_000 },
  async () => {
    const answers = {
      cut: Buffer.from('000000242000', 'hex'),
      huge: Buffer.from('7fffffff20008086000000010000004200000001', 'hex'),
      short: Buffer.from('00000004', 'hex'),
    };
    for (const [what, bytes] of Object.entries(answers)) {
      const server = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.end(bytes));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const added = await plane.ferry('host', 'add', `qemu+tcp://127.0.0.1:${port}/system`);
      server.close();
      assert.equal(added.code, 7, `${what}: ${added.stderr}`);
      assert.match(added.stderr, new RegExp(`127\\.0\\.0\\.1:${port}`));
      assert.doesNotMatch(added.stderr, /\n\s+at /);
    }
    assert.equal((await plane.json<readonly unknown[]>('host', 'list')).length, 2);
  },
);
