// XDR (RFC 4506) as libvirt uses it: big-endian, everything in units of four bytes. A writer that grows, a reader that
// never reads past its end, and typed building blocks whose TypeScript types follow from the schema. Pure: bytes in,
// plain data out. It knows nothing of frames, procedures or libvirt's objects, and allocates no more than the bytes
// received justify: every count is checked against its limit, and memory grows with what is read.
import { InvalidArgumentError, ProtocolError } from './errors.ts';

/** How one type is read and written. The reader throws ProtocolError, the writer InvalidArgumentError. */
export interface Codec<T> {
  readonly read: (reader: XdrReader) => T;
  readonly write: (writer: XdrWriter, value: T) => void;
}
export type TypeOf<C> = C extends Codec<infer T> ? T : never;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export class XdrWriter {
  #buffer: Buffer = Buffer.allocUnsafeSlow(4096);
  #view: DataView = viewOf(this.#buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** A copy of what was written; the writer can be used again at once. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return bytes;
  }

  u32(value: number): void {
    if (value >>> 0 !== value) throw new InvalidArgumentError(`${value} is not an unsigned 32-bit number`);
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value);
  }

  i32(value: number): void {
    if ((value | 0) !== value) throw new InvalidArgumentError(`${value} is not a signed 32-bit number`);
    const offset = this.#reserve(4);
    this.#view.setInt32(offset, value);
  }

  u64(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value)
      throw new InvalidArgumentError(`${value} is not an unsigned 64-bit number`);
    const offset = this.#reserve(8);
    this.#view.setBigUint64(offset, value);
  }

  i64(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) throw new InvalidArgumentError(`${value} is not a signed 64-bit number`);
    const offset = this.#reserve(8);
    this.#view.setBigInt64(offset, value);
  }

  f64(value: number): void {
    const offset = this.#reserve(8);
    this.#view.setFloat64(offset, value);
  }

  /** Raw bytes, padded with zeroes to a multiple of four, without a length. */
  fixed(bytes: Uint8Array): void {
    const padded = (bytes.length + 3) & ~3;
    const offset = this.#reserve(padded);
    this.#buffer.set(bytes, offset);
    this.#buffer.fill(0, offset + bytes.length, offset + padded);
  }

  /** Raw bytes as they are, for what is not XDR: a stream's data. */
  raw(bytes: Uint8Array): void {
    const offset = this.#reserve(bytes.length);
    this.#buffer.set(bytes, offset);
  }

  opaque(bytes: Uint8Array, limit: number): void {
    if (bytes.length > limit)
      throw new InvalidArgumentError(`${bytes.length} bytes are more than libvirt takes here (${limit})`);
    this.u32(bytes.length);
    this.fixed(bytes);
  }

  string(text: string, limit: number): void {
    const length = Buffer.byteLength(text);
    if (length > limit)
      throw new InvalidArgumentError(`a text of ${length} bytes is longer than libvirt takes here (${limit})`);
    // libvirt makes C strings of them: what follows a NUL would silently be lost there
    if (text.includes('\0')) throw new InvalidArgumentError('a text for libvirt must not have a NUL character in it');
    this.u32(length);
    const padded = (length + 3) & ~3;
    const offset = this.#reserve(padded);
    this.#buffer.write(text, offset, length, 'utf8');
    this.#buffer.fill(0, offset + length, offset + padded);
  }

  /** Writes over an earlier u32, for a length that is known only afterwards. */
  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value);
  }

  #reserve(size: number): number {
    const offset = this.#length;
    const needed = offset + size;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, offset);
      this.#buffer = grown;
      this.#view = viewOf(grown);
    }
    this.#length = needed;
    return offset;
  }
}

export class XdrReader {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = viewOf(this.#buffer);
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  /** Refuses bytes that nothing has asked for. */
  end(): void {
    if (this.remaining !== 0) throw new ProtocolError(`${this.remaining} bytes too many in a message`);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#advance(8));
  }

  f64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  /** A view into the message, not a copy. */
  fixed(length: number): Buffer {
    const offset = this.#advance((length + 3) & ~3);
    return this.#buffer.subarray(offset, offset + length);
  }

  opaque(limit: number): Buffer {
    return this.fixed(this.#size(limit, 'opaque data'));
  }

  string(limit: number): string {
    const length = this.#size(limit, 'a text');
    const offset = this.#advance((length + 3) & ~3);
    return this.#buffer.toString('utf8', offset, offset + length);
  }

  uuid(): string {
    const b = this.#buffer;
    let offset = this.#advance(16);
    let text = '';
    for (let index = 0; index < 16; index++) {
      if (index === 4 || index === 6 || index === 8 || index === 10) text += '-';
      text += HEX[b[offset++] ?? 0];
    }
    return text;
  }

  /**
   * The number of elements of a list; each of them takes bytes that have to be there, so nothing is allocated for it.
   */
  count(limit: number): number {
    return this.#size(limit, 'a list');
  }

  #size(limit: number, what: string): number {
    const size = this.u32();
    if (size > limit) throw new ProtocolError(`${what} of length ${size}, more than libvirt's limit of ${limit}`);
    return size;
  }

  #advance(size: number): number {
    const offset = this.#offset;
    const next = offset + size;
    if (next > this.#buffer.length)
      throw new ProtocolError(`a message ends ${next - this.#buffer.length} bytes too early`);
    this.#offset = next;
    return offset;
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

export const u32: Codec<number> = { read: (r) => r.u32(), write: (w, value) => w.u32(value) };
export const i32: Codec<number> = { read: (r) => r.i32(), write: (w, value) => w.i32(value) };
export const u64: Codec<bigint> = { read: (r) => r.u64(), write: (w, value) => w.u64(value) };
export const i64: Codec<bigint> = { read: (r) => r.i64(), write: (w, value) => w.i64(value) };
export const f64: Codec<number> = { read: (r) => r.f64(), write: (w, value) => w.f64(value) };

/** An int that means yes or no. Like libvirt, any other value than 0 is yes. */
export const flag: Codec<boolean> = { read: (r) => r.i32() !== 0, write: (w, value) => w.i32(value ? 1 : 0) };

/** No arguments, or no result. */
export const nothing: Codec<void> = { read: () => {}, write: () => {} };

export const string = (limit: number): Codec<string> => ({
  read: (r) => r.string(limit),
  write: (w, value) => w.string(value, limit),
});

export const opaque = (limit: number): Codec<Uint8Array> => ({
  read: (r) => r.opaque(limit),
  write: (w, value) => w.opaque(value, limit),
});

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** 16 raw bytes on the wire, the canonical lower-case text on this side. */
export const uuid: Codec<string> = {
  read: (r) => r.uuid(),
  write: (w, value) => {
    if (!UUID.test(value)) throw new InvalidArgumentError(`"${value}" is not a UUID`);
    w.fixed(Buffer.from(value.replaceAll('-', ''), 'hex'));
  },
};

/** A text in a fixed number of chars, one int each, read up to the first NUL. */
export const charArray = (length: number): Codec<string> => ({
  read: (r) => {
    const chars = Array.from({ length }, () => r.i32() & 0xff);
    const end = chars.indexOf(0);
    return Buffer.from(end < 0 ? chars : chars.slice(0, end)).toString('utf8');
  },
  write: (w, value) => {
    const bytes = Buffer.from(value);
    if (bytes.length > length) throw new InvalidArgumentError(`"${value}" is longer than ${length} bytes`);
    // a C char is signed: its sign goes into all four bytes
    for (let index = 0; index < length; index++) w.i32(((bytes[index] ?? 0) << 24) >> 24);
  },
});

/** `char x<N>`: a count, then four bytes for each. */
export const chars = (maxLength: number): Codec<string> => ({
  read: (r) => {
    const length = r.u32();
    if (length > maxLength)
      throw new ProtocolError(`${length} characters are announced, at most ${maxLength} are known`);
    return Buffer.from(Array.from({ length }, () => r.i32() & 0xff)).toString('utf8');
  },
  write: (w, value) => {
    const bytes = Buffer.from(value);
    if (bytes.length > maxLength) throw new InvalidArgumentError(`a text is longer than ${maxLength} bytes`);
    w.u32(bytes.length);
    for (const byte of bytes) w.i32((byte << 24) >> 24);
  },
});

export const optional = <T>(codec: Codec<T>): Codec<T | undefined> => ({
  read: (r) => {
    const present = r.u32();
    if (present > 1) throw new ProtocolError(`${present} where a value is either present (1) or not (0)`);
    return present === 1 ? codec.read(r) : undefined;
  },
  write: (w, value) => {
    w.u32(value === undefined ? 0 : 1);
    if (value !== undefined) codec.write(w, value);
  },
});

export const array = <T>(codec: Codec<T>, limit: number): Codec<readonly T[]> => ({
  read: (r) => {
    const count = r.count(limit);
    const list: T[] = [];
    for (let index = 0; index < count; index++) list.push(codec.read(r));
    return list;
  },
  write: (w, value) => {
    if (value.length > limit)
      throw new InvalidArgumentError(`${value.length} elements are more than libvirt takes here (${limit})`);
    w.u32(value.length);
    for (const element of value) codec.write(w, element);
  },
});

type StructOf<F> = { readonly [K in keyof F]: F[K] extends Codec<infer T> ? T : never };

/** Members in the order in which they are written down. */
export function struct<F extends { readonly [K in keyof F]: Codec<F[K] extends Codec<infer T> ? T : never> }>(
  fields: F,
): Codec<StructOf<F>> {
  const entries = Object.entries(fields as unknown as Readonly<Record<string, Codec<unknown>>>);
  return {
    read: (r) => {
      const value: Record<string, unknown> = {};
      for (const [name, codec] of entries) value[name] = codec.read(r);
      return value as StructOf<F>;
    },
    write: (w, value) => {
      const members = value as Readonly<Record<string, unknown>>;
      for (const [name, codec] of entries) codec.write(w, members[name]);
    },
  };
}

export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter();
  codec.write(writer, value);
  return writer.take();
}

/** Decodes a whole message; bytes left over are refused. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new XdrReader(bytes);
  const value = codec.read(reader);
  reader.end();
  return value;
}
