/**
 * Files that a host knows by two paths, because one folder is a symbolic link to the other, or mounted there too. Only
 * where a file of the same name is in use may that matter: such folders are compared, and what uses the file by the
 * other path counts for both. Where nobody can tell whether they are one, it counts only against what would delete the
 * file or write over it. A link to a single file is not seen: libvirt follows it without saying so. Pure.
 */
import { normalPath } from '../model/paths.ts';
import type { FileRole, HostUses } from './ownership.ts';

export interface FolderPair {
  readonly mine: string;
  readonly other: string;
}

/** State has names that libvirt gives, in folders of its own. */
const compared: readonly FileRole[] = ['disk', 'base'];
const split = (path: string): readonly [folder: string, file: string] => {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(at, 1)), path.slice(at + 1)];
};
const isDevice = (path: string): boolean => path.startsWith('/dev/');

/** Which folders have to be compared before it is known who uses the files at these paths. */
export function folderPairs({ files }: HostUses, paths: readonly string[]): readonly FolderPair[] {
  const pairs = new Map<string, FolderPair>();
  for (const path of paths.map(normalPath)) {
    const [mine, name] = split(path);
    if (isDevice(path)) continue;
    for (const use of files) {
      const [other, used] = split(use.path);
      if (used === name && other !== mine && compared.includes(use.as) && !isDevice(use.path))
        pairs.set(`${mine}\0${other}`, { mine, other });
    }
  }
  return [...pairs.values()];
}

/** What the host says to such pairs; all others are two folders. */
export interface ComparedFolders {
  readonly one: readonly FolderPair[];
  /** Nobody can tell. */
  readonly perhaps: readonly FolderPair[];
}

export function withOtherNames(uses: HostUses, { one, perhaps }: ComparedFolders): HostUses {
  const usedIn = ({ mine, other }: FolderPair) =>
    uses.files.flatMap((use) => {
      const [folder, name] = split(use.path);
      const path = `${mine === '/' ? '' : mine}/${name}`;
      return folder === other && compared.includes(use.as) ? [{ ...use, path }] : [];
    });
  const more = one.flatMap(usedIn);
  const maybe = perhaps.flatMap((pair) => usedIn(pair).map((use) => ({ ...use, pair })));
  return more.length + maybe.length === 0
    ? uses
    : { ...uses, files: [...uses.files, ...more], ...(maybe.length === 0 ? {} : { perhaps: maybe }) };
}
