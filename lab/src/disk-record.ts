// The records that a guest with the workload `disk` writes, and what a set of them proves. Pure: bytes and plain data
// in, a judgement out. The layout is the one of guest/ferry-guest.c.

export const RECORD_BYTES = 4096;
const MAGIC = Buffer.from('FERRYREC', 'latin1');
const CHECKSUM_OFFSET = 136;

export type DiskRecord = {
  readonly number: number;
  readonly wallMs: number;
  /** As 16 hexadecimal digits; '0' x 16 for the first record of a disk. */
  readonly previousChecksum: string;
  readonly checksum: string;
  /** How often a writer had met a foreign record by then. */
  readonly conflicts: number;
  readonly capacity: number;
  readonly bootId: string;
  /** Host of the boot; a guest does not know when it moves. */
  readonly host: string;
};

export type Block =
  | { readonly kind: 'empty' }
  | { readonly kind: 'corrupt' }
  | { readonly kind: 'record'; readonly record: DiskRecord };

export function checksumOf(block: Buffer): string {
  let [even, odd] = [0x811c9dc5, 0x811c9dc5];
  for (let offset = 0; offset < RECORD_BYTES; offset += 8) {
    const own = offset === CHECKSUM_OFFSET;
    even = Math.imul(even ^ (own ? 0 : block.readInt32LE(offset)), 0x01000193);
    odd = Math.imul(odd ^ (own ? 0 : block.readInt32LE(offset + 4)), 0x01000193);
  }
  return [odd, even].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
}

/** What one block of a disk holds; anything but zeros and a whole record is corrupt. */
export function parseBlock(block: Buffer): Block {
  if (!block.subarray(0, MAGIC.length).equals(MAGIC))
    return { kind: block.every((byte) => byte === 0) ? 'empty' : 'corrupt' };
  const checksum = hex64(block, CHECKSUM_OFFSET);
  if (checksumOf(block) !== checksum) return { kind: 'corrupt' };
  return {
    kind: 'record',
    record: {
      number: Number(block.readBigUInt64LE(8)),
      wallMs: Number(block.readBigUInt64LE(16) / 1_000_000n),
      previousChecksum: hex64(block, 40),
      conflicts: Number(block.readBigUInt64LE(48)),
      capacity: Number(block.readBigUInt64LE(56)),
      bootId: text(block.subarray(64, 104)),
      host: text(block.subarray(104, 136)),
      checksum,
    },
  };
}

function hex64(block: Buffer, offset: number): string {
  return block.readBigUInt64LE(offset).toString(16).padStart(16, '0');
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end === -1 ? bytes.length : end).toString('latin1');
}

/** One image's content. `records` come in any order. */
export type CopyContent = { readonly where: string; readonly records: readonly DiskRecord[]; readonly corrupt: number };

export type DiskVerdict = {
  /** Whole records on the newest copy. */
  readonly records: number;
  readonly first: number;
  readonly last: number;
  /** No record between the first and the last is missing, and none that should still be there before the first. */
  readonly contiguous: boolean;
  /** Blocks that are neither empty nor a whole record, on all copies. */
  readonly corrupt: number;
  /** Two running copies of the guest wrote: on one disk, or each on its own copy of it. */
  readonly duplicateWriters: boolean;
  readonly boots: readonly {
    readonly bootId: string;
    readonly host: string;
    readonly first: number;
    readonly last: number;
  }[];
  readonly copies: readonly { readonly where: string; readonly records: number; readonly last: number }[];
};

/**
 * Two writers show in one of four ways: a writer met a foreign record and counted it; a record is not chained to the
 * one before it; a boot goes on after another boot has written; two copies of a disk hold different records of the same
 * number.
 */
export function judge(copies: readonly CopyContent[]): DiskVerdict {
  const sorted = copies.map((copy) => ({
    ...copy,
    records: copy.records.toSorted((left, right) => left.number - right.number),
  }));
  const newest = sorted.toSorted(
    (left, right) => (right.records.at(-1)?.number ?? 0) - (left.records.at(-1)?.number ?? 0),
  )[0];
  const records = newest?.records ?? [];
  const first = records[0]?.number ?? 0;
  const last = records.at(-1)?.number ?? 0;
  const oldestKept = Math.max(1, last - (records.at(-1)?.capacity ?? 0) + 1);
  return {
    records: records.length,
    first,
    last,
    contiguous: records.length === 0 || (first === oldestKept && last - first + 1 === records.length),
    corrupt: sorted.reduce((sum, copy) => sum + copy.corrupt, 0),
    duplicateWriters: sorted.some((copy) => twoWriters(copy.records)) || differ(sorted),
    boots: bootsOf(records),
    copies: sorted.map((copy) => ({
      where: copy.where,
      records: copy.records.length,
      last: copy.records.at(-1)?.number ?? 0,
    })),
  };
}

function twoWriters(records: readonly DiskRecord[]): boolean {
  const seen = new Set<string>();
  return records.some((record, index) => {
    const previous = records[index - 1];
    const returned = previous !== undefined && previous.bootId !== record.bootId && seen.has(record.bootId);
    seen.add(record.bootId);
    const unchained =
      previous !== undefined && previous.number + 1 === record.number && previous.checksum !== record.previousChecksum;
    return record.conflicts > 0 || returned || unchained || previous?.number === record.number;
  });
}

function differ(copies: readonly CopyContent[]): boolean {
  const checksums = new Map<number, string>();
  for (const { number, checksum } of copies.flatMap((copy) => copy.records)) {
    const other = checksums.get(number);
    if (other !== undefined && other !== checksum) return true;
    checksums.set(number, checksum);
  }
  return false;
}

function bootsOf(records: readonly DiskRecord[]): DiskVerdict['boots'] {
  const boots: { bootId: string; host: string; first: number; last: number }[] = [];
  for (const { bootId, host, number } of records) {
    const current = boots.at(-1);
    if (current?.bootId === bootId) current.last = number;
    else boots.push({ bootId, host, first: number, last: number });
  }
  return boots;
}
