import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationId, vmUuid } from '../model/ids.ts';
import type { VolumeFacts, VolumeRecord } from '../model/storage.ts';
import type { HostUses } from '../planning/ownership.ts';
import {
  filePlaceFate,
  hasArrived,
  isUnfinishedOf,
  leftoverFate,
  sourceDiskFate,
  unfinishedFate,
  volumePlaceFate,
} from './file-fate.ts';

const web = { uuid: vmUuid('a'), name: 'web' };
const db = { uuid: vmUuid('b'), name: 'db' };
const path = '/pool/web';
const record = (more: Partial<VolumeRecord> = {}): VolumeRecord => ({
  host: 'h2',
  machine: 'machine-2',
  hostName: 'h2',
  path,
  pool: 'default',
  name: 'web',
  vm: web,
  migration: migrationId('m1'),
  at: 0,
  role: 'target',
  made: true,
  capacityBytes: 1_000,
  ...more,
});
const there = { allocationBytes: 500, modified: '1' };
const volume: VolumeFacts = { pool: 'default', name: 'web', path, format: 'raw', capacityBytes: 1_000, ...there };
const nobody: HostUses = { files: [], untold: [] };
const usedBy = (vm: typeof web): HostUses => ({ files: [{ path, vm, as: 'disk' }], untold: [] });
const does = (fate: { readonly do: string } | { readonly needs: string }): string => ('do' in fate ? fate.do : 'needs');
const left = record({ role: 'source', ...there });

test('an unfinished copy is deleted if this migration made it and no other VM has it; uses are read last', () => {
  assert.deepEqual(unfinishedFate(record(), undefined, undefined), { do: 'forget' });
  assert.deepEqual(unfinishedFate(record({ made: false }), { allocationBytes: 2_000_000 }, undefined), {
    do: 'forget',
  });
  assert.deepEqual(unfinishedFate(record(), there, undefined), { needs: 'uses' });
  assert.deepEqual(unfinishedFate(record(), there, nobody), { do: 'delete' });
  assert.deepEqual(unfinishedFate(record(), there, usedBy(web)), { do: 'delete' });
  assert.deepEqual(unfinishedFate(record(), there, usedBy(db)), { do: 'stays', because: 'it is a disk of db' });
  const mine = { id: migrationId('m1') };
  assert.deepEqual(
    [record(), left, record({ migration: migrationId('m0') }), undefined].map((each) => isUnfinishedOf(mine, each)),
    [true, false, false, false],
  );
});

test("the source's disk goes only when that was asked, the copy has arrived whole, and nobody else needs it", () => {
  const disk = { path, vm: web, arrived: true, deleteAsked: true };
  assert.deepEqual(sourceDiskFate({ ...disk, deleteAsked: false }, volume, nobody), { do: 'stays' });
  assert.deepEqual(sourceDiskFate({ ...disk, arrived: false }, volume, nobody), { do: 'stays' });
  assert.deepEqual(sourceDiskFate({ ...disk, arrived: false }, undefined, nobody), { do: 'stays' });
  assert.deepEqual(sourceDiskFate(disk, 'unseen', nobody), { do: 'stays' });
  assert.deepEqual(sourceDiskFate(disk, undefined, undefined), { do: 'gone' });
  assert.deepEqual(sourceDiskFate(disk, volume, undefined), { needs: 'uses' });
  assert.deepEqual(sourceDiskFate(disk, volume, nobody), { do: 'delete' });
  assert.deepEqual(sourceDiskFate(disk, volume, usedBy(db)), { do: 'stays', because: 'it is a disk of db' });
  const untold = { files: [], untold: [{ vm: db, path: '/pool/db' }] };
  assert.equal(does(sourceDiskFate(disk, volume, untold)), 'stays', 'it may be a base image of what cannot be read');
});

test('a disk has arrived with all its bytes, or as the file that it was', () => {
  assert.ok(hasArrived({ capacityBytes: 1_000 }, { capacityBytes: 1_000 }));
  assert.ok(!hasArrived({ capacityBytes: 1_000 }, { capacityBytes: 999 }));
  assert.ok(hasArrived({ capacityBytes: 1_024, asFile: true }, { capacityBytes: 1 }));
  assert.ok(!hasArrived({ asFile: true }, undefined));
});

test('a leftover goes only while it is as it was left, and as it was made', () => {
  assert.deepEqual(leftoverFate(left, undefined, undefined, undefined), { do: 'forget' });
  assert.deepEqual(leftoverFate(left, there, undefined, undefined), { needs: 'uses' });
  assert.deepEqual(leftoverFate(left, there, nobody, undefined), { do: 'delete' });
  assert.match(
    JSON.stringify(leftoverFate(left, { ...there, modified: '2' }, nobody, undefined)),
    /was changed after migration m1/,
  );
  const unmade = record({ made: false });
  assert.match(
    JSON.stringify(leftoverFate(unmade, { allocationBytes: 2_000_000 }, nobody, undefined)),
    /was not made by/,
  );
  assert.deepEqual(leftoverFate(left, there, usedBy(web), undefined), { do: 'stays', because: 'is a disk of web' });
  assert.deepEqual(
    leftoverFate(left, there, usedBy(web), web.uuid),
    { do: 'delete' },
    'its parked definition may name it',
  );
});

test('the place of a volume: a prepared one is used, a stale copy of its own goes, everything else is in the way', () => {
  const at = { place: path, vm: web, uses: nobody };
  const fresh = { existing: false, replaces: false };
  const stale = { existing: false, replaces: true };
  assert.deepEqual(volumePlaceFate(fresh, at), { do: 'use' });
  assert.deepEqual(volumePlaceFate({ existing: true, replaces: false }, at), { do: 'use' });
  assert.equal(does(volumePlaceFate(fresh, { ...at, uses: usedBy(db) })), 'refuse');
  assert.deepEqual(volumePlaceFate(stale, at), { needs: 'look' });
  assert.deepEqual(volumePlaceFate(stale, at, { there: undefined, record: undefined }), { do: 'use' });
  assert.deepEqual(volumePlaceFate(stale, at, { there, record: left }), { do: 'delete' });
  assert.equal(does(volumePlaceFate(stale, at, { there: { ...there, modified: '2' }, record: left })), 'refuse');
  assert.equal(does(volumePlaceFate(stale, at, { there, record: undefined })), 'refuse');
});

test('the place of a file that goes along: what this migration made is made again, what came since the plan is in the way', () => {
  const migration = { id: migrationId('m1'), vm: web };
  const fate = (
    replaces: 'media' | 'nvram' | undefined,
    seen: Parameters<typeof filePlaceFate>[3],
    uses: HostUses = nobody,
  ) => filePlaceFate({ place: path, replaces }, migration, uses, seen).do;
  assert.equal(fate(undefined, { there: undefined, record: undefined }), 'use');
  assert.equal(fate(undefined, { there, record: record() }), 'mine');
  assert.equal(fate(undefined, { there, record: undefined }), 'refuse');
  assert.equal(fate('media', { there, record: left }), 'delete');
  assert.equal(fate('media', { there: { ...there, modified: '2' }, record: left }), 'refuse');
  assert.equal(fate('nvram', { there, record: left }), 'delete');
  assert.equal(fate('nvram', { there, record: undefined }), 'refuse');
  assert.equal(fate('nvram', { there, record: left }, usedBy(db)), 'refuse');
});
