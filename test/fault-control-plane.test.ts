/**
 * The control plane is killed in every phase and started again: it reports the true end, with the VM in one place.
 * Also: its disk runs full, and a host refuses it during a move. On a LUN without locks. Further tests of a control
 * plane's death: direct.test.ts (between the calls of a direct move), lost-reply.test.ts (in libvirt's window),
 * storage-interrupted.test.ts (in a cold copy).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseFinish, run, waitFor } from '@ferry/lab';
import { watchMigrations } from './api.ts';
import { begin, beginHeld, guestWithRecords, intact, onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await guestWithRecords(made, 'ruled');
});

const phases = ['queued', 'checking', 'preparing', 'transferring', 'switching', 'verifying', 'cleaning', 'succeeded'];
const always = ['preparing'];
for (const phase of phases) {
  test(
    `control plane killed as the migration becomes ${phase}: started again it reports the true end`,
    { timeout: 120_000, skip: always.includes(phase) ? false : onlyFull('one of the phases is in every run') },
    async () => {
      const { plane } = fleet;
      const killed = Promise.withResolvers<void>();
      using _watch = await watchMigrations(plane, (migration) => {
        if (migration.phase === phase) killed.resolve(plane.kill());
      });
      const begun = await begin(fleet, 'ruled', { mib: 48, percent: 0 });
      await killed.promise;
      await plane.start();
      const { outcome } = await fleet.ended(begun.id);
      // killed between the stored phase and libvirt's call it has not begun to move
      await intact(
        fleet,
        begun,
        outcome === 'failed' && phase === 'transferring'
          ? { at: begun.from, outcome, error: /was restarted/ }
          : { at: begun.to, outcome: 'succeeded' },
      );
    },
  );
}

test(
  'control plane killed with the guest paused for its switchover: started again it finishes the move',
  { timeout: 120_000 },
  async () => {
    const begun = await beginHeld(fleet, 'ruled');
    await fleet.plane.kill();
    await fleet.plane.start();
    await releaseFinish(fleet.lab, begun.to);
    const ended = await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
    assert.equal(ended.adopted, true);
  },
);

test(
  "the store's disk runs full in the middle: nothing is done that is not stored, and it goes on when there is room",
  { timeout: 180_000 },
  async () => {
    const { plane } = fleet;
    const folder = plane.dataDir;
    const sh = (command: string) => run(['bash', '-ec', command]);
    // the same folder with its content, on a small file system. Stopped and not killed: SQLite's log of what it has not
    // put in place yet would have space for what comes
    await plane.stop();
    await sh(
      `cp -a ${folder} ${folder}.kept; mount -t tmpfs -o size=16M,mode=700 tmpfs ${folder}; cp -a ${folder}.kept/. ${folder}`,
    );
    try {
      await plane.start();
      const begun = await begin(fleet, 'ruled', { mib: 24 });
      await sh(`dd if=/dev/zero of=${folder}/fill bs=4k 2>/dev/null || true`);
      await waitFor(
        'libvirt to be done',
        async () => (await fleet.state(begun.from, 'ruled')) === 'absent' || undefined,
        { timeoutMs: 60_000 },
      );
      await waitFor(
        'the store to refuse',
        () => plane.log().includes('the migration could not be stored') || undefined,
        {
          timeoutMs: 20_000,
        },
      );
      assert.equal((await fleet.migration(begun.id)).outcome, undefined, 'an end that is not stored is not told');
      await sh(`rm ${folder}/fill`);
      await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
    } finally {
      await plane.kill();
      await sh(
        `cp -a ${folder}/. ${folder}.kept; umount ${folder}; cp -a ${folder}.kept/. ${folder}; rm -r ${folder}.kept`,
      );
      await plane.start();
    }
  },
);

test(
  'authentication refused in the middle of a run: libvirt finishes, and the end is known when it lets Ferry in again',
  { timeout: 180_000, skip: onlyFull('the way to a host is cut in fault-link.test.ts') },
  async () => {
    const { plane } = fleet;
    const source = (await fleet.show('ruled')).host;
    const { address = '' } = fleet.temporary.status.hosts.find(({ name }) => name === source) ?? {};
    await plane.json('host', 'remove', source);
    await plane.json('host', 'add', `qemu+ssh://root@${address}/system`, '--name', source);
    const begun = await begin(fleet, 'ruled', { mib: 12, more: ['--peer-to-peer'] });
    await fleet.sh(
      source,
      'mv /root/.ssh/authorized_keys /root/.ssh/kept; for pid in $(pgrep sshd); do [ $pid = $(cat /run/sshd.pid) ] || kill -9 $pid; done',
    );
    try {
      await waitFor(
        'the host to refuse',
        async () => /accepts no key/.test(JSON.stringify(await plane.json('host', 'show', source))) || undefined,
        { timeoutMs: 30_000 },
      );
      await waitFor(
        'libvirt to be done',
        async () => (await fleet.state(begun.from, 'ruled')) === 'absent' || undefined,
        { timeoutMs: 60_000 },
      );
      assert.equal((await fleet.migration(begun.id)).outcome, undefined, 'nothing is told while the source refuses');
    } finally {
      await fleet.sh(source, 'mv /root/.ssh/kept /root/.ssh/authorized_keys');
    }
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);
