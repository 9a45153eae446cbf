/**
 * Somebody works on the VM with virsh while Ferry moves it, and people abort at every moment or ask twice. What they
 * did holds; the VM is in one place and the stored end says what is true. On a LUN without locks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh } from '@ferry/lab';
import { post, watchMigrations } from './api.ts';
import { begin, guestWithRecords, intact, onlyFull, place, type Begun } from './fault-fixture.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await guestWithRecords(made, 'handled');
});

const byHand = (host: string, ...command: readonly string[]) => virsh(fleet.lab, host, [...command, 'handled']);

test(
  'aborted with virsh: it ends as failed, since Ferry was not asked, and the source runs on',
  { timeout: 120_000 },
  async () => {
    const begun = await begin(fleet, 'handled', { mib: 2 });
    await byHand(begun.from, 'domjobabort');
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

// libvirt takes a suspension during a migration for a pause that lets it converge, and ends it with the migration

test(
  'suspended with virsh: it goes on, the guest runs at the target, and Ferry reports that',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'handled', { mib: 2 });
    await byHand(begun.from, 'suspend');
    await fleet.plane.json('migration', 'set', begun.id, '--max-bandwidth-mb', '100');
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
  },
);

test(
  'suspended with virsh, then aborted: the guest runs again where it was',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'handled', { mib: 2 });
    await byHand(begun.from, 'suspend');
    assert.equal((await post(fleet.plane, `migrations/${begun.id}/abort`)).status, 202);
    await intact(fleet, begun, { at: begun.from, outcome: 'cancelled' });
  },
);

test('destroyed with virsh: it ends, and the VM is shut off where it was', { timeout: 120_000 }, async () => {
  const begun = await begin(fleet, 'handled', { mib: 2 });
  await byHand(begun.from, 'destroy');
  await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off', error: /stopped on/ });
});

test(
  'its half on the target destroyed with virsh: it ends, and the source runs on',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'handled', { mib: 2 });
    await byHand(begun.to, 'destroy');
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

test(
  'undefined with virsh: libvirt lets that wait, and when the VM has gone there is nothing to undefine',
  { timeout: 120_000, skip: onlyFull('the harder ones are in every run') },
  async () => {
    const begun = await begin(fleet, 'handled', { mib: 12 });
    const undefining = byHand(begun.from, 'undefine').then(() => 'undefined', String);
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
    assert.match(await undefining, /no domain/);
  },
);

test('two requests for one VM at the same moment: exactly one wins', { timeout: 120_000 }, async () => {
  const { from, to, boots } = await place(fleet, 'handled');
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => post(fleet.plane, 'migrations', { vm: 'handled', to, assumeShared: true })),
  );
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [201, 409, 409, 409, 409, 409],
    JSON.stringify(answers),
  );
  for (const { status, body } of answers) if (status === 409) assert.equal(body.code, 'vm-already-migrating');
  const { id = '' } = answers.find(({ status }) => status === 201)?.body ?? {};
  await intact(fleet, { id, vm: 'handled', from, to, boots }, { at: to, outcome: 'succeeded' });
});

test(
  'the same request six times with one key: one migration, and each answer is of it, also after a kill',
  { timeout: 120_000, skip: onlyFull('the engine is tested with it in every run') },
  async () => {
    const { from, to, boots } = await place(fleet, 'handled');
    const asked = { vm: 'handled', to, assumeShared: true };
    const ask = (body: object) => post(fleet.plane, 'migrations', body, { 'idempotency-key': 'move-it-once' });
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(asked)));
    const id = answers[0]?.body.id ?? assert.fail('no answer');
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body.id]),
      answers.map(() => [201, id]),
    );
    await intact(fleet, { id, vm: 'handled', from, to, boots }, { at: to, outcome: 'succeeded' });
    await fleet.plane.kill();
    await fleet.plane.start();
    assert.deepEqual((await ask(asked)).body.id, id);
    const other = await ask({ ...asked, to: from });
    assert.deepEqual([other.status, other.body.code], [422, 'idempotency-key-used']);
  },
);

test(
  'moved with virsh, and then asked of Ferry at once: nothing is refused by what was seen before',
  { timeout: 120_000 },
  async () => {
    const { from, to, boots } = await place(fleet, 'handled');
    const uri = fleet.temporary.status.hosts.find(({ name }) => name === to)?.uri ?? assert.fail(to);
    await virsh(fleet.lab, from, ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', 'handled', uri]);
    const { status, body } = await post(fleet.plane, 'migrations', { vm: 'handled', to: from, assumeShared: true });
    assert.equal(status, 201, JSON.stringify(body));
    await intact(
      fleet,
      { id: body.id ?? '', vm: 'handled', from: to, to: from, boots },
      { at: from, outcome: 'succeeded' },
    );
  },
);

/** Aborts twice at once as soon as `when` is true of the migration, and gives both answers. */
async function abortedTwice(when: (migration: MigrationJson) => boolean): Promise<{
  readonly begun: Begun;
  readonly answers: readonly { readonly status: number; readonly code: string | undefined }[];
}> {
  const { promise, resolve, reject } =
    Promise.withResolvers<readonly { readonly status: number; readonly code: string | undefined }[]>();
  let aborting = false;
  using _watch = await watchMigrations(fleet.plane, (migration) => {
    if (!aborting && !when(migration) && migration.outcome !== undefined)
      reject(new Error('it ended before that moment came'));
    if (aborting || !when(migration)) return;
    aborting = true;
    const abort = async () => {
      const { status, body } = await post(fleet.plane, `migrations/${migration.id}/abort`);
      return { status, code: body.code };
    };
    resolve(Promise.all([abort(), abort()]));
  });
  const begun = await begin(fleet, 'handled', { mib: 12, percent: 0 });
  return { begun, answers: await promise };
}

const moments: readonly (readonly [string, (migration: MigrationJson) => boolean])[] = [
  ...['queued', 'checking', 'preparing', 'transferring', 'switching', 'verifying', 'cleaning', 'succeeded'].map(
    (phase) => [`as it becomes ${phase}`, (migration: MigrationJson) => migration.phase === phase] as const,
  ),
  ['just before the switchover', ({ phase, progress }) => phase === 'transferring' && (progress?.percent ?? 0) >= 40],
];
const always = ['as it becomes switching'];
for (const [moment, when] of moments) {
  test(
    `aborted twice ${moment}: it is cancelled, or it is told that it is too late`,
    { timeout: 120_000, skip: always.includes(moment) ? false : onlyFull('one of the moments is in every run') },
    async () => {
      const { begun, answers } = await abortedTwice(when);
      const { outcome } = await fleet.ended(begun.id);
      const late = answers.filter(({ status }) => status === 409);
      for (const { code } of late) assert.match(code ?? '', /^migration-(past-return|finished)$/);
      assert.equal(
        answers.filter(({ status }) => status === 200 || status === 202).length + late.length,
        2,
        JSON.stringify(answers),
      );
      if (['preparing', 'transferring'].some((phase) => moment.endsWith(phase)))
        assert.equal(outcome, 'cancelled', moment);
      if (/succeeded|cleaning/.test(moment)) assert.deepEqual([outcome, late.length], ['succeeded', 2]);
      await intact(
        fleet,
        begun,
        outcome === 'cancelled' ? { at: begun.from, outcome } : { at: begun.to, outcome: 'succeeded' },
      );
    },
  );
}
