/**
 * Post-copy whose link breaks, on real hosts: what both say then, that nothing is lost, and that a recovery brings the
 * guest through. The source keeps what the target has not, so neither may be ended before.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh, waitFor } from '@ferry/lab';
import { onlyFull } from './fault-fixture.ts';
import { soon, withDrivenHosts, type DrivenHosts, type Guest } from './driven-hosts.ts';

let hosts: DrivenHosts;
let guest: Guest;
withDrivenHosts(async (made) => {
  hosts = made;
  await made.loseHopeSoon();
  // much memory: on a busy machine the guest gets on slowly, what is sent to it does not
  guest = await made.create({ name: 'busy', host: 'host1', workload: 'dirty:20', memoryMib: 256 });
});

/** The target's end of QEMU's connection breaks at its next word, then the source's; new ones are refused. */
const brokenMigrationPort = `table ip cut {
  chain in { type filter hook input priority 0; tcp dport 49152-49215 tcp flags syn reject with tcp reset; }
  chain out { type filter hook output priority 0; tcp sport 49152-49215 tcp flags rst accept; tcp sport 49152-49215 reject with tcp reset; }
}`;
const silence = (peer: string): string => `table ip cut {
  chain in { type filter hook input priority 0; ip saddr ${peer} drop; }
  chain out { type filter hook output priority 0; ip daddr ${peer} drop; }
}`;
const cut = (host: string, rules: string): Promise<string> => hosts.sh(host, `nft -f - <<'RULES'\n${rules}\nRULES`);
const heal = (host: string): Promise<string> => hosts.sh(host, 'nft delete table ip cut');

/** The guest runs on the target already, and most of its memory is on the source still. */
async function switchedOver(from: string, to: string) {
  const source = hosts.driver(from);
  const performing = source.transfer.perform(guest.request(to, { maxBandwidthMiBPerSecond: 4 }), soon());
  await waitFor(
    'memory to travel',
    async () => ((await source.transfer.sample(guest.uuid, soon()))?.processedBytes ?? 0) > 1e6 || undefined,
    { timeoutMs: 30_000 },
  );
  await virsh(hosts.lab, from, ['migrate-setspeed', 'busy', '3', '--postcopy']);
  await source.steering.startPostCopy(guest.uuid, soon());
  assert.equal(await guest.until(from, 'paused/post-copy'), 'paused/post-copy');
  await guest.until(to, 'running/post-copy');
  // an emulated CPU that takes an interrupt holds QEMU's lock: if the link broke while a page for that is missing, QEMU
  // would answer nobody any more, libvirt neither. What interrupts need comes with the first of them.
  for (let i = 0; i < 3; i += 1) await guest.countsOn();
  return { performing };
}

const arrivesAt = async (from: string, to: string, boots: number): Promise<void> => {
  await guest.until(to, 'running/migrated');
  await guest.until(from, 'absent', 'shut-off/migrated');
  await guest.countsOn();
  assert.equal(guest.boots(), boots);
};

test(
  'QEMU loses its connection: both halves say so, a recovery fails while it is cut, and brings the guest through later',
  { timeout: 180_000, skip: onlyFull('the same is done by the control plane in every run (fault-post-copy.test.ts)') },
  async () => {
    const boots = guest.boots();
    const { performing } = await switchedOver('host1', 'host2');
    await cut('host2', brokenMigrationPort);
    await guest.until('host1', 'paused/post-copy-failed');
    await guest.until('host2', 'running/post-copy-failed');
    const { failure } = await performing;
    assert.equal(failure?.outcome, 'refused', failure?.message);
    assert.match(failure?.message ?? '', /operation failed/);

    // the source's QEMU notices a moment after the target's: until then it says that it is at work
    const inVain = await waitFor(
      'a recovery to fail for good',
      async () => {
        const tried = await hosts.driver('host1').transfer.recover(guest.request('host2'), soon());
        return tried.failure?.stillRunning === true ? undefined : tried;
      },
      { timeoutMs: 30_000 },
    );
    assert.equal(inVain.failure?.outcome, 'refused');
    assert.deepEqual(
      [await guest.at('host1'), await guest.at('host2')],
      ['paused/post-copy-failed', 'running/post-copy-failed'],
    );

    await heal('host2');
    // else it would go on at the pace of the broken one
    await virsh(hosts.lab, 'host1', ['migrate-setspeed', 'busy', '1000', '--postcopy']);
    // a failure is not the last word: libvirt may tell that of the attempt before, while QEMU is at work again
    await waitFor(
      'the guest to be through',
      async () => {
        const { failure } = await hosts.driver('host1').transfer.recover(guest.request('host2'), soon());
        return failure === undefined || (await guest.at('host2')) === 'running/migrated' || undefined;
      },
      { timeoutMs: 60_000, intervalMs: 200 },
    );
    await arrivesAt('host1', 'host2', boots);
  },
);

test(
  'hosts lose each other, and QEMU does not notice: a recovery is not needed, and says so',
  { timeout: 180_000, skip: onlyFull('keepalive takes its time') },
  async () => {
    const boots = guest.boots();
    const { performing } = await switchedOver('host2', 'host1');
    await cut('host2', silence(hosts.address('host1')));
    await guest.until('host2', 'paused/post-copy-failed');
    assert.equal((await performing).failure?.outcome, 'refused');
    // its daemon waits for the rest, and knows of nothing
    assert.equal(await guest.at('host1'), 'running/post-copy');
    await heal('host2');
    const { failure } = await hosts.driver('host2').transfer.recover(guest.request('host1'), soon());
    assert.equal(failure?.stillRunning, true, failure?.message);
    await virsh(hosts.lab, 'host2', ['migrate-setspeed', 'busy', '1000', '--postcopy']);
    await arrivesAt('host2', 'host1', boots);
  },
);

test('there is nothing to recover where nothing is on its way', async () => {
  const { failure } = await hosts.driver('host1').transfer.recover(guest.request('host2'), soon());
  assert.equal(failure?.outcome, 'refused');
  assert.equal(failure.stillRunning, undefined, failure.message);
  await guest.countsOn();
});
