/** One file by two paths: which folders are compared, and who uses the file then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vmUuid } from '../model/ids.ts';
import { folderPairs, withOtherNames } from './other-names.ts';
import { heldBy, otherUsers, type FileRole, type HostUses } from './ownership.ts';

const own = vmUuid('aaaaaaaa-0000-4000-8000-000000000001');
const db = { uuid: vmUuid('aaaaaaaa-0000-4000-8000-000000000002'), name: 'db' };
const usesOf = (...files: readonly (readonly [string, FileRole])[]): HostUses => ({
  files: files.map(([path, as]) => ({ path, as, vm: db })),
  untold: [],
});

test('only folders in which a file of that name is in use are compared, and neither devices nor state', () => {
  const uses = usesOf(
    ['/data/images/web.qcow2', 'base'],
    ['/data/images/db.qcow2', 'disk'],
    ['/images/web.qcow2', 'disk'],
    ['/dev/vg/web.qcow2', 'disk'],
    ['/tpm/web.qcow2', 'state'],
  );
  assert.deepEqual(folderPairs(uses, ['/images//web.qcow2', '/images/other.qcow2', '/dev/vg2/web.qcow2']), [
    { mine: '/images', other: '/data/images' },
  ]);
  assert.deepEqual(folderPairs(usesOf(['/db.img', 'disk']), ['/images/db.img']), [{ mine: '/images', other: '/' }]);
});

test('who uses a file by its other path holds it', () => {
  const uses = usesOf(['/data/images/web.qcow2', 'base']);
  assert.equal(heldBy(uses, '/images/web.qcow2', own), undefined);
  const known = withOtherNames(uses, { one: [{ mine: '/images', other: '/data/images' }], perhaps: [] });
  assert.equal(heldBy(known, '/images/web.qcow2', own), 'a base image of db');
  assert.equal(heldBy(known, '/data/images/web.qcow2', own), 'a base image of db');
  assert.equal(withOtherNames(uses, { one: [], perhaps: [] }), uses);
});

test('where nobody can tell whether two folders are one, the file is not deleted or written over, and nothing else', () => {
  const uses = usesOf(['/data/images/web.qcow2', 'disk']);
  const known = withOtherNames(uses, { one: [], perhaps: [{ mine: '/images', other: '/data/images' }] });
  assert.equal(
    heldBy(known, '/images/web.qcow2', own),
    'perhaps a disk of db: /images is perhaps the same folder as /data/images, which cannot be told',
  );
  assert.equal(heldBy(known, '/images/web.qcow2', db.uuid), undefined);
  assert.equal(heldBy(known, '/images/other.qcow2', own), undefined);
  assert.deepEqual(otherUsers(known, '/images/web.qcow2', own), []);
});
