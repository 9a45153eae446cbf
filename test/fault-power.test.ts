/**
 * A host loses its power in the middle of a migration: the cable goes silent first, then everything on it ends at once.
 * One guest goes through all of it, on a LUN without locks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdFinish, killGuest, powerOff, powerOn, releaseFinish, waitFor } from '@ferry/lab';
import {
  begin,
  beginHeld,
  shortPatience,
  countsOn,
  guestWithRecords,
  intact,
  onlyFull,
  place,
} from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await shortPatience(made);
  await guestWithRecords(made, 'powered');
});

/** The host loses its power, `meanwhile` is done, and it has power again. */
async function withoutPower(host: string, meanwhile: () => Promise<unknown>): Promise<void> {
  await powerOff(fleet.lab, host);
  try {
    await meanwhile();
  } finally {
    await powerOn(fleet.lab, host);
  }
}
const runsAt = (host: string): Promise<unknown> =>
  waitFor(`powered to run on ${host}`, async () => (await fleet.state(host, 'powered')) === 'running' || undefined, {
    timeoutMs: 60_000,
  });

for (const percent of [10, 50, 90]) {
  test(
    `target host powered off at ${percent} %: the source runs on`,
    { timeout: 180_000, skip: onlyFull('the harder moment, the switchover, is in every run') },
    async () => {
      // so that on a slow machine the VM has not arrived before the target loses its power
      await holdFinish(fleet.lab, (await place(fleet, 'powered')).to);
      const begun = await begin(fleet, 'powered', { mib: 8, percent });
      await withoutPower(begun.to, async () => {
        // a slow machine may be at the switchover by now: libvirt then keeps the guest paused for its 30 s of keepalive
        await runsAt(begun.from);
        await countsOn(fleet, 'powered');
        await waitFor(
          'Ferry to miss the host',
          async () =>
            (await fleet.plane.json<{ state: string }>('host', 'show', begun.to)).state === 'unreachable' || undefined,
          { timeoutMs: 60_000 },
        );
        assert.equal(
          (await fleet.migration(begun.id)).outcome,
          undefined,
          'whether the target has run it cannot be known yet',
        );
      });
      await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
    },
  );
}

test('target host powered off at the switchover: the guest runs on at the source', { timeout: 180_000 }, async () => {
  const begun = await beginHeld(fleet, 'powered');
  await withoutPower(begun.to, async () => {
    await runsAt(begun.from);
    await countsOn(fleet, 'powered');
  });
  await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
});

test(
  'source powered off: the VM is shut off where it was, and is not started elsewhere',
  { timeout: 180_000 },
  async () => {
    const begun = await begin(fleet, 'powered', { mib: 4 });
    await withoutPower(begun.from, () =>
      waitFor(
        'the target to forget its half',
        async () => (await fleet.state(begun.to, 'powered')) === 'absent' || undefined,
        { timeoutMs: 90_000 },
      ),
    );
    await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off', error: /stopped on/ });
  },
);

test(
  'source powered off at the switchover: the VM is shut off where it was',
  { timeout: 180_000, skip: onlyFull('as before, at another moment') },
  async () => {
    const begun = await beginHeld(fleet, 'powered');
    await withoutPower(begun.from, () =>
      waitFor(
        'the target to forget its half',
        async () => (await fleet.state(begun.to, 'powered')) === 'absent' || undefined,
        { timeoutMs: 90_000 },
      ),
    );
    await releaseFinish(fleet.lab, begun.to);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off' });
  },
);

test('source QEMU killed in the pause: the target has all of it and runs', { timeout: 180_000 }, async () => {
  const begun = await beginHeld(fleet, 'powered');
  await killGuest(fleet.lab, begun.from, 'powered');
  await releaseFinish(fleet.lab, begun.to);
  await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
});
