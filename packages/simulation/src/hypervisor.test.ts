/** Ferry's engine over simulated hosts: whole migrations in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '@ferry/core';
import { memoryStores, startEngine, type Engine, type Log } from '@ferry/engine';
import { virtualClock, type VirtualClock } from './clock.ts';
import type { GuestSpec } from './fleet.ts';
import { simulatedHypervisor, type SimulatedFleet } from './hypervisor.ts';
import { steadyLink, type Link } from './link.ts';

const mib = 1_048_576;
const by = { actor: 'operator', client: 'test' };
const silent: Log = { info: () => {}, warn: () => {}, error: () => {} };
const web: GuestSpec = {
  uuid: 'aaaaaaaa-0000-4000-8000-000000000001',
  name: 'web',
  host: 'h1',
  memory: { totalBytes: 2_000 * mib, sets: [{ bytes: 100 * mib, dirtyBytesPerSecond: 20 * mib }] },
};
const busy: GuestSpec = {
  ...web,
  memory: { totalBytes: 2_000 * mib, sets: [{ bytes: 800 * mib, dirtyBytesPerSecond: 500 * mib }] },
};
/** 100 MiB/s, and what else at which second of the first migration. */
const link = (...changes: readonly (readonly [second: number, megabytes: number])[]): Link => ({
  ...steadyLink(100 * mib),
  capacity: [
    { fromMs: 0, bytesPerSecond: 100 * mib },
    ...changes.map(([second, megabytes]) => ({ fromMs: second * 1_000, bytesPerSecond: megabytes * mib })),
  ],
});

interface Scene extends AsyncDisposable {
  readonly engine: Engine;
  readonly fleet: SimulatedFleet;
  readonly clock: VirtualClock;
  /** Moves the guest and waits for the end. */
  move(options?: Partial<Parameters<Engine['startMigration']>[0]>): Promise<Migration>;
  ended(id: string): Promise<Migration>;
  /** What each host has of the guest. */
  places(name?: string): readonly string[];
}

async function scene(
  guests: readonly GuestSpec[],
  between: Link = link(),
  hosts: readonly {
    readonly name: string;
    readonly linkMbit?: number;
    readonly sharedFolders?: readonly string[];
  }[] = [{ name: 'h1' }, { name: 'h2' }],
): Promise<Scene> {
  const clock = virtualClock();
  const startMs = clock.now();
  let shifted: Link | undefined;
  const links = (): Link =>
    (shifted ??= {
      ...between,
      capacity: between.capacity.map(({ fromMs, bytesPerSecond }) => ({
        fromMs: fromMs === 0 ? 0 : fromMs + clock.now() - startMs,
        bytesPerSecond,
      })),
    });
  const fleet = simulatedHypervisor({ clock, hosts, guests, links });
  const stores = memoryStores({ clock });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silent });
  const patience = (): AbortSignal => AbortSignal.timeout(20_000);
  for (const { name, uri } of fleet.hosts.values()) await engine.addHost({ name, uri }, patience());
  for (let turn = 0; turn < 1_000 && engine.vms().length < guests.length; turn += 1) await clock.sleep(10);
  const ended = async (id: string): Promise<Migration> => {
    let last: Migration | undefined;
    for await (const state of engine.watchMigration(id, patience())) last = state;
    return last ?? assert.fail('nothing to watch');
  };
  return {
    engine,
    fleet,
    clock,
    ended,
    move: async (options = {}) => ended((await engine.startMigration({ vm: 'web', to: 'h2', ...options }, by)).id),
    places: (name = 'web') =>
      [...fleet.hosts.values()]
        .map(({ domains }) => [...domains.values()].find((domain) => domain.name === name))
        .map((domain) => (domain === undefined ? 'nothing' : domain.state)),
    async [Symbol.asyncDispose]() {
      await engine.close();
      await stores.close();
      clock[Symbol.dispose]();
    },
  };
}

const actions = ({ decisions = [] }: Migration): readonly string[] =>
  decisions.map(({ action }) => (action.do === 'note' ? action.what : action.do));

test('a guest that is not too busy moves by pre-copy, with a short pause and its figures', async () => {
  await using at = await scene([web]);
  const { outcome, vmIsNow, downtimeMs, transferredBytes, decisions, progress } = await at.move();
  assert.deepEqual(
    [outcome, vmIsNow, at.places(), decisions],
    ['succeeded', { host: 'h2', state: 'running' }, ['nothing', 'running'], undefined],
  );
  assert.ok(downtimeMs !== undefined && downtimeMs >= 20 && downtimeMs <= 125, `${downtimeMs} ms`);
  assert.ok(
    transferredBytes !== undefined && transferredBytes > 2_000 * mib && transferredBytes < 2_300 * mib,
    `${transferredBytes}`,
  );
  assert.equal(progress?.percent, 100);
});

test("a guest that writes faster than the link carries: Ferry's default goes to post-copy and says why", async () => {
  await using at = await scene([busy]);
  const migration = await at.move();
  assert.deepEqual(
    [migration.outcome, at.places(), actions(migration)],
    ['succeeded', ['nothing', 'running'], ['post-copy']],
  );
  const decision = migration.decisions?.[0]?.text ?? '';
  assert.match(decision, /^iteration 3: \d+ MiB left, guest writes 100 MiB\/s, link gives 100: /);
  assert.match(decision, /: the smallest rest would take a pause of \d+ ms, switching to post-copy$/);
  assert.ok(migration.phases.some(({ phase }) => phase === 'post-copy'));
  assert.ok((migration.downtimeMs ?? Infinity) < 100, `${migration.downtimeMs} ms`);
});

test('the same guest under a policy that gives up stays where it is, and nothing is left behind', async () => {
  await using at = await scene([busy]);
  const migration = await at.move({ policy: 'kubevirt' });
  assert.deepEqual(
    [migration.outcome, migration.error?.code, at.places()],
    ['failed', 'migration-not-converged', ['running', 'nothing']],
  );
  assert.deepEqual(actions(migration).at(-1), 'abort');
});

test('a policy that pauses: the guest is paused until it has arrived, and runs there', async () => {
  await using at = await scene([busy]);
  const migration = await at.move({ policy: 'cloudpods' });
  assert.deepEqual(
    [migration.outcome, at.places(), migration.vmIsNow?.state],
    ['succeeded', ['nothing', 'running'], 'running'],
  );
  assert.ok(
    actions(migration).includes('pause') && (migration.downtimeMs ?? 0) > 2_000,
    `${actions(migration).join()} ${migration.downtimeMs} ms`,
  );
});

test('a policy that powers off: the guest is shut down, moved and started again', async () => {
  await using at = await scene([busy]);
  const migration = await at.move({ policy: 'vmmanager' });
  assert.deepEqual([migration.outcome, at.places()], ['succeeded', ['nothing', 'running']]);
  assert.ok(actions(migration).includes('power-off'));
});

test('a guest that a policy has shut down for a target that is full by then is started where it was', async () => {
  await using at = await scene([busy]);
  const { id } = await at.engine.startMigration({ vm: 'web', to: 'h2', policy: 'vmmanager' }, by);
  for (let turn = 0; turn < 10_000 && at.places()[0] !== 'shut-off'; turn += 1) await at.clock.sleep(10);
  Object.assign(at.fleet.hosts.get('h2') ?? assert.fail(), { memoryBytes: 0 });
  const migration = await at.ended(id);
  assert.deepEqual(
    [migration.outcome, migration.error?.code, at.places()],
    ['failed', 'migration-refused', ['running', 'nothing']],
  );
});

test('throttling that changes nothing is taken back on the host', async () => {
  await using at = await scene([
    { ...busy, memory: { ...busy.memory, sets: [{ bytes: 300 * mib, dirtyBytesPerSecond: 50_000 * mib }] } },
  ]);
  const migration = await at.move({ policy: 'proxmox' });
  assert.deepEqual(
    [migration.outcome, actions(migration).filter((each) => each === 'release-throttle').length, at.places()],
    ['succeeded', 1, ['nothing', 'running']],
  );
});

test('a migration waits for a link that is down for eight seconds', async () => {
  await using at = await scene([web], link([5, 0], [13, 100]));
  const migration = await at.move();
  assert.deepEqual(
    [migration.outcome, actions(migration), at.places()],
    ['succeeded', ['link-slow'], ['nothing', 'running']],
  );
});

test('a link that is down for a minute ends the migration; the guest runs on, and a second one succeeds', async () => {
  await using at = await scene([web], link([5, 0], [65, 100]));
  const failed = await at.move();
  assert.deepEqual(
    [failed.outcome, failed.vmIsNow, at.places()],
    ['failed', { host: 'h1', state: 'running' }, ['running', 'nothing']],
  );
  await at.clock.sleep(60_000);
  assert.deepEqual([(await at.move()).outcome, at.places()], ['succeeded', ['nothing', 'running']]);
});

test('a post-copy whose link breaks is resumed, and ends', async () => {
  // the first pass takes 20 s, the second eight, and post-copy another eight
  await using at = await scene([busy], link([31, 0], [75, 100]));
  const migration = await at.move();
  assert.deepEqual([migration.outcome, at.places()], ['succeeded', ['nothing', 'running']]);
  assert.ok(
    migration.decisions?.some(({ text }) => text === 'post-copy was resumed'),
    migration.decisions?.map(({ text }) => text).join('\n'),
  );
});

test('an abort during the transfer leaves the guest running where it was', async () => {
  await using at = await scene([web]);
  const { id } = await at.engine.startMigration({ vm: 'web', to: 'h2' }, by);
  for await (const { progress } of at.engine.watchMigration(id, AbortSignal.timeout(20_000)))
    if ((progress?.percent ?? 0) >= 30) break;
  await at.engine.abortMigration(id);
  const { outcome, vmIsNow } = await at.ended(id);
  assert.deepEqual(
    [outcome, vmIsNow, at.places()],
    ['cancelled', { host: 'h1', state: 'running' }, ['running', 'nothing']],
  );
});

test('the control plane loses the source during the transfer: the hosts go on, and it learns the end', async () => {
  await using at = await scene([web]);
  const { id } = await at.engine.startMigration({ vm: 'web', to: 'h2' }, by);
  for await (const { progress } of at.engine.watchMigration(id, AbortSignal.timeout(20_000)))
    if ((progress?.percent ?? 0) >= 30) break;
  at.fleet.cutOff('h1');
  await at.clock.sleep(40_000);
  assert.deepEqual(at.places(), ['nothing', 'running']);
  at.fleet.mend('h1');
  const { outcome, vmIsNow } = await at.ended(id);
  assert.deepEqual([outcome, vmIsNow], ['succeeded', { host: 'h2', state: 'running' }]);
});

test('disks of its own are copied first; shared ones stay where they are', async () => {
  const disk = { capacityBytes: 1_000 * mib, bytes: 500 * mib, writeBytesPerSecond: mib };
  const hosts = [
    { name: 'h1', sharedFolders: ['/shared'] },
    { name: 'h2', sharedFolders: ['/shared'] },
  ];
  await using at = await scene(
    [
      {
        ...web,
        disks: [
          { ...disk, target: 'vda', path: '/pool/root.img' },
          { ...disk, target: 'vdb', path: '/shared/data.img' },
        ],
      },
    ],
    link(),
    hosts,
  );
  const migration = await at.move();
  assert.deepEqual(
    [migration.outcome, at.places()],
    ['succeeded', ['nothing', 'running']],
    migration.error?.message ?? '',
  );
  assert.deepEqual(
    migration.plan?.disks.map(({ target, how }) => [target, how]),
    [
      ['vda', 'copy'],
      ['vdb', 'shared'],
    ],
  );
  assert.ok(at.fleet.hosts.get('h2')?.volumes.has('/pool/root.img'));
});

test('a disk that is written faster than it is copied: reported, and aborted by the policy, with nothing left on the target', async () => {
  await using at = await scene([
    {
      ...web,
      disks: [
        {
          target: 'vda',
          path: '/pool/root.img',
          capacityBytes: 1_000 * mib,
          bytes: 500 * mib,
          writeBytesPerSecond: 120 * mib,
        },
      ],
    },
  ]);
  const migration = await at.move();
  assert.deepEqual(
    [migration.outcome, actions(migration), at.places()],
    ['failed', ['disks-stalled', 'abort'], ['running', 'nothing']],
  );
  assert.equal(at.fleet.hosts.get('h2')?.volumes.has('/pool/root.img'), false);
});

test('a shut-off guest moves by a helper that carries its disks', async () => {
  await using at = await scene([
    {
      ...web,
      state: 'shut-off',
      disks: [
        { target: 'vda', path: '/pool/root.img', capacityBytes: 1_000 * mib, bytes: 500 * mib, writeBytesPerSecond: 0 },
      ],
    },
  ]);
  const migration = await at.move();
  assert.deepEqual(
    [migration.outcome, migration.kind, at.places()],
    ['succeeded', 'cold', ['nothing', 'shut-off']],
    migration.error?.message ?? '',
  );
});

test('two guests on one link share it', async () => {
  const other: GuestSpec = { ...web, uuid: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'db' };
  await using at = await scene([web, other]);
  const from = at.clock.now();
  const [first, second] = await Promise.all([at.move(), at.move({ vm: 'db' })]);
  assert.deepEqual(
    [first.outcome, second.outcome, at.places('db')],
    ['succeeded', 'succeeded', ['nothing', 'running']],
  );
  const seconds = (at.clock.now() - from) / 1_000;
  assert.ok(seconds >= 40 && seconds < 55, `${seconds} s for 4,000 MiB at 100 MiB/s`);
});

test('a host that reports the speed of its link keeps a tenth of it', async () => {
  await using at = await scene([web], link(), [
    { name: 'h1', linkMbit: 800 },
    { name: 'h2', linkMbit: 800 },
  ]);
  const { id } = await at.engine.startMigration({ vm: 'web', to: 'h2' }, by);
  let most = 0;
  for await (const { progress } of at.engine.watchMigration(id, AbortSignal.timeout(20_000)))
    most = Math.max(most, progress?.throughputBytesPerSecond ?? 0);
  assert.ok(most > 80 * mib && most < 87 * mib, `${most / mib} MiB/s of ${800 / 8.388_608}`);
});
