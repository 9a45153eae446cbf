// Writes a cpio archive in the "newc" form, the one that Linux unpacks as its initial file system. Regular files and
// folders only, no times and no owners but root, so that the same files give the same bytes.

const BLOCK_BYTES = 4;

export type CpioEntry = { readonly path: string; readonly content?: Uint8Array; readonly executable?: boolean };

const DIRECTORY_MODE = 0o040755;
const FILE_MODE = 0o100644;
const PROGRAM_MODE = 0o100755;

/** An entry without content is a folder; a folder comes before its entries. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) =>
    member(
      index + 1,
      entry.path,
      entry.content === undefined ? DIRECTORY_MODE : entry.executable === true ? PROGRAM_MODE : FILE_MODE,
      entry.content ?? new Uint8Array(),
    ),
  );
  return Buffer.concat([...parts, ...member(0, 'TRAILER!!!', 0, new Uint8Array())]);
}

function member(inode: number, path: string, mode: number, content: Uint8Array): readonly Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(
    `070701${numbers.map((number) => number.toString(16).toUpperCase().padStart(8, '0')).join('')}`,
  );
  return [padded(Buffer.concat([header, name])), padded(Buffer.from(content))];
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES)]);
}
