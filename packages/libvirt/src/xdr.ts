// XDR (RFC 4506) as libvirt uses it: typed building blocks whose TypeScript types follow from the schema, over the bytes
// of xdr-bytes.ts. Pure: bytes in, plain data out. It knows nothing of frames, procedures or libvirt's objects, and
// allocates no more than the bytes received justify: every count is checked against its limit, and memory grows with
// what is read.
import { InvalidArgumentError, ProtocolError } from './errors.ts';
import { XdrReader, XdrWriter } from './xdr-bytes.ts';

/** How one type is read and written. The reader throws ProtocolError, the writer InvalidArgumentError. */
export interface Codec<T> {
  readonly read: (reader: XdrReader) => T;
  readonly write: (writer: XdrWriter, value: T) => void;
}
export type TypeOf<C> = C extends Codec<infer T> ? T : never;

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
