/**
 * Checks whether a target has the files and folders that a definition names. A path that it does not show is checked on
 * the source: if the source does not show it either, the path cannot be checked. Devices are not opened, because that
 * has effects on some.
 */
import { FerryError, type HostPath, type PathThere } from '@ferry/core';
import type { PathPort } from '../ports/ports.ts';

const lookName = 'ferry-look';

const lookAt = async ({ path, kind }: HostPath, paths: PathPort, signal: AbortSignal): Promise<PathThere> => {
  try {
    const there =
      kind === 'folder'
        ? (await paths.marker('find', path, lookName, signal)).folder
        : (await paths.fileAt(path, signal)) !== undefined;
    return there ? 'there' : 'missing';
  } catch (error) {
    // a folder that cannot be read
    if (error instanceof FerryError && error.code === 'volume-failed') return 'unknown';
    throw error;
  }
};

/** `source` undefined: it cannot be asked, and the target's word is taken. */
export async function lookForPaths(
  paths: readonly HostPath[],
  source: PathPort | undefined,
  target: PathPort,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PathThere>> {
  const look = async (each: HostPath): Promise<readonly [string, PathThere]> => {
    if (each.kind === 'device') return [each.path, 'unknown'];
    const there = await lookAt(each, target, signal);
    if (there === 'there' || source === undefined) return [each.path, there];
    return [each.path, (await lookAt(each, source, signal)) === 'there' ? 'missing' : 'unknown'];
  };
  return new Map(await Promise.all(paths.map(look)));
}
