/** Files that a command names: read whole, and what keeps one from being read is one sentence. */
import { InvalidArgumentError } from 'commander';

// see connection.ts: an import takes longer than all of this file
const { readFileSync, statSync } = process.getBuiltinModule('node:fs');

/** `-` is standard input. Throws InvalidArgumentError. `mostBytes`: larger files are not read. */
export function readInput(file: string, mostBytes = Number.POSITIVE_INFINITY): string {
  try {
    if (file === '-') return readFileSync(0, 'utf8');
    if (statSync(file).size <= mostBytes) return readFileSync(file, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(unreadable(file, error));
  }
  throw new InvalidArgumentError(`${file} is larger than ${mostBytes / 2 ** 20} MiB.`);
}

function unreadable(file: string, error: unknown): string {
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'ENOENT':
    case 'ENOTDIR':
      return `There is no file ${file}.`;
    case 'EISDIR':
      return `${file} is a folder: name a file.`;
    case 'EACCES':
    case 'EPERM':
      return `You may not read ${file}.`;
    default:
      return `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}
