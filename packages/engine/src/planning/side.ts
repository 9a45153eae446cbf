/** One host as the files of a move are handled on it, and the question of which files it uses, asked where it matters. */
import type { HostUses } from '@ferry/core';
import type { StorageSide, UsedSide } from './sharing.ts';
import type { FilePort, HostLink, VolumePort } from '../ports/ports.ts';

/** One host whose volumes are checked. */
export interface VolumeSide extends StorageSide {
  readonly volumes: VolumePort;
}

/** One host, where files may be written or deleted. */
export interface Side extends VolumeSide, UsedSide {
  readonly files: FilePort;
}

export const sideOn = (
  place: Pick<Side, 'id' | 'name' | 'machine'>,
  { volumes, paths, files, definitions }: Pick<HostLink, 'volumes' | 'paths' | 'files' | 'definitions'>,
): Side => ({ ...place, volumes, paths, files, uses: (signal) => definitions.filesInUse(signal) });

/** What a host's definitions use, asked once and only where a fate depends on it. */
export function onDemand(ask: () => Promise<HostUses>): () => Promise<HostUses> {
  let asked: Promise<HostUses> | undefined;
  return () => (asked ??= ask());
}

export async function withUses<T extends { readonly do: string }>(
  usesOf: () => Promise<HostUses>,
  fateBy: (uses: HostUses | undefined) => T | { readonly needs: 'uses' },
): Promise<T> {
  const first = fateBy(undefined);
  if (!('needs' in first)) return first;
  const fate = fateBy(await usesOf());
  if ('needs' in fate) throw new Error('the fate of a file needs what its host uses, which was given');
  return fate;
}
