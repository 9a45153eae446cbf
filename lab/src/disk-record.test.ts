import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { RECORD_BYTES, checksumOf, judge, parseBlock } from './disk-record.ts';
import type { CopyContent, DiskRecord } from './disk-record.ts';

type Fields = {
  readonly number: number;
  readonly previousChecksum?: string;
  readonly conflicts?: number;
  readonly capacity?: number;
  readonly bootId?: string;
  readonly nonce?: number;
};

/** The record as the guest would write it, and as it is then read. */
function written(fields: Fields): { readonly block: Buffer; readonly record: DiskRecord } {
  const block = Buffer.alloc(RECORD_BYTES, 0x5a);
  block.write('FERRYREC', 0, 'latin1');
  block.writeBigUInt64LE(BigInt(fields.number), 8);
  block.writeBigUInt64LE(1_700_000_000_000_000_000n, 16);
  block.writeBigUInt64LE(5n, 24);
  block.writeBigUInt64LE(BigInt(fields.nonce ?? 0), 32);
  block.writeBigUInt64LE(BigInt(`0x${fields.previousChecksum ?? '0'}`), 40);
  block.writeBigUInt64LE(BigInt(fields.conflicts ?? 0), 48);
  block.writeBigUInt64LE(BigInt(fields.capacity ?? 16), 56);
  block.fill(0, 64, 136);
  block.write(fields.bootId ?? 'boot-a', 64);
  block.write('host1', 104);
  block.writeBigUInt64LE(BigInt(`0x${checksumOf(block)}`), 136);
  const parsed = parseBlock(block);
  assert.equal(parsed.kind, 'record');
  return { block, record: parsed.record };
}

/** Records `from` to `to`, chained; continued from `after` when given. */
function chain(from: number, to: number, fields: Omit<Fields, 'number'> = {}, after?: DiskRecord): DiskRecord[] {
  const records: DiskRecord[] = [];
  for (let number = from; number <= to; number++) {
    const previous = records.at(-1) ?? after;
    records.push(
      written({ ...fields, number, ...(previous === undefined ? {} : { previousChecksum: previous.checksum }) }).record,
    );
  }
  return records;
}

const copy = (records: readonly DiskRecord[], where = 'shared', corrupt = 0): CopyContent => ({
  where,
  records,
  corrupt,
});

test('a block of zeros is empty, a record is read with all of its fields', () => {
  assert.deepEqual(parseBlock(Buffer.alloc(RECORD_BYTES)), { kind: 'empty' });
  const { record } = written({
    number: 7,
    bootId: 'e75e4d3c',
    conflicts: 2,
    capacity: 99,
    previousChecksum: '00000000000000ff',
  });
  assert.deepEqual(
    { ...record, checksum: '' },
    {
      number: 7,
      wallMs: 1_700_000_000_000,
      previousChecksum: '00000000000000ff',
      checksum: '',
      conflicts: 2,
      capacity: 99,
      bootId: 'e75e4d3c',
      host: 'host1',
    },
  );
});

test('a record with any one byte changed is corrupt', () => {
  const { block } = written({ number: 1 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: RECORD_BYTES - 1 }), fc.integer({ min: 1, max: 255 }), (offset, change) => {
      const damaged = Buffer.from(block);
      damaged[offset] = ((damaged[offset] ?? 0) + change) % 256;
      assert.equal(parseBlock(damaged).kind, 'corrupt');
    }),
  );
});

test('one writer over several boots: contiguous, in whatever order the disk is read', () => {
  const firstBoot = chain(1, 4);
  const records = [...firstBoot, ...chain(5, 9, { bootId: 'boot-b' }, firstBoot.at(-1))];
  const verdict = judge([copy(records.toReversed())]);
  assert.deepEqual(
    { ...verdict, copies: [] },
    {
      records: 9,
      first: 1,
      last: 9,
      contiguous: true,
      corrupt: 0,
      duplicateWriters: false,
      boots: [
        { bootId: 'boot-a', host: 'host1', first: 1, last: 4 },
        { bootId: 'boot-b', host: 'host1', first: 5, last: 9 },
      ],
      copies: [],
    },
  );
});

test('a ring that was written around keeps its newest records; one that lost its oldest is incomplete', () => {
  const all = chain(1, 40);
  assert.equal(judge([copy(all.slice(-16))]).contiguous, true);
  assert.equal(judge([copy(all.slice(-15))]).contiguous, false);
  assert.equal(judge([copy(chain(1, 10).slice(1))]).contiguous, false);
});

test('a missing record is a hole, damaged blocks are counted, an empty disk is fine', () => {
  const records = chain(1, 9);
  const verdict = judge([
    copy(
      records.filter((record) => record.number !== 5),
      'shared',
      1,
    ),
  ]);
  assert.equal(verdict.contiguous, false);
  assert.equal(verdict.corrupt, 1);
  assert.equal(verdict.duplicateWriters, false);
  const empty = judge([copy([])]);
  assert.deepEqual([empty.records, empty.contiguous, empty.duplicateWriters], [0, true, false]);
});

test('two writers on one disk are found: by a broken chain, by a counted conflict, by a boot that comes back', () => {
  const common = chain(1, 4);
  const mine = chain(5, 8, { nonce: 1 }, common.at(-1));
  const theirs = chain(5, 8, { nonce: 2 }, common.at(-1));
  const overwritten = [...common, ...mine.slice(0, 2), ...theirs.slice(2)];
  assert.equal(judge([copy([...common, ...mine])]).duplicateWriters, false);
  assert.equal(judge([copy(overwritten)]).duplicateWriters, true);
  assert.equal(judge([copy(chain(1, 4, { conflicts: 1 }))]).duplicateWriters, true);
  const other = chain(5, 6, { bootId: 'boot-b' }, common.at(-1));
  assert.equal(judge([copy([...common, ...other, ...chain(7, 8, {}, other.at(-1))])]).duplicateWriters, true);
});

test('two writers on two copies are found by different records of one number; a stale copy is fine', () => {
  const common = chain(1, 4);
  const mine = chain(5, 8, { nonce: 1 }, common.at(-1));
  const theirs = chain(5, 6, { nonce: 2 }, common.at(-1));
  assert.equal(judge([copy(common, 'host1'), copy([...common, ...mine], 'host2')]).duplicateWriters, false);
  assert.equal(
    judge([copy([...common, ...theirs], 'host1'), copy([...common, ...mine], 'host2')]).duplicateWriters,
    true,
  );
});
