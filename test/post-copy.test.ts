/**
 * Post-copy on real hosts: a guest that dirties memory faster than the link carries it is switched over by command,
 * runs on the target without a new boot, and nothing goes back from then on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTicks, vmCreate, vmLog, waitFor } from '@ferry/lab';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await vmCreate(made.lab, { name: 'busy', host: 'host1', workload: 'dirty:40' });
  await fleet.seen('busy', 'running');
});

const start = async (to: string, ...options: readonly string[]): Promise<string> => {
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'busy',
    '--to',
    to,
    '--max-bandwidth-mb',
    '4',
    '--policy',
    'harvester',
    '--detach',
    ...options,
  );
  await waitFor(
    'memory to travel',
    async () => ((await fleet.migration(id)).progress === undefined ? undefined : true),
    { timeoutMs: 20_000 },
  );
  return id;
};

test('it must have been allowed, and nothing else must speak against it', async () => {
  const id = await start('host2');
  const refused = await fleet.plane.ferry('migration', 'postcopy', id);
  assert.match(refused.stderr, /was not started with post-copy allowed/);
  assert.equal((await fleet.plane.ferry('migration', 'abort', id)).code, 0);
  assert.equal((await fleet.ended(id)).outcome, 'cancelled');
  assert.equal(await fleet.state('host1', 'busy'), 'running');
  const unfit = await fleet.plane.ferry('vm', 'migrate', 'busy', '--postcopy', '--direct', '--parallel', '2');
  for (const why of [/Post-copy needs the hosts to drive/, /not do post-copy over several connections/])
    assert.match(unfit.stderr, why);
});

test('switched over: the guest runs on the target, an abort is refused, and it ends there', async () => {
  const boots = readTicks(vmLog(fleet.lab, 'busy')).boots.length;
  const id = await start('host2', '--postcopy');
  const switched = await fleet.plane.json<MigrationJson>('migration', 'postcopy', id);
  assert.equal(switched.phase, 'post-copy');
  const abort = await fleet.plane.ferry('migration', 'abort', id);
  assert.match(abort.stderr, /past its point of no return|has already succeeded/);
  const done = await fleet.ended(id);
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.deepEqual(done.vmIsNow, { host: 'host2', state: 'running' });
  assert.equal(await fleet.state('host1', 'busy'), 'absent');
  const before = readTicks(vmLog(fleet.lab, 'busy')).last;
  await waitFor('the guest to count on', () => (readTicks(vmLog(fleet.lab, 'busy')).last > before ? true : undefined), {
    timeoutMs: 20_000,
  });
  assert.equal(readTicks(vmLog(fleet.lab, 'busy')).boots.length, boots);
  const late = await fleet.plane.ferry('migration', 'postcopy', id);
  assert.match(late.stderr, /has already succeeded/);
});
