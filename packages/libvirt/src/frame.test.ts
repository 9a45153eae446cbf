import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { frameBytes } from '../test/scripted-peer.ts';
import { ProtocolError } from './errors.ts';
import { createFrameParser, HEADER_BYTES, MAX_MESSAGE_BYTES } from './frame.ts';
import type { Frame } from './frame.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const i32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const header = fc.record(
  { program: u32, version: u32, procedure: i32, type: u32, serial: u32, status: u32 },
  { noNullPrototype: true },
);
// the payload is padded to words when written, as every XDR value is
const payload = fc
  .uint8Array({ maxLength: 200 })
  .map((bytes) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]));
const frames = fc.array(fc.tuple(header, payload), { minLength: 1, maxLength: 12 });

function parseAll(bytes: Buffer, sizes: readonly number[]): Frame[] {
  const parser = createFrameParser();
  const out: Frame[] = [];
  let index = 0;
  for (let offset = 0; offset < bytes.length; index++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[index % sizes.length] ?? 1);
    parser.push(bytes.subarray(offset, offset + size), (frame) => out.push(frame));
    offset += size;
  }
  assert.equal(parser.pendingBytes, 0);
  return out;
}

test('frames survive any chunking', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 20 }), (list, sizes) => {
      const bytes = Buffer.concat(list.map(([head, body]) => frameBytes(head, body)));
      const parsed = parseAll(bytes, sizes).map(({ payload: body, ...head }) => [head, Buffer.from(body)]);
      assert.deepEqual(parsed, list);
    }),
  );
});

test('frames survive one byte at a time, the smallest included', () => {
  const bytes = Buffer.concat([
    frameBytes({ serial: 1 }),
    frameBytes({ serial: 2 }, Buffer.alloc(3000, 7)),
    frameBytes({ serial: 3 }),
  ]);
  const parsed = parseAll(bytes, [1]);
  assert.deepEqual(
    parsed.map(({ serial, payload: body }) => [serial, body.length]),
    [
      [1, 0],
      [2, 3000],
      [3, 0],
    ],
  );
  assert.deepEqual(parsed[1]?.payload, Buffer.alloc(3000, 7));
});

test('garbage makes frames or a ProtocolError, and a failed parser stays failed', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 30 }), (chunks) => {
      const parser = createFrameParser();
      let failure: unknown;
      for (const chunk of chunks) {
        try {
          parser.push(chunk, (frame) => assert.ok(frame.payload.length + HEADER_BYTES <= MAX_MESSAGE_BYTES + 4));
          assert.equal(failure, undefined, 'a failed parser took more bytes');
        } catch (error) {
          assert.ok(error instanceof ProtocolError);
          assert.ok(failure === undefined || failure === error);
          failure = error;
        }
      }
    }),
  );
});

test("lengths up to libvirt's limit are taken, one byte more is not", () => {
  const word = (length: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    return bytes;
  };
  const none = (): void => assert.fail('there is no whole frame');
  createFrameParser().push(word(MAX_MESSAGE_BYTES + 4), none);
  assert.throws(() => createFrameParser().push(word(MAX_MESSAGE_BYTES + 5), none), ProtocolError);
  createFrameParser().push(word(HEADER_BYTES), none);
  assert.throws(() => createFrameParser().push(word(HEADER_BYTES - 1), none), ProtocolError);
});

test('an announced length alone allocates nothing', () => {
  const before = process.memoryUsage().arrayBuffers;
  const parsers = Array.from({ length: 64 }, () => {
    const parser = createFrameParser();
    parser.push(Buffer.from('02000004200080860000', 'hex'), () => {});
    return parser;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(parsers.every((parser) => parser.pendingBytes === 10));
  assert.ok(grown < 4 * 1024 * 1024, `64 announced frames of 32 MiB took ${grown} bytes`);
});
