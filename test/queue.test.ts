/**
 * Several migrations at once on three real hosts: ports that others have, hosts that others fill, daemons that hang or
 * take nobody, a QEMU that does not start; and what happens to a VM while its migration waits.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { signalDaemon, vmCreate, waitFor } from '@ferry/lab';
import { onTheWire } from './wire.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
withFleet(
  async (made) => {
    fleet = made;
    await vmCreate(made.lab, { name: 'holder', host: 'host1', workload: 'sector:V=32,W=4,D=1' });
  },
  { hosts: 3 },
);

/** Guests of a BIOS that finds nothing to boot: no disk, no boot to wait for, memory that is sent at once. */
async function small(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const xml =
      `<domain type='qemu'><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit='MiB'>24</memory>` +
      `<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>`;
    await fleet.sh(
      'host1',
      `cat > /run/${name}.xml <<'XML'\n${xml}\nXML\nvirsh -q define /run/${name}.xml; virsh -q start ${name}`,
    );
  }
  for (const name of names) await fleet.seen(name, 'running');
}
const start = async (vm: string, ...options: readonly string[]): Promise<string> =>
  (await fleet.plane.json<MigrationJson>('vm', 'migrate', vm, '--detach', ...options)).id;
const portsOfCluster = (range: string) => fleet.plane.json('cluster', 'set', 'default', '--migration-ports', range);
const timeOf = ({ phases }: MigrationJson, wanted: string): number =>
  Date.parse(phases.findLast(({ phase }) => phase === wanted)?.at ?? '');
const took = ({ phases }: MigrationJson): number =>
  Date.parse(phases.at(-1)?.at ?? '') - Date.parse(phases[0]?.at ?? '');

test(
  'more at once than the range has ports: each goes when a port is free, none is refused, none fails',
  { timeout: 240_000 },
  async () => {
    await portsOfCluster('50000-50001');
    const names = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6'];
    await small(...names);
    const ids = await Promise.all(names.map((name) => start(name, '--to', 'host2')));
    const all = await Promise.all(ids.map((id) => fleet.ended(id, 120_000)));
    assert.deepEqual(
      all.map(({ outcome, attempts, decisions }) => [outcome, attempts, decisions]),
      names.map(() => ['succeeded', undefined, undefined]),
      JSON.stringify(all.map(({ error }) => error)),
    );
    const [firstEnd = Infinity] = all.map((each) => timeOf(each, 'succeeded')).sort((a, b) => a - b);
    assert.ok(
      all.some((each) => timeOf(each, 'checking') >= firstEnd),
      `some had to wait for one that ended: ${JSON.stringify(all.map(({ phases }) => phases))}`,
    );
    for (const name of names)
      assert.deepEqual(
        [await fleet.state('host1', name), await fleet.state('host2', name)],
        ['absent', 'running'],
        name,
      );
  },
);

test(
  'a port that something else uses: the next one of the range; if all are used, a failure that names them',
  { timeout: 90_000 },
  async () => {
    await portsOfCluster('50010-50011');
    // QEMU listens at this address and no other: at all of them it would be content with IPv6 where IPv4 is taken
    const address = fleet.temporary.status.hosts.find(({ name }) => name === 'host2')?.address ?? '';
    await fleet.plane.json('host', 'set', 'host2', '--migration-address', address);
    const listen = (port: number): Promise<string> =>
      fleet.sh(
        'host2',
        `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 1, ` +
          `ReuseAddr => 1) or die; sleep 300' > /dev/null 2>&1 < /dev/null & echo $!; ` +
          `until ss -ltnH sport = :${port} | grep -q . || ! kill -0 $!; do sleep 0.05; done`,
      );
    const pids = [await listen(50_010)];
    try {
      await small('b1', 'b2');
      const { result: moved, wire } = await onTheWire(
        fleet,
        'host2',
        address,
        async () => fleet.ended(await start('b1', '--to', 'host2'), 30_000),
        [50_011],
      );
      assert.deepEqual(
        [moved.outcome, wire.ports, await fleet.state('host2', 'b1')],
        ['succeeded', [1], 'running'],
        JSON.stringify(moved),
      );
      assert.match(
        moved.decisions?.map(({ text }) => text).join('; ') ?? '',
        /host2 uses the port 50010: trying again on 50011/,
      );
      pids.push(await listen(50_011));
      const failed = await fleet.ended(await start('b2', '--to', 'host2'));
      assert.equal(failed.outcome, 'failed');
      assert.match(failed.error?.message ?? '', /50010, 50011 of host2 are in use by another program/);
      assert.deepEqual([await fleet.state('host1', 'b2'), await fleet.state('host2', 'b2')], ['running', 'absent']);
    } finally {
      await fleet.sh('host2', `kill ${pids.map((pid) => pid.trim()).join(' ')}`);
    }
  },
);

test(
  'what happened to a VM while its migration waited is the reason, and it is where the hosts show it',
  { timeout: 180_000 },
  async () => {
    await portsOfCluster('50020-50020');
    await small('c1', 'c2');
    const holder = await start('holder', '--to', 'host2', '--max-bandwidth-mb', '1', '--policy', 'kubevirt');
    await waitFor(
      'it to hold the port',
      async () => (await fleet.migration(holder)).phase === 'transferring' || undefined,
      { timeoutMs: 30_000 },
    );
    const [gone, moved] = [await start('c1', '--to', 'host2'), await start('c2', '--to', 'host2')];
    const told = await waitFor(
      'it to wait',
      async () => {
        const { attention } = await fleet.migration(gone);
        return attention !== undefined && /It waits: .*port of host2/.test(attention) ? attention : undefined;
      },
      { timeoutMs: 30_000 },
    );
    assert.match(told, /from 50020 to 50020/);
    const busy = await fleet.plane.ferry('vm', 'migrate', 'c1', '--to', 'host3', '--dry-run');
    assert.deepEqual([busy.code, /already being moved/.test(busy.stderr)], [8, true], busy.stderr);
    fleet.accept(/it did not move, and is/, 'the test ends one and moves the other by itself');
    await fleet.sh(
      'host1',
      'virsh -q destroy c1; virsh -q undefine c1; virsh -q migrate --live --p2p --persistent --undefinesource c2 qemu+tcp://host3/system',
    );
    await waitFor('Ferry to see it', async () => (await fleet.show('c2')).host === 'host3' || undefined, {
      timeoutMs: 20_000,
    });
    await fleet.plane.json('migration', 'abort', holder);
    const [one, two] = [await fleet.ended(gone), await fleet.ended(moved)];
    assert.deepEqual(
      [one.outcome, one.error?.reasons?.map(({ code }) => code), one.vmIsNow],
      ['failed', ['vm-gone'], undefined],
    );
    assert.deepEqual(
      [two.outcome, two.error?.reasons?.map(({ code }) => code), two.vmIsNow],
      ['failed', ['vm-moved'], { host: 'host3', state: 'running' }],
    );
    assert.equal((await fleet.ended(holder)).outcome, 'cancelled');
    await fleet.plane.json('cluster', 'set', 'default', '--migration-ports', '50000-50063');
  },
);

test(
  'no more come to a host than the limit says, as that host shows it; who waits says for what, and goes when it is raised',
  { timeout: 180_000 },
  async () => {
    const limit = (name: string, most: string) => fleet.plane.json('cluster', 'set', 'default', `--max-${name}`, most);
    const incoming = async (): Promise<readonly string[]> =>
      (await fleet.sh('host2', 'virsh -q list --state-paused --name')).split('\n').filter((name) => name !== '');
    await limit('incoming-per-host', '1');
    await small('f1', 'f2', 'f3');
    const holder = await start('holder', '--to', 'host2', '--max-bandwidth-mb', '1', '--policy', 'kubevirt');
    await waitFor('it to come in', async () => ((await incoming()).includes('holder') ? true : undefined), {
      timeoutMs: 30_000,
    });
    const ids = await Promise.all(['f1', 'f2', 'f3'].map((name) => start(name, '--to', 'host2')));
    const queue = await waitFor(
      'all to wait for it',
      async () => {
        const all = await fleet.plane.json<{ id: string; waitsFor: { code: string; message: string }[] }[]>('queue');
        return all.length === 3 && all.every(({ waitsFor: [first] }) => first?.code === 'target-slots')
          ? all
          : undefined;
      },
      { timeoutMs: 30_000 },
    );
    const words = '1 of 1 slots of host2 for incoming migrations are taken by holder.';
    assert.deepEqual(
      queue.map(({ waitsFor }) => waitsFor.map(({ message }) => message)),
      ids.map(() => [words]),
    );
    assert.match((await fleet.plane.ferry('migration', 'show', ids[0] ?? '')).stdout, new RegExp(words));
    assert.match((await fleet.plane.ferry('queue')).stdout, /operator +.* 1 of 1 slots of host2/);
    assert.deepEqual(await incoming(), ['holder'], 'and nothing else has come');
    await limit('incoming-per-host', '2');
    let most = 0;
    const all = Promise.all(ids.map((id) => fleet.ended(id, 60_000)));
    await waitFor(
      'them to arrive',
      async () => {
        most = Math.max(most, (await incoming()).length);
        return (await Promise.race([all, Promise.resolve(undefined)])) === undefined ? undefined : true;
      },
      { timeoutMs: 60_000 },
    );
    assert.ok(most <= 2, `${most} came in at once`);
    for (const name of ['f1', 'f2', 'f3'])
      assert.deepEqual(
        [await fleet.state('host1', name), await fleet.state('host2', name)],
        ['absent', 'running'],
        name,
      );
    // its policy may have ended it by now
    await fleet.plane.ferry('migration', 'abort', holder);
    assert.deepEqual([(await fleet.ended(holder)).outcome === 'succeeded', await incoming()], [false, []]);
    for (const wrong of ['0', '-1', '1.5']) {
      const refused = await fleet.plane.ferry('cluster', 'set', 'default', '--max-incoming-per-host', wrong);
      assert.deepEqual(
        [refused.code, /whole number of migrations from 1/.test(refused.stderr)],
        [2, true],
        refused.stderr,
      );
    }
    await limit('incoming-per-host', '');
  },
);

test(
  "one host's daemon hangs and another is well: the move goes to the other after some seconds, and says why where there is none",
  { timeout: 180_000 },
  async () => {
    await small('d1');
    fleet.accept(/host2 does not answer/, 'its daemon is stopped');
    await signalDaemon(fleet.lab, 'host2', 'STOP');
    try {
      const moved = await fleet.move('d1', '--prefer-host', 'host2');
      assert.deepEqual([moved.outcome, moved.to], ['succeeded', 'host3'], JSON.stringify(moved.error));
      assert.ok(took(moved) < 15_000, `${took(moved)} ms`);
      const refused = await fleet.plane.ferry('vm', 'migrate', 'd1', '--to', 'host2', '-o', 'json');
      assert.equal(refused.code, 4);
      assert.match(refused.stdout, /target-(silent|unreachable)/);
    } finally {
      await signalDaemon(fleet.lab, 'host2', 'CONT');
    }
    assert.deepEqual([await fleet.state('host1', 'd1'), await fleet.state('host3', 'd1')], ['absent', 'running']);
  },
);

test(
  'a target whose QEMU does not start: the next suited host, with what the first one said; a target that was named fails with it',
  { timeout: 180_000 },
  async () => {
    await waitFor(
      'host2 to answer',
      async () =>
        (await fleet.plane.json<{ state: string }>('host', 'show', 'host2')).state === 'connected' || undefined,
      { timeoutMs: 60_000 },
    );
    await small('e1', 'e2');
    const qemu = (await fleet.sh('host2', 'command -v qemu-system-x86_64')).trim();
    await fleet.sh(
      'host2',
      // libvirt asks a QEMU that has changed what it can do, and that works
      `cp ${qemu} /run/working; printf '#!/bin/sh\\ncase "$*" in *guest=*) echo QEMU is broken here >&2; sleep 1; exit 1;; ` +
        `esac\\nexec /run/working "$@"\\n' > /run/broken; chmod 755 /run/broken; mount --bind /run/broken ${qemu}`,
    );
    try {
      const moved = await fleet.move('e1', '--prefer-host', 'host2');
      assert.deepEqual(
        [moved.outcome, moved.to, await fleet.state('host3', 'e1'), await fleet.state('host1', 'e1')],
        ['succeeded', 'host3', 'running', 'absent'],
        JSON.stringify(moved),
      );
      const failed = await fleet.ended(await start('e2', '--to', 'host2'));
      assert.deepEqual(
        [failed.outcome, await fleet.state('host1', 'e2'), await fleet.state('host2', 'e2')],
        ['failed', 'running', 'absent'],
      );
      for (const told of [moved.attempts?.[0]?.message, failed.error?.message])
        assert.match(told ?? '', /QEMU is broken here/);
      // it is gone altogether, as while it is upgraded: the host answers, and takes no VM
      await fleet.sh('host2', "printf '#!/bin/sh\\nexit 1\\n' > /run/broken");
      await fleet.plane.kill();
      await fleet.plane.start();
      const { state, qemuVersion } = await waitFor(
        'host2 to be known',
        async () => {
          const host = await fleet.plane.json<{ state: string; qemuVersion?: string }>('host', 'show', 'host2');
          return host.state === 'connecting' ? undefined : host;
        },
        { timeoutMs: 30_000 },
      );
      assert.deepEqual([state, qemuVersion], ['connected', undefined]);
      await fleet.seen('e2', 'running');
      const refused = await fleet.plane.ferry('vm', 'migrate', 'e2', '--to', 'host2', '-o', 'json');
      assert.match(refused.stdout, /target-no-qemu/);
    } finally {
      await fleet.sh('host2', `umount ${qemu}`);
    }
  },
);
