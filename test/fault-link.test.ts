/**
 * The network breaks in the middle of a migration: a short cut is waited out, a long one ends the move with the VM
 * where it was, and the three ways (Ferry to a host, daemon to daemon, the data) each for itself. One guest goes
 * through all of it, on a LUN without locks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { changeLink, changeRate, cutTraffic, mendTraffic, virsh, waitFor, type Traffic } from '@ferry/lab';
import { begin, shortPatience, countsOn, guestWithRecords, intact, onlyFull, other } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await guestWithRecords(made, 'linked');
});

/** While the cut lasts `meanwhile` is done; it is as long as the fault says, since its length is the fault. */
async function cutCable(host: string, ms: number): Promise<void> {
  await changeLink(fleet.lab, host, false);
  try {
    await sleep(ms);
  } finally {
    await changeLink(fleet.lab, host, true);
  }
}
async function cut<T>(host: string, traffic: Traffic, meanwhile: () => Promise<T>): Promise<T> {
  await cutTraffic(fleet.lab, host, traffic);
  try {
    return await meanwhile();
  } finally {
    await mendTraffic(fleet.lab, host, traffic);
  }
}
/** libvirt has given the move up: the source has no job any more. */
const givenUp = (host: string): Promise<unknown> =>
  waitFor(
    'libvirt to give the move up',
    async () => /Job type:\s+None/.test(await virsh(fleet.lab, host, ['domjobinfo', 'linked'])) || undefined,
    { timeoutMs: 90_000, intervalMs: 200 },
  );

test('link cut for 8 s: it goes on and finishes', { timeout: 120_000 }, async () => {
  const begun = await begin(fleet, 'linked', { mib: 12 });
  await cutCable(begun.to, 8_000);
  await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
});

test(
  'Ferry to the target cut until libvirt has finished: the migration goes on, and its end is known afterwards',
  { timeout: 120_000 },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 12 });
    await cut(begun.to, 'control-plane', () =>
      waitFor(
        'the source to be done',
        async () => (await fleet.state(begun.from, 'linked')) === 'absent' || undefined,
        { timeoutMs: 60_000 },
      ),
    );
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'Ferry to the source cut until libvirt has finished: the migration goes on, and its end is known afterwards',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 12 });
    await cut(begun.from, 'control-plane', () =>
      waitFor(
        'the source to be done',
        async () => (await fleet.state(begun.from, 'linked')) === 'absent' || undefined,
        { timeoutMs: 60_000 },
      ),
    );
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'the data cut for 8 s: it goes on and finishes',
  { timeout: 120_000, skip: onlyFull('the whole link is cut in every run') },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 12 });
    await cut(begun.to, 'data', () => sleep(8_000));
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'the data cut, and an abort meanwhile: the guest is free at once',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 2 });
    await cut(begun.to, 'data', async () => {
      assert.equal((await fleet.plane.ferry('migration', 'abort', begun.id)).code, 0);
      await fleet.ended(begun.id);
      await countsOn(fleet, 'linked');
    });
    await intact(fleet, begun, { at: begun.from, outcome: 'cancelled' });
  },
);

test(
  'link slows to a tenth: it takes longer, and nothing else',
  { timeout: 180_000, skip: onlyFull('a slow link is slow') },
  async () => {
    const links = (mbit: number | undefined) =>
      Promise.all(['host1', 'host2'].map((host) => changeRate(fleet.lab, host, mbit)));
    await links(320);
    try {
      const begun = await begin(fleet, 'linked', { mib: 36 });
      await links(32);
      await intact(fleet, begun, { at: begun.to, outcome: 'succeeded', timeoutMs: 120_000 });
    } finally {
      await links(undefined);
    }
  },
);

test(
  'link cut for 60 s: it ends, and the source runs on',
  { timeout: 300_000, skip: onlyFull('libvirt takes 30 s to notice') },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 1 });
    await cutCable(begun.to, 60_000);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

test(
  "the source's link cut for 60 s: it ends, and the source runs on",
  { timeout: 300_000, skip: onlyFull('libvirt takes 30 s to notice') },
  async () => {
    const begun = await begin(fleet, 'linked', { mib: 1 });
    await cutCable(begun.from, 60_000);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

// from here on the daemons give each other up after 5 s

test('link cut for longer than the daemons wait: it ends, and the source runs on', { timeout: 180_000 }, async () => {
  await shortPatience(fleet);
  const begun = await begin(fleet, 'linked', { mib: 1 });
  await changeLink(fleet.lab, begun.to, false);
  try {
    await givenUp(begun.from);
    await countsOn(fleet, 'linked');
  } finally {
    await changeLink(fleet.lab, begun.to, true);
  }
  await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
});

test('daemon to daemon cut: it ends, and the source runs on', { timeout: 180_000 }, async () => {
  const begun = await begin(fleet, 'linked', { mib: 1 });
  await cut(begun.to, 'daemons', () => givenUp(begun.from));
  await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  assert.equal(await fleet.state(other(begun.from), 'linked'), 'running', 'and the second move is there');
});
