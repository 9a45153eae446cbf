/**
 * The data folder of the control plane is on a disk that runs full while a migration goes on: what is true is said, with
 * the reason, on everything that is asked, and it heals.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { vmCreate, waitFor } from '@ferry/lab';
import { onlyFull } from './fault-fixture.ts';
import type { MigrationJson } from './answers.ts';
import { withFleet, type Fleet } from './fleet.ts';

const disk = mkdtempSync(join(tmpdir(), 'ferry-disk-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m', 'ferry-test', disk]);
let fleet: Fleet;
withFleet(
  async (made) => {
    fleet = made;
    await vmCreate(made.lab, { name: 'web', host: 'host1' });
    await fleet.seen('web', 'running');
  },
  { machine: { folder: disk } },
);
after(() => {
  execFileSync('umount', ['--lazy', disk]);
  rmSync(disk, { recursive: true, force: true });
});

/** Takes what is left of the disk. */
function fillDisk(): Disposable {
  const filler = join(disk, 'filler');
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));
  return { [Symbol.dispose]: () => rmSync(filler, { force: true }) };
}

test(
  'a full disk during a move: every answer says so, and where the guest is; it ends well once there is space',
  { timeout: 180_000, skip: onlyFull('the same is shown in virtual time in every run') },
  async () => {
    const { plane, migration } = fleet;
    const [from, to] = ['host1', 'host2'];
    const { id } = await plane.json<MigrationJson>(
      'vm',
      'migrate',
      'web',
      '--to',
      to,
      '--detach',
      '--max-bandwidth-mb',
      '4',
    );
    await waitFor('the transfer', async () => ((await migration(id)).progress?.percent ?? 0) >= 5 || undefined, {
      timeoutMs: 60_000,
    });
    {
      using _full = fillDisk();
      const now = await waitFor(
        'the migration to say why it waits',
        async () => {
          const seen = await migration(id);
          return /its disk is full/.test(seen.attention ?? '') ? seen : undefined;
        },
        { timeoutMs: 60_000 },
      );
      assert.equal(now.outcome, undefined);
      for (const asked of [
        ['migration', 'abort', id],
        ['migration', 'set', id, '--max-bandwidth-mb', '20'],
        ['migration', 'postcopy', id],
        ['vm', 'label', 'web', 'tier=db'],
      ]) {
        const ran = await plane.ferry(...asked);
        assert.notEqual(ran.code, 0, `${asked.join(' ')}: ${ran.stdout}`);
        assert.match(ran.stderr, /its disk is full/, asked.join(' '));
        assert.doesNotMatch(ran.stderr, /defect/, asked.join(' '));
      }
      // libvirt goes on without Ferry: the guest arrives, and what is asked is answered as it is
      await waitFor(
        'the guest to have arrived',
        async () =>
          ((await fleet.state(to, 'web')) === 'running' && (await fleet.state(from, 'web')) === 'absent') || undefined,
        { timeoutMs: 90_000 },
      );
      const arrived = await waitFor(
        'that to be said',
        async () => {
          const seen = await migration(id);
          return seen.vmIsNow?.host === to ? seen : undefined;
        },
        { timeoutMs: 20_000 },
      );
      assert.match(arrived.attention ?? '', /its disk is full/);
      assert.equal((await fleet.show('web')).host, to);
      const [listed] = await plane.json<readonly MigrationJson[]>('migration', 'list', '--active');
      assert.deepEqual([listed?.id, listed?.vmIsNow?.host], [id, to]);
    }
    const done = await fleet.ended(id);
    assert.deepEqual(
      [done.outcome, done.vmIsNow, done.attention],
      ['succeeded', { host: to, state: 'running' }, undefined],
      JSON.stringify(done),
    );
    assert.deepEqual((await fleet.move('web', '--to', from)).vmIsNow, { host: from, state: 'running' });
  },
);
