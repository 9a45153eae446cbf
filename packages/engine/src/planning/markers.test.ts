/** Markers that outlive the control plane that left them, or whose host stops answering. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FerryError } from '@ferry/core';
import { startEngine } from '../engine.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { HostLink, PathPort, Stores } from '../ports/ports.ts';
import { openMarkers } from './markers.ts';

const signal = new AbortController().signal;
const recorded = async ({ intents }: Stores): Promise<number> => (await intents.list('markers/')).entries.length;

/** A host whose marker files are seen. */
function host(fail: { leave?: Error; remove?: Error } = {}) {
  const files = new Set<string>();
  const calls: string[] = [];
  const marker: PathPort['marker'] = async (action, _folder, name) => {
    calls.push(action);
    if (action === 'leave') files.add(name);
    const error = action === 'find' ? undefined : fail[action];
    if (error !== undefined) throw error;
    if (action === 'remove') files.delete(name);
    return { folder: true, found: files.has(name) };
  };
  return { files, calls, fail, side: { name: 'h1', machine: 'machine-h1', paths: { marker } } };
}
let clock: ReturnType<typeof countingClock>;
beforeEach(() => {
  clock = countingClock();
});
afterEach(() => clock[Symbol.dispose]());
const opened = ({ intents }: Stores) => openMarkers({ intents, clock, log: silentLog, signal });

test('a marker is recorded while it is there, and not longer', async () => {
  const stores = memoryStores();
  const { side, files } = host();
  {
    await using left = await (await opened(stores)).leave(side, '/shared', signal);
    assert.deepEqual([left.folder, files.size, await recorded(stores)], [true, 1, 1]);
  }
  assert.deepEqual([files.size, await recorded(stores)], [0, 0]);
});

test('a host that refuses has made nothing; one that does not answer may have, and it is removed', async () => {
  const stores = memoryStores();
  const refuses = host({ leave: new FerryError('volume-failed', 'no right') });
  await assert.rejects((await opened(stores)).leave(refuses.side, '/shared', signal), /no right/);
  assert.deepEqual([refuses.calls, await recorded(stores)], [['leave'], 0]);
  const silent = host({ leave: new FerryError('host-timed-out', 'late', { unanswered: true }) });
  await assert.rejects((await opened(stores)).leave(silent.side, '/shared', signal), /late/);
  assert.deepEqual([silent.files.size, await recorded(stores)], [0, 1], 'the host may make it yet');
});

test('one that its host makes late, after a call without an answer, goes as well', async () => {
  const stores = memoryStores();
  const silent = host({ leave: new FerryError('host-timed-out', 'late', { unanswered: true }) });
  await assert.rejects((await opened(stores)).leave(silent.side, '/shared', signal), /late/);
  const [name = ''] = (await stores.intents.list('markers/')).entries.map(({ key }) => key.slice('markers/'.length));
  silent.files.add(name);
  await clock.sleep(61_000);
  assert.deepEqual([silent.files.size, await recorded(stores)], [0, 0]);
});

test('one that cannot be removed is removed once its host is connected again, and none of another machine', async () => {
  const stores = memoryStores();
  const markers = await opened(stores);
  const away = host({ remove: new FerryError('host-connection-lost', 'gone', { unanswered: true }) });
  await (await markers.leave(away.side, '/shared', signal))[Symbol.asyncDispose]();
  assert.equal(await recorded(stores), 1);
  const other = host();
  await markers.sweep({ ...other.side, machine: 'machine-h2' });
  assert.deepEqual([other.calls, away.files.size], [[], 1]);
  delete away.fail.remove;
  await markers.sweep(away.side);
  await clock.sleep(61_000);
  assert.deepEqual([away.files.size, await recorded(stores)], [0, 0]);
});

test('a control plane that is killed between leaving and removing a marker: the next one removes it', async () => {
  const fleet = fakeFleet(clock);
  const stores = memoryStores();
  const files = new Set<string>();
  const killed = Promise.withResolvers<never>();
  killed.promise.catch(() => undefined);
  const found = Promise.withResolvers<void>();
  const hypervisorOf = (isFirst: boolean) => ({
    ...fleet.hypervisor,
    async connect(uri: string, within: AbortSignal): Promise<HostLink> {
      const link = await fleet.hypervisor.connect(uri, within);
      const marker: PathPort['marker'] = async (action, folder, name, inTime) => {
        if (action === 'leave') files.add(`${uri} ${name}`);
        if (action === 'find' && isFirst) found.resolve();
        // the first one goes no further
        if (action !== 'leave' && isFirst) return killed.promise;
        if (action === 'remove') files.delete(`${uri} ${name}`);
        return link.paths.marker(action, folder, name, inTime);
      };
      return { ...link, paths: { ...link.paths, marker } };
    },
  });
  const first = await startEngine({ hypervisor: hypervisorOf(true), stores, clock, log: silentLog });
  for (const name of ['h1', 'h2']) {
    fleet.add(name);
    await first.addHost({ uri: uriOf(name), name }, AbortSignal.timeout(5_000));
  }
  fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web', disk: '/shared/web.raw' });
  while (first.vms().length === 0) await clock.sleep(10);
  const planning = first.planMigration({ vm: 'web', to: 'h2' }, AbortSignal.timeout(5_000));
  planning.catch(() => undefined);
  await found.promise;
  assert.deepEqual([files.size, await recorded(stores)], [1, 1]);
  const next = await startEngine({ hypervisor: hypervisorOf(false), stores, clock, log: silentLog });
  try {
    for (let turn = 0; turn < 1_000 && files.size > 0; turn += 1) await clock.sleep(10);
    await clock.sleep(61_000);
    assert.deepEqual([files.size, await recorded(stores)], [0, 0]);
  } finally {
    killed.reject(new Error('killed'));
    await first.close();
    await next.close();
  }
});
