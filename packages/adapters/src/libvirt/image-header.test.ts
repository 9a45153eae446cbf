import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headerBytes, qcow2Facts } from './image-header.ts';

/** A header as qemu-img writes it. */
function header({
  version = 3,
  clusterBits = 16,
  snapshots = 0,
  incompatible = 0n,
  compatible = 0n,
  refcountOrder = 4,
  compression = 0,
} = {}): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x51_46_49_fb);
  view.setUint32(4, version);
  view.setUint32(20, clusterBits);
  view.setUint32(60, snapshots);
  view.setBigUint64(72, incompatible);
  view.setBigUint64(80, compatible);
  view.setUint32(96, refcountOrder);
  view.setUint8(104, compression);
  return bytes;
}

test('what a header says', () => {
  const plain = {
    clusterBytes: 65_536,
    compat: '1.1',
    lazyRefcounts: false,
    extendedL2: false,
    dataFile: false,
    refcountBits: 16,
    zstd: false,
    snapshots: 0,
  };
  assert.deepEqual(qcow2Facts(header()), plain);
  assert.deepEqual(
    qcow2Facts(
      header({
        clusterBits: 9,
        snapshots: 2,
        incompatible: 4n + 8n + 16n,
        compatible: 1n,
        refcountOrder: 0,
        compression: 1,
      }),
    ),
    {
      ...plain,
      clusterBytes: 512,
      lazyRefcounts: true,
      extendedL2: true,
      dataFile: true,
      refcountBits: 1,
      zstd: true,
      snapshots: 2,
    },
  );
  assert.deepEqual(
    qcow2Facts(header({ version: 2, snapshots: 1, incompatible: 255n, compatible: 1n, refcountOrder: 9 })),
    { ...plain, compat: '0.10', snapshots: 1 },
    'version 2 ends before its features',
  );
});

test('what is no header of qcow2, or a broken one, says nothing', () => {
  assert.equal(qcow2Facts(new Uint8Array(headerBytes)), undefined);
  assert.equal(qcow2Facts(header().subarray(0, headerBytes - 1)), undefined);
  for (const broken of [
    { version: 1 },
    { version: 4 },
    { clusterBits: 8 },
    { clusterBits: 22 },
    { clusterBits: 2 ** 31 },
  ])
    assert.equal(qcow2Facts(header(broken)), undefined);
});
