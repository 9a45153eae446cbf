import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootSector, parseSectorLoad } from './boot-sector.ts';
import { LabError } from './errors.ts';
import { readSector } from './sector-log.ts';

/** The byte at which a run of 32-bit words is in the sector; -1 if it is not there. */
const find = (sector: Buffer, ...words: readonly number[]): number => {
  const run = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => run.writeUInt32LE(word, index * 4));
  return sector.indexOf(run);
};
const MIB = 2 ** 20;

test('a workload is parsed from its text; an invalid one is refused as wrong usage', () => {
  assert.deepEqual(parseSectorLoad('V=256,W=64,D=3.2'), {
    filledMib: 256,
    hotMib: 64,
    hotMibPerSecond: 3.2,
    coldMib: 0,
    coldMibPerSecond: 0,
  });
  assert.deepEqual(parseSectorLoad('D=20,V=64,E=2,W=16,C=48'), {
    filledMib: 64,
    hotMib: 16,
    hotMibPerSecond: 20,
    coldMib: 48,
    coldMibPerSecond: 2,
  });
  for (const text of [
    '',
    'V=64',
    'V=64,W=16',
    'V=64,W=16,D=2,D=3',
    'V=64,W=16,D=-2',
    'V=64,W=16.5,D=2',
    'V=64,W=65,D=2',
    'V=64,W=16,D=2,C=49,E=1',
    'V=64,W=16,D=2,C=8',
    'V=64,W=16,D=2,E=8',
    'V=64,W=2,D=2',
    'V=9999,W=16,D=2',
    'V=64,W=16,D=999',
    'V=64,W=16,D=2,X=1',
  ]) {
    assert.throws(
      () => parseSectorLoad(text),
      (error) => error instanceof LabError && error.exitCode === 2,
      text,
    );
  }
});

test('the sector is one that a BIOS boots, and holds the load', () => {
  const sector = bootSector(parseSectorLoad('V=100,W=16,D=20,C=32,E=2.5'));
  assert.equal(sector.length, 512);
  assert.deepEqual([...sector.subarray(510)], [0x55, 0xaa]);
  assert.notEqual(find(sector, 100 * 2 ** 18), -1, 'words to fill');
  const hot = find(sector, MIB, MIB, 17 * MIB, 1, 20 * 256, 0, '+'.charCodeAt(0));
  assert.notEqual(hot, -1, 'hot set');
  assert.equal(find(sector, 17 * MIB, 17 * MIB, 49 * MIB, 1, 640, 0, '-'.charCodeAt(0)), hot + 32, 'cold set');
  // the first far jump ends at the code that follows it
  const jump = sector.indexOf(0xea);
  assert.equal(sector.readUInt16LE(jump + 1), 0x7c00 + jump + 5);
});

test('the serial bytes are counted', () => {
  assert.deepEqual(readSector('BR..+.-..+!'), { boots: 1, ready: true, beats: 5, hotMib: 2, coldMib: 1, damaged: 1 });
  assert.equal(readSector('B').ready, false);
});
