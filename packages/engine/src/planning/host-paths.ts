/**
 * Looks whether a target has the files and folders that a definition names. What it does not show is held against the
 * source: where that does not show it either, nobody can look. Devices are not looked at: opening some of them does
 * something.
 */
import { FerryError, type HostPath, type PathThere } from '@ferry/core';
import type { HostLink } from '../ports/ports.ts';

const lookName = 'ferry-look';

const has = async ({ path, kind }: HostPath, { storage }: HostLink, signal: AbortSignal): Promise<boolean> => {
  try {
    return kind === 'folder'
      ? (await storage.marker('find', path, lookName, signal)).folder
      : (await storage.fileAt(path, signal)) !== undefined;
  } catch (error) {
    // a folder that cannot be looked into does not show it
    if (error instanceof FerryError && error.code === 'volume-failed') return false;
    throw error;
  }
};

export async function lookForPaths(
  paths: readonly HostPath[],
  source: HostLink,
  target: HostLink,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, PathThere>> {
  const look = async (each: HostPath): Promise<readonly [string, PathThere]> => {
    if (each.kind === 'device') return [each.path, 'unknown'];
    if (await has(each, target, signal)) return [each.path, 'there'];
    return [each.path, (await has(each, source, signal)) ? 'missing' : 'unknown'];
  };
  return new Map(await Promise.all(paths.map(look)));
}
