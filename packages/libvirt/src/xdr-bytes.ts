// The bytes of XDR (RFC 4506): big-endian, everything in units of four bytes. A writer that grows, and a reader that
// never reads past its end. Types built of them are in xdr.ts.
import { InvalidArgumentError, ProtocolError } from './errors.ts';

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
