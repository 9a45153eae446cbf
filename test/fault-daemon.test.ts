/**
 * A libvirtd ends, is restarted or hangs in the middle of a migration; also where it hurts most, with the guest paused
 * for its switchover. One guest goes through all of it, on a LUN without locks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdFinish, releaseFinish, signalDaemon, startDaemon, waitFor } from '@ferry/lab';
import { begin, beginHeld, shortPatience, countsOn, guestWithRecords, intact, onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await shortPatience(made);
  await guestWithRecords(made, 'served');
});

/** Also when the test fails: a stopped daemon would hold everything that follows. */
async function hung<T>(host: string, meanwhile: () => Promise<T>): Promise<T> {
  await signalDaemon(fleet.lab, host, 'STOP');
  try {
    return await meanwhile();
  } finally {
    await signalDaemon(fleet.lab, host, 'CONT');
  }
}

test('source libvirtd killed and restarted: it ends, and the source runs on', { timeout: 120_000 }, async () => {
  const begun = await begin(fleet, 'served', { mib: 2 });
  await signalDaemon(fleet.lab, begun.from, 'KILL');
  await startDaemon(fleet.lab, begun.from);
  await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
});

test(
  'source libvirtd gets SIGTERM: libvirt finishes the migration first',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'served', { mib: 12 });
    await signalDaemon(fleet.lab, begun.from, 'TERM');
    await startDaemon(fleet.lab, begun.from);
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test('target libvirtd killed: it ends, and the source runs on', { timeout: 120_000 }, async () => {
  const begun = await begin(fleet, 'served', { mib: 2 });
  await signalDaemon(fleet.lab, begun.to, 'KILL');
  await countsOn(fleet, 'served');
  await startDaemon(fleet.lab, begun.to);
  await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
});

test(
  'target libvirtd hung until the source drops it: the guest runs on at the source',
  { timeout: 180_000 },
  async () => {
    const begun = await begin(fleet, 'served', { mib: 24 });
    // whether a daemon that wakes first hears the last call or that the caller is gone is a race:
    // test/lost-reply.test.ts has the other end of it
    await holdFinish(fleet.lab, begun.to);
    await hung(begun.to, async () => {
      await waitFor('the switchover', async () => (await fleet.state(begun.from, 'served')) === 'paused' || undefined, {
        timeoutMs: 30_000,
      });
      await waitFor(
        'the guest to run again',
        async () => (await fleet.state(begun.from, 'served')) === 'running' || undefined,
        { timeoutMs: 60_000 },
      );
      await countsOn(fleet, 'served');
      assert.equal(
        (await fleet.migration(begun.id)).outcome,
        undefined,
        'nothing is told while the target says nothing',
      );
    });
    await waitFor(
      'the target to notice that the source is gone',
      async () => (await fleet.state(begun.to, 'served')) === 'absent' || undefined,
      { timeoutMs: 30_000 },
    );
    await releaseFinish(fleet.lab, begun.to);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

test(
  'target libvirtd hung for a moment: it goes on and finishes',
  { timeout: 180_000, skip: onlyFull('the long hang is the harder one') },
  async () => {
    const begun = await begin(fleet, 'served', { mib: 24 });
    await hung(begun.to, () =>
      waitFor('the switchover', async () => (await fleet.state(begun.from, 'served')) === 'paused' || undefined, {
        timeoutMs: 30_000,
      }),
    );
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'target libvirtd killed at the switchover: the guest runs on at the source',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await beginHeld(fleet, 'served');
    await signalDaemon(fleet.lab, begun.to, 'KILL');
    await releaseFinish(fleet.lab, begun.to);
    await startDaemon(fleet.lab, begun.to);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

test(
  'source libvirtd killed at the switchover: its last call still arrives, the target runs, the paused source is taken away',
  { timeout: 120_000 },
  async () => {
    const begun = await beginHeld(fleet, 'served');
    // its kernel sends what it has written; were it killed before that, the target might hear of the end first, which
    // is the next test
    await signalDaemon(fleet.lab, begun.from, 'STOP');
    try {
      await releaseFinish(fleet.lab, begun.to);
      await waitFor(
        'the target to run',
        async () => (await fleet.state(begun.to, 'served')) === 'running' || undefined,
        { timeoutMs: 30_000 },
      );
    } finally {
      await signalDaemon(fleet.lab, begun.from, 'KILL');
      await startDaemon(fleet.lab, begun.from);
    }
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'source libvirtd killed at the switchover: its last call is lost, the target forgets the guest, the paused source runs again',
  { timeout: 120_000 },
  async () => {
    const begun = await beginHeld(fleet, 'served');
    await signalDaemon(fleet.lab, begun.from, 'KILL');
    await waitFor(
      'the target to give the source up',
      async () => (await fleet.state(begun.to, 'served')) === 'absent' || undefined,
      { timeoutMs: 60_000 },
    );
    await releaseFinish(fleet.lab, begun.to);
    await startDaemon(fleet.lab, begun.from);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);
