/**
 * Policies on real hosts: a busy guest moves as its policy says, each decision is reported with its figures, and
 * nothing else is done to the guest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSector, vmCreate, vmLog, waitFor } from '@ferry/lab';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
withFleet(
  async (made) => {
    fleet = made;
    await vmCreate(made.lab, { name: 'busy', host: 'host1', workload: 'sector:V=64,W=48,D=96' });
    await fleet.seen('busy', 'running');
  },
  { hosts: 3 },
);

interface PolicyJson {
  readonly version: number;
  readonly steps: readonly object[];
}
/** Stores a policy: the default with other fields, and with little patience. */
const policy = (name: string, fields: object): Promise<PolicyJson> => fleet.policy(name, { patience: 0.1, ...fields });
const decisions = ({ decisions: taken = [] }: MigrationJson): string => taken.map(({ text }) => text).join('\n');
const said = () => readSector(vmLog(fleet.lab, 'busy'));
const boots = (): number => said().boots;
/** It goes on, and each page is as it wrote it. */
const countsOn = async (): Promise<void> => {
  const { beats } = said();
  await waitFor('the guest to go on', () => (said().beats > beats + 250 ? true : undefined), { timeoutMs: 20_000 });
  assert.equal(said().damaged, 0, 'pages that are not as they were written');
};
/** The VM is on one of the two hosts, and moves to the other. */
const there = async (): Promise<string> => ((await fleet.show('busy')).host === 'host1' ? 'host2' : 'host1');

test('the default takes a guest that cannot converge over by post-copy, and says why', async () => {
  const before = boots();
  const done = await fleet.move('busy', '--to', await there(), '--max-bandwidth-mb', '16');
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.ok(done.phases.some(({ phase }) => phase === 'post-copy'));
  assert.match(
    decisions(done),
    /iteration \d+: \d+ MiB left, guest writes \d+ MiB\/s, link gives \d+: .*switching to post-copy/,
  );
  assert.deepEqual([done.policy?.name, done.policy?.from], ['default', 'default']);
  assert.ok(done.downtimeMs !== undefined && done.downtimeMs < 5_000, `${done.downtimeMs} ms`);
  await countsOn();
  assert.equal(boots(), before);
});

test('a policy without a helpful step: reported during the transfer, aborted at the deadline, the guest untouched', async () => {
  const from = (await fleet.show('busy')).host;
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'busy',
    '--to',
    await there(),
    '--max-bandwidth-mb',
    '16',
    '--policy',
    'harvester',
    '--deadline',
    '5m',
    '--detach',
  );
  await waitFor(
    'it to say that it does not end',
    async () =>
      /does not end by itself, and no step of the policy helps now/.test(decisions(await fleet.migration(id))) ||
      undefined,
    { timeoutMs: 60_000 },
  );
  await fleet.plane.json('migration', 'set', id, '--deadline', '1s');
  const last = await fleet.ended(id);
  assert.equal(last.error?.code, 'migration-not-converged', JSON.stringify(last.error));
  assert.match(decisions(last), /the deadline has come, aborting/);
  assert.equal(await fleet.state(from, 'busy'), 'running');
  await countsOn();
});

test('a policy that may pause: the guest is paused until it has arrived, and the whole pause is reported', async () => {
  await policy('pauses', { steps: [{ when: 'forecast', do: 'pause' }], postCopy: 'never' });
  const before = boots();
  const done = await fleet.move('busy', '--to', await there(), '--max-bandwidth-mb', '16', '--policy', 'pauses');
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.match(decisions(done), /pausing the guest until it has arrived/);
  assert.equal(done.vmIsNow?.state, 'running');
  assert.ok((done.downtimeMs ?? 0) > 500, `${done.downtimeMs} ms`);
  await countsOn();
  assert.equal(boots(), before);
});

test('a policy that may throttle: QEMU does, and it shows', async () => {
  await policy('throttles', {
    steps: [{ when: 'passes', count: 30, do: 'abort' }],
    throttle: { initialPercent: 50, incrementPercent: 20 },
    postCopy: 'never',
  });
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'busy',
    '--to',
    await there(),
    '--max-bandwidth-mb',
    '16',
    '--policy',
    'throttles',
    '--detach',
  );
  await waitFor(
    'the guest to be slowed down',
    async () => ((await fleet.migration(id)).progress?.throttlePercent === undefined ? undefined : true),
    { timeoutMs: 60_000 },
  );
  await fleet.plane.ferry('migration', 'abort', id);
  await fleet.ended(id, 90_000);
});

test('a policy that may power off: shut down, moved cold, started again', async () => {
  await policy('powers-off', { steps: [{ when: 'forecast', do: 'power-off' }], postCopy: 'never' });
  const before = boots();
  const to = await there();
  const done = await fleet.move('busy', '--to', to, '--max-bandwidth-mb', '16', '--policy', 'powers-off');
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.deepEqual([done.kind, done.vmIsNow], ['cold', { host: to, state: 'running' }]);
  await waitFor('the guest to boot again', () => (boots() > before ? true : undefined), { timeoutMs: 60_000 });
});

test('policies are versioned, selected by label and cluster, and kept as they were on the migration', async () => {
  const first = await policy('mine', { description: 'Mine.' });
  const second = await policy('mine', { description: 'Mine, again.' });
  assert.deepEqual([first.version, second.version], [1, 2]);
  await fleet.plane.json('policy', 'bind', 'tier=db', 'mine');
  await fleet.plane.json('cluster', 'set', 'default', '--policy', 'nova');
  const planned = async () =>
    (
      await fleet.plane.json<{
        readonly policy: { readonly name: string; readonly from: string; readonly version: number };
      }>('vm', 'migrate', 'busy', '--dry-run')
    ).policy;
  const nameOf = async () => {
    const { name, from, version } = await planned();
    return [name, from, version];
  };
  assert.deepEqual(await nameOf(), ['nova', 'cluster', 0]);
  await fleet.plane.json('vm', 'label', 'busy', 'tier=db');
  assert.deepEqual(await nameOf(), ['mine', 'vm', 2]);
  const refused = await fleet.plane.ferry('policy', 'remove', 'mine');
  assert.match(refused.stderr, /used by label tier=db/);
  await fleet.plane.json('vm', 'label', 'busy', 'tier=db-');
  await fleet.plane.json('cluster', 'set', 'default', '--policy', '');
  await fleet.plane.json('policy', 'unbind', 'tier=db');
  assert.equal((await fleet.plane.ferry('policy', 'remove', 'mine')).code, 0);
  const unknown = await fleet.plane.ferry('vm', 'migrate', 'busy', '--policy', 'nonsense');
  assert.match(unknown.stderr, /no policy "nonsense"/);
  await assert.rejects(
    policy('bad', { downtime: { initialMs: 900, limitMs: 100 } }),
    /begins with 900 ms, above its limit of 100 ms/,
  );
});

test('an operator steers one that runs: pause budget, deadline, pause', async () => {
  const to = await there();
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    'busy',
    '--to',
    to,
    '--max-bandwidth-mb',
    '6',
    '--policy',
    'harvester',
    '--detach',
  );
  await waitFor(
    'memory to travel',
    async () => ((await fleet.migration(id)).progress === undefined ? undefined : true),
    { timeoutMs: 20_000 },
  );
  const tuned = await fleet.plane.json<MigrationJson>(
    'migration',
    'set',
    id,
    '--max-downtime-ms',
    '250',
    '--deadline',
    '10m',
  );
  assert.match(decisions(tuned), /operator set the deadline[\s\S]*operator set the pause budget: 250 ms/);
  assert.ok(tuned.deadlineAt !== undefined);
  await fleet.plane.json('migration', 'pause', id);
  const done = await fleet.ended(id, 90_000);
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.deepEqual(done.vmIsNow, { host: to, state: 'running' });
  const late = await fleet.plane.ferry('migration', 'pause', id);
  assert.match(late.stderr, /has already succeeded/);
});

test('finish quickly: the pause becomes what the rest needs, and the guest runs on there', async () => {
  const to = await there();
  const before = boots();
  const done = await fleet.move(
    'busy',
    '--to',
    to,
    '--max-bandwidth-mb',
    '24',
    '--policy',
    'harvester',
    '--quickly-finish',
  );
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  assert.match(decisions(done), /2 passes gained nothing, raising the pause budget from 300 ms to \d+ ms/);
  assert.deepEqual(done.vmIsNow, { host: to, state: 'running' });
  await countsOn();
  assert.equal(boots(), before);
});

test('rules: a hard one keeps two VMs apart, a soft one chooses the host', async () => {
  const [from, at] = [(await fleet.show('busy')).host, await there()];
  await vmCreate(fleet.lab, { name: 'quiet', host: at });
  await fleet.seen('quiet', 'running');
  await fleet.plane.json('rule', 'set', 'spread', '--kind', 'apart', '--vm', 'busy', 'quiet');
  const refused = await fleet.plane.ferry('vm', 'migrate', 'quiet', '--to', from, '-o', 'json');
  assert.equal(refused.code, 4, refused.stderr);
  assert.match(refused.stdout, /"code":"rule-apart"/);
  assert.match(refused.stdout, new RegExp(`The rule spread keeps quiet apart from busy, which is there \\(${from}\\)`));
  assert.deepEqual([await fleet.state(from, 'quiet'), await fleet.state(at, 'quiet')], ['absent', 'running']);
  await fleet.plane.json('rule', 'delete', 'spread');

  // of two hosts with room, whichever it says
  const zone = (host: string) =>
    fleet.plane.json('rule', 'set', 'zone', '--kind', 'on-hosts', '--soft', '--vm', 'quiet', '--host', host);
  await zone(from);
  assert.equal((await fleet.plane.json<MigrationJson>('vm', 'migrate', 'quiet', '--dry-run')).to, from);
  await zone('host3');
  const moved = await fleet.move('quiet');
  assert.deepEqual([moved.outcome, moved.to, await fleet.state('host3', 'quiet')], ['succeeded', 'host3', 'running']);
});
