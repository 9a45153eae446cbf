/** Proofs for block devices, and folders that are one; the lab tests cover files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, vmUuid, type DiskFacts } from '@ferry/core';
import { countingClock, silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { Clock, PathPort } from '../ports/ports.ts';
import { openMarkers } from './markers.ts';
import { createSharing } from './sharing.ts';

const disk: DiskFacts = {
  target: 'vda',
  device: 'disk',
  type: 'block',
  source: '/dev/x',
  readOnly: false,
  backing: [],
};
const signal = new AbortController().signal;

/** `key`: by the pools of the host. */
type Device = { readonly key?: string; readonly size?: number | 'unseen' };
const side = (name: string, { key, size }: Device) => ({
  id: name,
  name,
  machine: name,
  paths: {
    identityOf: async () => key,
    deviceAt: async () => (typeof size === 'number' ? { sizeBytes: size } : size),
  } as unknown as PathPort,
});
const proved = async (here: Device, there: Device) => {
  const sharing = createSharing({
    intents: memoryStores().intents,
    markers: { leave: () => assert.fail('a device carries no marker'), sweep: async () => {} },
    clock: { now: () => 0 } as Clock,
  });
  const [from, to] = [side('h1', here), side('h2', there)];
  const { verdict, detail } = await sharing.prove('/dev/x', disk, new Map(), from, to, [], signal);
  const plan = {
    target: 'vda',
    path: '/dev/x',
    how: 'shared',
    proof: { verdict: 'shared', method: 'operator', at: 0 },
  } as const;
  return { verdict, detail, before: await sharing.notThere([plan], from, to, signal) };
};

test('a device is one by its key; without a key one that is not there, or has another size, is another one', async () => {
  const alike = { size: 512 };
  assert.deepEqual((await proved({ key: 'k' }, { key: 'k' })).verdict, 'shared');
  assert.deepEqual((await proved({ key: 'k', ...alike }, { key: 'l', ...alike })).verdict, 'separate');
  assert.deepEqual(await proved(alike, {}), {
    verdict: 'separate',
    detail: 'h2 has no device /dev/x',
    before: 'h2 has no device /dev/x.',
  });
  assert.deepEqual((await proved(alike, { size: 1024 })).detail, 'it has 512 bytes on h1 and 1024 on h2');
  for (const there of [alike, { size: 'unseen' as const }])
    assert.deepEqual((await proved(alike, there)).verdict, 'unknown', 'equal sizes prove nothing');
});

test('who uses a file by the path of a folder that is the same one is known, and the marker is gone afterwards', async () => {
  const calls: string[] = [];
  const linked = new Set(['/data/images']);
  const paths = {
    marker: async (action: string, folder: string) => {
      calls.push(`${action} ${folder}`);
      if (folder === '/closed') throw new FerryError('volume-failed', 'It cannot be looked into.');
      return { folder: true, found: linked.has(folder) };
    },
  } as unknown as PathPort;
  const vm = { uuid: vmUuid('aaaaaaaa-0000-4000-8000-000000000002'), name: 'db' };
  const files = ['/data/images/web.raw', '/closed/web.raw', '/elsewhere/web.raw', '/data/images/db.raw'].map(
    (path) => ({
      path,
      as: 'disk' as const,
      vm,
    }),
  );
  const clock = { now: () => 0, timeout: () => signal, randomText: () => 'x' } as unknown as Clock;
  const { intents } = memoryStores();
  const markers = await openMarkers({ intents, clock, log: silentLog, signal });
  const sharing = createSharing({ intents, markers, clock });
  const here = { id: 'h1', name: 'h1', machine: 'h1', paths, uses: async () => ({ files, untold: [] }) };
  const uses = await sharing.usesOf(here, ['/images/web.raw'], signal);
  assert.deepEqual(
    uses.files.slice(files.length).map(({ path }) => path),
    ['/images/web.raw', '/images/db.raw'],
  );
  assert.equal(calls.filter((call) => call === 'leave /images').length, 1);
  assert.equal(calls.filter((call) => call === 'remove /images').length, 1);
  assert.deepEqual(
    uses.perhaps?.map(({ path, pair }) => [path, pair.other]),
    [['/images/web.raw', '/closed']],
  );
  assert.deepEqual((await intents.list('markers/')).entries, []);
  const before = calls.length;
  assert.deepEqual(await sharing.usesOf(here, ['/images/web.raw'], signal), uses);
  assert.equal(calls.length, before, 'it is remembered');
  // a link that was made since counts before a file is deleted
  linked.add('/elsewhere');
  await sharing.usesOf(here, ['/images/web.raw'], signal);
  assert.equal(calls.length, before);
  const now = await sharing.usesNow(here, ['/images/web.raw'], signal);
  assert.equal(now.files.length, uses.files.length + 1);
});

test('many folders are asked a few at a time, and one that does not answer keeps nothing up', async () => {
  using clock = countingClock();
  const { intents } = memoryStores();
  const markers = await openMarkers({ intents, clock, log: silentLog, signal });
  let [busy, most, left] = [0, 0, 0];
  const paths = {
    marker: async (action: string, folder: string, _: string, within: AbortSignal) => {
      if (action === 'leave') left += 1;
      busy += 1;
      most = Math.max(most, busy);
      try {
        await clock.sleep(folder === '/vms/dead' ? 60_000 : 5, within);
      } finally {
        busy -= 1;
      }
      return { folder: true, found: folder === '/vms/41' };
    },
  } as unknown as PathPort;
  const vm = { uuid: vmUuid('aaaaaaaa-0000-4000-8000-000000000002'), name: 'db' };
  const folders = ['/vms/dead', ...Array.from({ length: 100 }, (_, index) => `/vms/${index}`)];
  const files = folders.map((folder) => ({ path: `${folder}/disk.qcow2`, as: 'disk' as const, vm }));
  const here = { id: 'h1', name: 'h1', machine: 'h1', paths, uses: async () => ({ files, untold: [] }) };
  const sharing = createSharing({ intents, markers, clock });
  const uses = await sharing.usesOf(here, ['/vms/web/disk.qcow2'], clock.timeout(20_000));
  assert.deepEqual([left, most], [1, 4]);
  assert.equal(uses.files.length, files.length + 1);
  assert.deepEqual(
    uses.perhaps?.map(({ pair }) => pair.other),
    ['/vms/dead'],
  );
});
