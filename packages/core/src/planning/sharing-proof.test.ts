/** What two hosts show of a place, as a proof and in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceProof, devicesApart, markerMissing, noLongerSame, notSeen, otherFile } from './sharing-proof.ts';

const [h1, h2] = [{ name: 'h1' }, { name: 'h2' }];
const place = ['/srv/images', '/srv/images'] as const;

test('a marker that is not there: two folders, or one storage that is not mounted, which is worse than that', () => {
  const never = markerMissing(place, h1, h2, { hasFolder: true, before: false }, 7);
  assert.deepEqual([never.verdict, never.detail], ['separate', 'a marker made on h1 is not on h2']);
  const none = markerMissing(place, h1, h2, { hasFolder: false, before: false }, 7);
  assert.deepEqual([none.verdict, none.detail], ['separate', 'h2 has no folder /srv/images']);
  const before = markerMissing(place, h1, h2, { hasFolder: true, before: true }, 7);
  assert.equal(before.verdict, 'other-file');
  assert.match(
    before.detail ?? '',
    /^they have shared \/srv\/images before, and now a marker made on h1 is not on h2$/,
  );
  assert.match(before.remedy ?? '', /^Mount the storage again\. /);
});

test('what cannot be looked at proves nothing, and says where and why', () => {
  assert.deepEqual(notSeen(h2, 'the pool is not active.', 7), {
    verdict: 'unknown',
    method: 'none',
    at: 7,
    detail: 'on h2: the pool is not active',
    remedy: 'Correct that on h2.',
  });
});

test('a file of another size or time is another file, and so is none', () => {
  assert.match(otherFile(h2, '/srv/images/a', undefined, 7).detail ?? '', /h2 has no file \/srv\/images\/a$/);
  const other = otherFile(h2, '/srv/images/a', { sizeBytes: 1, changedNs: 2n }, 7);
  assert.deepEqual([other.verdict, /differ in size or time/.test(other.detail ?? '')], ['other-file', true]);
  assert.match(
    noLongerSame('/srv/images/a', h1, h2, other),
    /^\/srv\/images\/a is no longer the same file on h1 and h2: /,
  );
});

test('devices: one by a key that both give, two by two keys or sizes; without a key nobody knows', () => {
  const on = <T>(name: string, seen: T) => ({ name, path: '/dev/sda', seen });
  assert.equal(deviceProof(on('h1', 'wwn-1'), on('h2', 'wwn-1'), 7).verdict, 'shared');
  const two = deviceProof(on('h1', 'wwn-1'), on('h2', 'wwn-2'), 7);
  assert.deepEqual([two.verdict, two.detail], ['separate', '/dev/sda is wwn-1 on h1 and wwn-2 on h2']);
  const unknown = deviceProof(on('h1', 'wwn-1'), on('h2', undefined), 7);
  assert.deepEqual(
    [unknown.verdict, unknown.detail],
    ['unknown', 'no storage pool on h2 knows /dev/sda by an identity of its own'],
  );
  assert.equal(devicesApart(on('h1', { sizeBytes: 1 }), on('h2', undefined)), 'h2 has no device /dev/sda');
  assert.equal(devicesApart(on('h1', { sizeBytes: 1 }), on('h2', 'unseen' as const)), undefined);
  assert.match(devicesApart(on('h1', { sizeBytes: 1 }), on('h2', { sizeBytes: 2 })) ?? '', /1 bytes on h1 and 2 on h2/);
  assert.equal(devicesApart(on('h1', { sizeBytes: 1 }), on('h2', { sizeBytes: 1 })), undefined);
});
