/** Calls of the driver into guests on real hosts: pause, announce, set the clock, shut down. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh, waitFor } from '@ferry/lab';
import { soon, withDrivenHosts, type DrivenHosts, type Guest } from './driven-hosts.ts';

let hosts: DrivenHosts;
let plain: Guest;
let withAgent: Guest;
withDrivenHosts(async (made) => {
  hosts = made;
  plain = await made.create({ name: 'plain', host: 'host1', workload: 'dirty:20' });
  withAgent = await made.create({ name: 'agent', host: 'host1', agent: true });
});

const driver = (host = 'host1') => hosts.driver(host);

/** Milliseconds that the guest's clock is behind this machine's; undefined when no agent answers. */
const lagMs = async (host: string): Promise<number | undefined> => {
  const answer = await virsh(hosts.lab, host, ['qemu-agent-command', 'agent', '{"execute":"guest-get-time"}']).catch(
    () => undefined,
  );
  return answer === undefined
    ? undefined
    : Date.now() - (JSON.parse(answer) as { readonly return: number }).return / 1e6;
};

const stopped = async (guest: Guest, host: string, ms: number): Promise<void> => {
  await driver(host).power.suspend(guest.uuid, soon());
  assert.equal(await guest.at(host), 'paused/user');
  const since = performance.now();
  await waitFor('some time to pass', () => performance.now() - since > ms || undefined, { timeoutMs: 2 * ms });
  await driver(host).power.resume(guest.uuid, soon());
};

test(
  'a guest that is suspended on its way runs again: where it was when the move is aborted, where it arrives otherwise',
  { timeout: 120_000 },
  async () => {
    const boots = plain.boots();
    const moving = async () => {
      const performing = driver().transfer.perform(plain.request('host2', { maxBandwidthMiBPerSecond: 4 }), soon());
      await waitFor(
        'memory to travel',
        async () => ((await driver().transfer.sample(plain.uuid, soon()))?.processedBytes ?? 0) > 1e6 || undefined,
        { timeoutMs: 30_000 },
      );
      await driver().power.suspend(plain.uuid, soon());
      assert.equal(await plain.at('host1'), 'paused/migration');
      return { performing };
    };
    const aborted = await moving();
    await driver().transfer.abort(plain.uuid, soon());
    assert.match((await aborted.performing).failure?.message ?? '', /operation aborted/);
    assert.equal(await plain.at('host1'), 'running/migration-canceled');
    await plain.countsOn();

    const arriving = await moving();
    await driver().steering.tune(plain.uuid, { maxBandwidthMiBPerSecond: 1_000 }, soon());
    assert.deepEqual(await arriving.performing, {});
    assert.deepEqual([await plain.at('host1'), await plain.at('host2')], ['absent', 'running/migrated']);
    await plain.countsOn();
    assert.equal(plain.boots(), boots);
  },
);

test('it announces itself: frames of its own leave the host', async () => {
  const interfaces = await virsh(hosts.lab, 'host1', ['domiflist', withAgent.uuid]);
  const mac = /([0-9a-f]{2}:){5}[0-9a-f]{2}/.exec(interfaces)?.[0] ?? assert.fail(interfaces);
  await hosts.sh(
    'host1',
    "nft 'add table bridge seen; add chain bridge seen frames { type filter hook forward priority 0; }; " +
      // another guest may have arrived just now; a frame passes once for each port that it leaves by
      `add rule bridge seen frames oifname eth0 ether saddr ${mac} ether type 0x8035 counter'`,
  );
  const frames = async () => Number(/packets (\d+)/.exec(await hosts.sh('host1', 'nft list table bridge seen'))?.[1]);
  assert.equal(await frames(), 0);
  await driver().guest.announce(withAgent.uuid, soon());
  await waitFor('five frames', async () => ((await frames()) === 5 ? true : undefined), { timeoutMs: 30_000 });
  await hosts.sh('host1', 'nft delete table bridge seen');
});

test('its agent sets its clock, also where it has just arrived', { timeout: 120_000 }, async () => {
  await waitFor('the agent', () => lagMs('host1'), { timeoutMs: 60_000 });
  assert.equal(await driver('host2').guest.setTime(plain.uuid, soon()), false, 'it has no agent');
  for (const host of ['host1', 'host2']) {
    if (host === 'host2') assert.deepEqual(await driver().transfer.perform(withAgent.request('host2'), soon()), {});
    const rightMs = (await lagMs(host)) ?? assert.fail('no agent');
    await stopped(withAgent, host, 6_000);
    const behindMs = (await lagMs(host)) ?? assert.fail('no agent');
    assert.ok(behindMs - rightMs > 5_000, `${behindMs} after ${rightMs}`);
    assert.equal(await driver(host).guest.setTime(withAgent.uuid, soon()), true);
    const setMs = (await lagMs(host)) ?? assert.fail('no agent');
    assert.ok(Math.abs(setMs) < behindMs / 2, `${setMs} after ${behindMs}`);
  }
});

test(
  'an agent that does not answer is waited for until the signal aborts, and holds up nothing else',
  { timeout: 120_000 },
  async () => {
    const qemu = (await hosts.sh('host2', 'cat /run/libvirt/qemu/agent.pid')).trim();
    await hosts.sh('host2', `kill -STOP ${qemu}`);
    try {
      const abort = new AbortController();
      const asked = driver('host2').guest.setTime(withAgent.uuid, abort.signal);
      const unread = async () =>
        (await hosts.sh('host2', 'ss -Hxa'))
          .split('\n')
          .some((line) => line.includes('guest_agent') && Number(line.trim().split(/\s+/)[2]) > 0);
      await waitFor('the question to lie at its door', async () => (await unread()) || undefined, {
        timeoutMs: 20_000,
      });
      assert.equal(await plain.at('host2'), 'running/migrated');
      abort.abort();
      await assert.rejects(asked, /DOMAIN_SET_TIME was cancelled after it was sent/);
    } finally {
      await hosts.sh('host2', `kill -CONT ${qemu}`);
    }
    await waitFor(
      'the agent to obey again',
      () =>
        driver('host2')
          .guest.setTime(withAgent.uuid, soon())
          .catch(() => undefined),
      { timeoutMs: 60_000 },
    );
  },
);

test('asked to shut down, it does, with an agent and without', { timeout: 120_000 }, async () => {
  for (const guest of [plain, withAgent]) {
    await driver('host2').power.shutdown(guest.uuid, soon());
    await guest.until('host2', 'shut-off/other');
    await assert.rejects(driver('host2').guest.announce(guest.uuid, soon()), /not running/);
  }
});
