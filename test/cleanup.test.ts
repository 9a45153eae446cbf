/**
 * What is left of a migration that failed, on real hosts: with --keep-dest-guest-on-failed the target's volumes,
 * definition and log are kept for a look, and "ferry migration cleanup" shows and removes them; without it nothing is
 * left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vmCreate, signalDaemon, startDaemon, waitFor } from '@ferry/lab';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await vmCreate(made.lab, { name: 'web', host: 'host1', disk: 'local' });
  await fleet.seen('web', 'running');
});

/** The target's libvirtd dies while memory travels. */
async function failed(...options: readonly string[]): Promise<MigrationJson> {
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'web',
    '--to',
    'host2',
    '--max-bandwidth-mb',
    '4',
    '--detach',
    ...options,
  );
  await waitFor(
    'memory to travel',
    async () => ((await fleet.migration(id)).progress?.part === 'memory' ? true : undefined),
    { timeoutMs: 60_000 },
  );
  await signalDaemon(fleet.lab, 'host2', 'KILL');
  await startDaemon(fleet.lab, 'host2');
  return fleet.ended(id, 90_000);
}
const volumes = () => fleet.sh('host2', "ls /var/lib/libvirt/images | grep '^web' || true");

test('kept on request: log, definition and volume, and cleaned up afterwards', { timeout: 180_000 }, async () => {
  const { id, outcome } = await failed('--keep-dest-guest-on-failed');
  assert.equal(outcome, 'failed');
  assert.equal(await fleet.state('host1', 'web'), 'running');
  const kept = await fleet.plane.json<{
    readonly host: string;
    readonly log?: string;
    readonly definition?: string;
    readonly volumes: readonly string[];
    readonly notes: readonly string[];
  }>('migration', 'inspect', id);
  assert.equal(kept.host, 'host2');
  assert.match(
    kept.log ?? '',
    /qemu-system-x86_64[\s\S]*-incoming/,
    `the log that was kept: ${JSON.stringify(kept.log)}; notes: ${JSON.stringify(kept.notes)}`,
  );
  assert.deepEqual(kept.notes, []);
  assert.match(kept.definition ?? '', /<name>web<\/name>/);
  assert.deepEqual(kept.volumes.length, 1);
  assert.notEqual(await volumes(), '');
  const shown = await fleet.plane.ferry('migration', 'cleanup', 'web');
  assert.match(shown.stdout, /host2\s+an unfinished copy, \S+, of migration \S+\s+Deleted\./);
  assert.notEqual(await volumes(), '', 'looking changes nothing');
  await fleet.plane.json('migration', 'cleanup', 'web', '--yes');
  assert.equal(await volumes(), '');
  assert.match((await fleet.plane.ferry('migration', 'cleanup', 'web')).stdout, /nothing is left of web/);
});

test('not kept otherwise; a second migration succeeds', { timeout: 180_000 }, async () => {
  const { id } = await failed();
  assert.equal(await volumes(), '');
  assert.match((await fleet.plane.ferry('migration', 'inspect', id)).stderr, /Nothing was kept/);
  const done = await fleet.move('web', '--to', 'host2');
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
});
