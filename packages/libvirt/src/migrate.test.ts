import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VIR_MIGRATE as M } from './constants.ts';
import { InvalidArgumentError } from './errors.ts';
import { checkMigratePeerToPeer, toMigrateWireParams } from './migrate.ts';

const to = 'qemu+tcp://x2/system';

test('peer-to-peer is added and change protection, implied there, removed', () => {
  assert.equal(checkMigratePeerToPeer(to, M.LIVE | M.CHANGE_PROTECTION, {}), M.LIVE | M.PEER2PEER);
  assert.equal(checkMigratePeerToPeer('qemu+tls://[fd00::2]:16514/system', 0, {}), M.PEER2PEER);
  assert.equal(checkMigratePeerToPeer('qemu+ssh://root@x2.example/system?keyfile=/root/.ssh/id', 0, {}), M.PEER2PEER);
});

const refused: readonly (readonly [string, string, number, RegExp])[] = [
  ['both ways of copying disks', to, M.NON_SHARED_DISK | M.NON_SHARED_INC, /exclude each other/],
  ['tunnelled and parallel', to, M.TUNNELLED | M.PARALLEL, /exclude each other/],
  ['synchronous writes without a copy', to, M.NON_SHARED_SYNCHRONOUS_WRITES, /needs NON_SHARED_DISK/],
  ['a destination that the source takes for itself', 'qemu+tcp://localhost/system', M.LIVE, /the source itself/],
  ['the same in other words', 'qemu+tcp://LOCALHOST.localdomain:1/system', M.LIVE, /the source itself/],
  ['a destination without a host', 'qemu:///system', M.LIVE, /no host/],
  ['a destination that is no URI', 'x2', M.LIVE, /no host/],
  ['a destination with a space', 'qemu+tcp://x2/system -o x', M.LIVE, /no host/],
  ['flags beyond 32 bits', to, 2 ** 33, /no set of flags/],
];

for (const [name, uri, flags, says] of refused) {
  test(`${name}: refused before anything is sent`, () => {
    assert.throws(
      () => checkMigratePeerToPeer(uri, flags, {}),
      (error) => error instanceof InvalidArgumentError && says.test(error.message),
    );
  });
}

test('a tunnelled migration takes no addresses of its own', () => {
  assert.throws(() => checkMigratePeerToPeer(to, M.TUNNELLED, { migrateUri: 'tcp://x2' }), InvalidArgumentError);
});

test("parameters go out under libvirt's names, with its types, lists repeated", () => {
  assert.deepEqual(
    toMigrateWireParams({
      migrateUri: 'tcp://10.0.0.2',
      bandwidthMiBPerSecond: 64,
      migrateDisks: ['vda', 'vdb'],
      parallelConnections: 2,
      graphicsUri: undefined,
    }),
    [
      { field: 'migrate_uri', kind: 'string', value: 'tcp://10.0.0.2' },
      { field: 'bandwidth', kind: 'ullong', value: 64n },
      { field: 'migrate_disks', kind: 'string', value: 'vda' },
      { field: 'migrate_disks', kind: 'string', value: 'vdb' },
      { field: 'parallel.connections', kind: 'int', value: 2 },
    ],
  );
  assert.throws(() => toMigrateWireParams({ bandwidthMiBPerSecond: 1.5 }), InvalidArgumentError);
});
