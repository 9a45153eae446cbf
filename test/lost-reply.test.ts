/**
 * libvirt's peer-to-peer migration ends with two running copies when the reply to its last step is lost: the target
 * runs, and the source, which has heard nothing, resumes. Here exactly that reply is dropped, in the target's network
 * namespace, for guests whose disks no lock protects. Stock virsh first, to show that the window is there; then Ferry,
 * by whose own connections the stale source is gone before it can resume. Once for each kind of disk, with script/test
 * --full twenty times.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  holdClosing,
  readTicks,
  releaseClosing,
  signalDaemon,
  virsh,
  vmCreate,
  vmDelete,
  usualPatience,
  vmLog,
  waitFor,
  type DiskKind,
} from '@ferry/lab';
import { begin, countsOn, shortPatience } from './fault-fixture.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

const full = (process.env['FERRY_TEST_FULL'] ?? '') !== '';
const kinds: readonly DiskKind[] = ['none', 'nbd', 'block'];
const times = full ? 20 : 1;

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await shortPatience(made);
});

/** The Finish call in a TCP segment: its program, its procedure, and that it is a call. */
const finishCall = '@th,288,32 0x20008086 @th,352,32 306 @th,384,32 0';

/** From that call on, the daemon's answers on its connection are dropped. */
const rules = `table ip lost {
  set s { type ipv4_addr . inet_service; flags dynamic; timeout 5m; }
  chain in {
    type filter hook input priority 0;
    tcp dport 16509 ${finishCall} counter add @s { ip saddr . tcp sport }
  }
  chain out { type filter hook output priority 0; tcp sport 16509 ip daddr . tcp dport @s counter drop; }
}`;

/** The reply to the last step is lost while `work` goes on. */
async function withLostReply<T>(target: string, work: () => Promise<T>): Promise<T> {
  await fleet.sh(target, `nft -f - <<'RULES'\n${rules}\nRULES`);
  try {
    const result = await work();
    const dropped = /counter packets (\d+)[^\n]*drop/.exec(await fleet.sh(target, 'nft list table ip lost'))?.[1];
    assert.ok(Number(dropped) > 0, 'no reply was dropped: the test has tested nothing');
    return result;
  } finally {
    await fleet.sh(target, 'nft delete table ip lost');
  }
}

const uriOf = (host: string): string =>
  fleet.temporary.status.hosts.find(({ name }) => name === host)?.uri ?? assert.fail(host);
const both = async (name: string): Promise<readonly string[]> => [
  await fleet.state('host1', name),
  await fleet.state('host2', name),
];

/**
 * Ferry saw two copies that it did not cause: it reports them, refuses to move them, shows what it knows, and ends the
 * one that the operator names.
 */
async function settledByOperator(name: string): Promise<void> {
  const copies = await waitFor(
    'the copies to be seen',
    async () => {
      const shown = await fleet.plane.ferry('vm', 'settle', name);
      return /host1: running[\s\S]*host2: running|host2: running[\s\S]*host1: running/.test(shown.stdout)
        ? shown.stdout
        : undefined;
    },
    { timeoutMs: 20_000 },
  );
  assert.match(copies, /migration-canceled[\s\S]*libvirt let it run again/);
  assert.match((await fleet.plane.ferry('vm', 'migrate', name, '--dry-run')).stderr, /more than one active copy/);
  const settled = await fleet.plane.json<{ readonly host: string }>('vm', 'settle', name, '--keep', 'host1');
  assert.equal(settled.host, 'host1');
  assert.deepEqual(
    (await both(name)).map((state) => state === 'running'),
    [true, false],
  );
  await countsOn(fleet, name);
  assert.match(
    (await fleet.plane.ferry('vm', 'settle', name, '--keep', 'host1')).stderr,
    /has one copy that counts, on host1/,
  );
}

for (const disk of kinds) {
  test(`disk ${disk}: stock virsh leaves two running guests`, { timeout: 120_000 }, async () => {
    const name = `stock-${disk}`;
    await vmCreate(fleet.lab, { name, host: 'host1', disk });
    await withLostReply('host2', () =>
      virsh(
        fleet.lab,
        'host1',
        ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', name, uriOf('host2')],
        { timeoutMs: 60_000 },
      ).catch((error: unknown) => error),
    );
    assert.deepEqual(await both(name), ['running', 'running']);
    if (disk === 'none') await settledByOperator(name);
    else await virsh(fleet.lab, 'host2', ['destroy', name]);
    await virsh(fleet.lab, 'host2', ['undefine', name]).catch(() => undefined);
    await vmDelete(fleet.lab, name);
  });

  test(`disk ${disk}: Ferry leaves one, ${times} of ${times}`, { timeout: 1_200_000 }, async () => {
    const name = `ferry-${disk}`;
    await vmCreate(fleet.lab, { name, host: 'host1', disk });
    await fleet.seen(name, 'running');
    for (let round = 0; round < times; round += 1) {
      const [from, to] = round % 2 === 0 ? ['host1', 'host2'] : ['host2', 'host1'];
      const migration = await withLostReply(to, () =>
        fleet.move(name, '--to', to, ...(disk === 'block' ? ['--assume-shared'] : [])),
      );
      assert.equal(migration.outcome, 'succeeded', JSON.stringify(migration.error));
      assert.deepEqual(migration.vmIsNow, { host: to, state: 'running' });
      assert.equal(await fleet.state(to, name), 'running');
      assert.equal(await fleet.state(from, name), 'absent');
      await countsOn(fleet, name);
    }
    await vmDelete(fleet.lab, name);
  });
}

test(
  'both of two copies are paused where the policy says so, and the one that is kept runs again',
  { timeout: 120_000 },
  async () => {
    await fleet.policy('cautious', { twoCopies: 'suspend-both' });
    await fleet.plane.json('cluster', 'set', 'default', '--policy', 'cautious');
    await vmCreate(fleet.lab, { name: 'twice', host: 'host1' });
    await withLostReply('host2', () =>
      virsh(
        fleet.lab,
        'host1',
        ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', 'twice', uriOf('host2')],
        { timeoutMs: 60_000 },
      ).catch((error: unknown) => error),
    );
    await waitFor(
      'both to be paused',
      async () => ((await both('twice')).every((state) => state === 'paused') ? true : undefined),
      { timeoutMs: 30_000 },
    );
    const settled = await fleet.plane.json<{ readonly host: string; readonly state: string }>(
      'vm',
      'settle',
      'twice',
      '--keep',
      'host2',
    );
    assert.deepEqual(
      [settled.host, settled.state, await fleet.state('host2', 'twice')],
      ['host2', 'running', 'running'],
    );
    await virsh(fleet.lab, 'host1', ['undefine', 'twice']).catch(() => undefined);
    await vmDelete(fleet.lab, 'twice');
    await fleet.plane.json('cluster', 'set', 'default', '--policy', '');
  },
);

test(
  'by handover: the target waits until the source is gone, and one runs also when the reply is lost',
  { timeout: 120_000 },
  async () => {
    await fleet.policy('handed', { singleCopy: 'handover' });
    await vmCreate(fleet.lab, { name: 'handed', host: 'host1' });
    await fleet.seen('handed', 'running');
    const moved = await fleet.move('handed', '--to', 'host2', '--policy', 'handed');
    assert.deepEqual(
      [moved.outcome, moved.vmIsNow, await both('handed')],
      ['succeeded', { host: 'host2', state: 'running' }, ['absent', 'running']],
    );
    const ran = await withLostReply('host1', () =>
      fleet.plane.ferry('vm', 'migrate', 'handed', '--to', 'host1', '--policy', 'handed', '-o', 'json'),
    );
    const lost = JSON.parse(ran.stdout) as MigrationJson;
    assert.equal(lost.outcome, 'failed', 'the source resumed, so the target was removed');
    assert.deepEqual(lost.vmIsNow, { host: 'host2', state: 'running' });
    assert.deepEqual(await both('handed'), ['absent', 'running']);
    await countsOn(fleet, 'handed');
    await vmDelete(fleet.lab, 'handed');
  },
);

/**
 * The target's daemon sleeps through the switchover and the source's patience, and hears the last call afterwards,
 * but not that the caller is gone.
 */
async function withLateCall(name: string, more: readonly string[]): Promise<MigrationJson> {
  const { id, from, to: target } = await begin(fleet, name, { mib: 24, more });
  await signalDaemon(fleet.lab, target, 'STOP');
  try {
    await holdClosing(fleet.lab, target);
    await waitFor('the switchover', async () => (await fleet.state(from, name)) === 'paused' || undefined, {
      timeoutMs: 30_000,
    });
    await waitFor('the guest to run again', async () => (await fleet.state(from, name)) === 'running' || undefined, {
      timeoutMs: 60_000,
    });
  } finally {
    await signalDaemon(fleet.lab, target, 'CONT');
  }
  const ended = await fleet.ended(id);
  await releaseClosing(fleet.lab, target);
  return ended;
}

test(
  'the last call arrives too late, when the source runs again: two run, Ferry reports it and ends neither',
  { timeout: 180_000 },
  async () => {
    await vmCreate(fleet.lab, { name: 'late', host: 'host1' });
    await fleet.seen('late', 'running');
    fleet.accept(/it did not move, and is on host2/, 'that two run is what this test is about');
    const ended = await withLateCall('late', []);
    assert.deepEqual(
      [ended.outcome, ended.error?.code, await both('late')],
      ['failed', 'vm-two-copies', ['running', 'running']],
      JSON.stringify(ended.error),
    );
    await fleet.plane.json('vm', 'settle', 'late', '--keep', 'host1');
    assert.deepEqual(
      (await both('late')).map((state) => state === 'running'),
      [true, false],
    );
    await countsOn(fleet, 'late');
    await virsh(fleet.lab, 'host2', ['undefine', 'late']).catch(() => undefined);
    await vmDelete(fleet.lab, 'late');
  },
);

test('the same by handover: what the target hears too late does not run it', { timeout: 180_000 }, async () => {
  await vmCreate(fleet.lab, { name: 'late-handed', host: 'host1' });
  await fleet.seen('late-handed', 'running');
  const ended = await withLateCall('late-handed', ['--policy', 'handed']);
  assert.deepEqual(
    [ended.outcome, ended.vmIsNow, await both('late-handed')],
    ['failed', { host: 'host1', state: 'running' }, ['running', 'absent']],
    JSON.stringify(ended.error),
  );
  await countsOn(fleet, 'late-handed');
  assert.ok(readTicks(vmLog(fleet.lab, 'late-handed')).contiguous);
  await vmDelete(fleet.lab, 'late-handed');
});

test(
  'the control plane dies in that window and comes back: one runs, and it says so',
  { timeout: 120_000 },
  async () => {
    // the source waits for its reply as long as libvirt comes with it: who shortens that to 5 s has to have a control
    // plane that is back, has looked twice and has ended the source within them
    for (const host of ['host1', 'host2']) await usualPatience(fleet.lab, host);
    await vmCreate(fleet.lab, { name: 'window', host: 'host1' });
    await fleet.seen('window', 'running');
    const ended = await withLostReply('host2', async () => {
      const { id } = await fleet.plane.json<MigrationJson>('vm', 'migrate', 'window', '--to', 'host2', '--detach');
      await waitFor(
        'the target to run',
        async () => (await fleet.state('host2', 'window')) === 'running' || undefined,
        { timeoutMs: 30_000, intervalMs: 10 },
      );
      await fleet.plane.kill();
      await fleet.plane.start();
      return fleet.ended(id);
    });
    assert.deepEqual(
      [ended.outcome, ended.vmIsNow, await both('window')],
      ['succeeded', { host: 'host2', state: 'running' }, ['absent', 'running']],
      JSON.stringify(ended.error),
    );
    await countsOn(fleet, 'window');
    await vmDelete(fleet.lab, 'window');
  },
);
