import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { InvalidArgumentError, ProtocolError } from './errors.ts';
import { eventKinds } from './events.ts';
import { procedures } from './procedures.ts';
import { domain, errorPayload, toSafeNumber, toTypedParams, toWireU64, wireParams } from './wire-types.ts';
import type { WireParam } from './wire-types.ts';
import type { Codec } from './xdr.ts';
import {
  array,
  charArray,
  decode,
  encode,
  f64,
  flag,
  i32,
  i64,
  opaque,
  optional,
  string,
  struct,
  u32,
  u64,
  uuid,
} from './xdr.ts';
import { XdrReader } from './xdr-bytes.ts';

const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', ' '));
const wellFormed = text.map((value) => value.toWellFormed());
const int = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const uint = fc.integer({ min: 0, max: 0xffff_ffff });
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const ulong = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
// decoded structures are ordinary objects
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const ref = record({ name: wellFormed, uuid: fc.uuid(), id: int });

const param: fc.Arbitrary<WireParam> = fc.oneof(
  record({ field: wellFormed, kind: fc.constant('int' as const), value: int }),
  record({ field: wellFormed, kind: fc.constant('uint' as const), value: uint }),
  record({ field: wellFormed, kind: fc.constant('llong' as const), value: long }),
  record({ field: wellFormed, kind: fc.constant('ullong' as const), value: ulong }),
  record({ field: wellFormed, kind: fc.constant('double' as const), value: fc.double() }),
  record({ field: wellFormed, kind: fc.constant('boolean' as const), value: fc.boolean() }),
  record({ field: wellFormed, kind: fc.constant('string' as const), value: wellFormed }),
);

function roundTrip<T>(name: string, codec: Codec<T>, values: fc.Arbitrary<T>): void {
  test(`${name}: what is written is read again, in whole words`, () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encode(codec, value);
        assert.equal(bytes.length % 4, 0);
        assert.deepEqual(decode(codec, bytes), value);
      }),
    );
  });
}

roundTrip(
  'numbers',
  struct({ a: u32, b: i32, c: u64, d: i64, e: f64, f: flag }),
  record({ a: uint, b: int, c: ulong, d: long, e: fc.double(), f: fc.boolean() }),
);
roundTrip('texts', array(string(400), 10), fc.array(wellFormed, { maxLength: 10 }));
roundTrip(
  'optional values',
  array(optional(string(400)), 10),
  fc.array(fc.option(wellFormed, { nil: undefined }), { maxLength: 10 }),
);
roundTrip('typed parameters', wireParams(20), fc.array(param, { maxLength: 20 }));
roundTrip('a domain', domain, ref);
roundTrip('a char array', charArray(32), fc.string({ maxLength: 32, unit: 'grapheme-ascii' }));
roundTrip(
  'an error',
  errorPayload,
  record({
    code: int,
    domain: int,
    message: wellFormed,
    level: int,
    str1: fc.option(wellFormed, { nil: undefined }),
    str2: fc.option(wellFormed, { nil: undefined }),
    str3: fc.option(wellFormed, { nil: undefined }),
    int1: int,
    int2: int,
  }),
);

test('opaque data comes back, with its padding', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      const wire = encode(opaque(70), bytes);
      assert.equal(wire.length, 4 + Math.ceil(bytes.length / 4) * 4);
      assert.deepEqual(new Uint8Array(decode(opaque(70), wire)), bytes);
    }),
  );
});

test('garbage is a value or a ProtocolError for every result, event and error, and makes no list longer than its bytes', () => {
  const readers = [
    ...Object.values(procedures).map(
      ({ ret }) =>
        (reader: XdrReader): unknown =>
          ret.read(reader),
    ),
    ...eventKinds.map(({ read }) => read),
    errorPayload.read,
  ];
  // mostly small words, so that counts and lengths are often plausible
  const word = fc.oneof(fc.integer({ min: 0, max: 8 }), uint, fc.constant(0x7fff_ffff));
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), fc.integer({ min: 0, max: 3 }), (words, cut) => {
      const bytes = Buffer.alloc(words.length * 4);
      words.forEach((value, index) => bytes.writeUInt32BE(value, index * 4));
      const whole = bytes.subarray(0, Math.max(0, bytes.length - cut));
      for (const read of readers) {
        try {
          read(new XdrReader(whole));
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('what does not fit is refused before it is written', () => {
  const refused: readonly (() => unknown)[] = [
    () => encode(u32, -1),
    () => encode(u32, 2 ** 32),
    () => encode(u32, 1.5),
    () => encode(i32, 2 ** 31),
    () => encode(i32, Number.NaN),
    () => encode(u64, -1n),
    () => encode(u64, 2n ** 64n),
    () => encode(i64, 2n ** 63n),
    () => encode(string(3), 'four'),
    () => encode(string(9), 'a\0b'),
    () => encode(opaque(1), new Uint8Array(2)),
    () => encode(array(u32, 1), [1, 2]),
    () => encode(uuid, '6695eb01-f6a4-8304-79aa-97f2502e193'),
    () => encode(charArray(2), 'abc'),
    () => toWireU64(-1, 'it'),
    () => toWireU64(0.5, 'it'),
  ];
  for (const attempt of refused) assert.throws(attempt, InvalidArgumentError, attempt.toString());
});

test('UUIDs are lower case on this side, raw bytes on the other', () => {
  const wire = encode(uuid, '6695EB01-F6A4-8304-79AA-97F2502E193F');
  assert.equal(wire.toString('hex'), '6695eb01f6a4830479aa97f2502e193f');
  assert.equal(decode(uuid, wire), '6695eb01-f6a4-8304-79aa-97f2502e193f');
});

test('limits and left-overs are noticed when reading', () => {
  assert.throws(() => decode(string(3), encode(string(4), 'four')), ProtocolError);
  assert.throws(() => decode(array(u32, 1), encode(array(u32, 2), [1, 2])), ProtocolError);
  assert.throws(() => decode(u32, encode(u64, 1n)), ProtocolError);
  assert.throws(() => decode(optional(u32), encode(u32, 2)), ProtocolError);
  assert.throws(() => decode(array(u32, 1_000_000), encode(u32, 1_000_000)), ProtocolError);
});

test('64-bit parameters become numbers where that is exact; of a repeated name the first counts', () => {
  const params = toTypedParams([
    { field: 'small', kind: 'ullong', value: 2n ** 53n - 1n },
    { field: 'large', kind: 'ullong', value: 2n ** 53n },
    { field: 'negative', kind: 'llong', value: -5n },
    { field: 'twice', kind: 'string', value: 'a' },
    { field: 'twice', kind: 'string', value: 'b' },
  ]);
  assert.deepEqual(
    [...params],
    [
      ['small', 2 ** 53 - 1],
      ['large', 2n ** 53n],
      ['negative', -5],
      ['twice', 'a'],
    ],
  );
  assert.equal(toSafeNumber(8_796_093_022_207n, 'the bandwidth'), 8_796_093_022_207);
  assert.throws(() => toSafeNumber(2n ** 53n, 'the bandwidth'), ProtocolError);
});
