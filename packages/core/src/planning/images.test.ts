import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Qcow2Facts } from '../model/storage.ts';
import { layoutOf, lossesOf, spaceFor } from './images.ts';

const mib = 1_048_576;
const usual: Qcow2Facts = {
  clusterBytes: 65_536,
  compat: '1.1',
  lazyRefcounts: false,
  extendedL2: false,
  dataFile: false,
  refcountBits: 16,
  zstd: false,
  snapshots: 0,
};

test('an ordinary image loses nothing; what no volume of libvirt is made with is told', () => {
  assert.deepEqual(lossesOf(usual, true), []);
  assert.deepEqual(
    lossesOf({ ...usual, clusterBytes: 4096, extendedL2: true, compat: '0.10', lazyRefcounts: true }, true),
    [],
  );
  assert.equal(lossesOf({ ...usual, clusterBytes: 4096, extendedL2: true }, false).length, 2);
  assert.deepEqual(lossesOf(usual, false), []);
  assert.equal(lossesOf({ ...usual, dataFile: true, refcountBits: 1, zstd: true }, true).length, 3);
  assert.deepEqual(layoutOf({ ...usual, clusterBytes: 512, lazyRefcounts: true }), {
    clusterBytes: 512,
    compat: '1.1',
    lazyRefcounts: true,
    extendedL2: false,
  });
});

test('room for a whole chain, for data as scattered as clusters allow, and never for more than the disk is large', () => {
  assert.equal(spaceFor([{ allocationBytes: mib }, { allocationBytes: 200 * mib }], 1024 * mib), 201 * mib);
  assert.equal(spaceFor([{ allocationBytes: mib, qcow2: { ...usual, clusterBytes: 512 } }], 1024 * mib), 128 * mib);
  assert.equal(spaceFor([{ allocationBytes: mib, qcow2: { ...usual, clusterBytes: 2 * mib } }], 1024 * mib), mib);
  assert.equal(spaceFor([{ allocationBytes: 80 * mib }, { allocationBytes: 80 * mib }], 100 * mib), 100 * mib);
  const small = spaceFor([{ allocationBytes: 64 * mib, qcow2: { ...usual, clusterBytes: 512 } }], 64 * mib);
  assert.ok(small > 64 * mib && small < 70 * mib, `${small}`);
});
