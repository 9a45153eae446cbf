/**
 * What was seen of a place on two hosts, as a proof that they share it or do not, in words. How often is looked, and
 * when a proof is kept, is the engine's. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { DiskFacts, SharingProof } from '../model/storage.ts';
import type { SeenFile } from './same-file.ts';

interface Named {
  readonly name: string;
}

const unknown = (at: TimeMs, detail: string, remedy?: string): SharingProof => ({
  verdict: 'unknown',
  method: 'none',
  at,
  detail,
  ...(remedy === undefined ? {} : { remedy }),
});

/** `said`: why the host cannot look there. */
export const notSeen = ({ name }: Named, said: string, at: TimeMs): SharingProof =>
  unknown(at, `on ${name}: ${said.replace(/\.$/, '')}`, `Correct that on ${name}.`);

export const noFolder = ({ name }: Named, folder: string, at: TimeMs): SharingProof =>
  unknown(at, `${name} has no folder ${folder}`, `Check the path of the disk on ${name}.`);

/** Neither a file nor a device. */
export const cannotCarryMarker = ({ type }: Pick<DiskFacts, 'type'>, at: TimeMs): SharingProof =>
  unknown(at, `a ${type} disk without an identity cannot carry a marker`);

/**
 * The marker that was left in `folder` of one host is not at `place` on the other. `hasFolder`: the other one has such
 * a folder. `before`: they have shared it at an earlier move.
 */
export function markerMissing(
  [folder, place]: readonly [string, string],
  from: Named,
  to: Named,
  { hasFolder, before }: { readonly hasFolder: boolean; readonly before: boolean },
  at: TimeMs,
): SharingProof {
  const detail = hasFolder ? `a marker made on ${from.name} is not on ${to.name}` : `${to.name} has no folder ${place}`;
  if (!before) return { verdict: 'separate', method: 'marker', at, detail };
  // not mounted, most likely: a copy would lie below the mount point, and be hidden once it is mounted again
  return {
    verdict: 'other-file',
    method: 'marker',
    at,
    detail: `they have shared ${folder} before, and now ${detail}`,
    remedy:
      `Mount the storage again. If the hosts should no longer share it, remove ${to.name} and add ` +
      `it again: ferry host remove ${to.name}.`,
  };
}

export const noFile = ({ name }: Named, path: string, at: TimeMs): SharingProof =>
  unknown(at, `${name} has no file ${path}`, `Check that the file is there on ${name}.`);

/** Both have the folder; `seen`: what the target has at `place`. */
export const otherFile = (to: Named, place: string, seen: SeenFile | undefined, at: TimeMs): SharingProof => ({
  verdict: 'other-file',
  method: 'marker',
  at,
  detail:
    'both have the folder, and ' +
    (seen === undefined ? `${to.name} has no file ${place}` : 'in it files that differ in size or time of change'),
});

/** A path, and what a host says of it. */
export interface PathOn<T> extends Named {
  readonly path: string;
  readonly seen: T | undefined;
}

/** Why two devices cannot be one, in a sentence; undefined: nothing visible contradicts it. */
export function devicesApart(
  here: PathOn<{ readonly sizeBytes: number } | 'unseen'>,
  there: PathOn<{ readonly sizeBytes: number } | 'unseen'>,
): string | undefined {
  for (const { name, path, seen } of [here, there]) if (seen === undefined) return `${name} has no device ${path}`;
  if (here.seen === undefined || there.seen === undefined || here.seen === 'unseen' || there.seen === 'unseen')
    return undefined;
  return here.seen.sizeBytes === there.seen.sizeBytes
    ? undefined
    : `it has ${here.seen.sizeBytes} bytes on ${here.name} and ${there.seen.sizeBytes} on ${there.name}`;
}

/** `seen`: by which key a pool of the host knows it. Two pools that give a device the same key see one device. */
export function deviceProof(here: PathOn<string>, there: PathOn<string>, at: TimeMs): SharingProof {
  const blind = [here, there].find(({ seen }) => seen === undefined);
  if (blind !== undefined)
    return unknown(at, `no storage pool on ${blind.name} knows ${blind.path} by an identity of its own`);
  return here.seen === there.seen
    ? { verdict: 'shared', method: 'identity', at, ...(here.seen === undefined ? {} : { detail: here.seen }) }
    : {
        verdict: 'separate',
        method: 'identity',
        at,
        detail: `${here.path} is ${here.seen} on ${here.name} and ${there.seen} on ${there.name}`,
      };
}

/** At the moment of the move, in place of what was planned. */
export const noLongerSame = (path: string, from: Named, to: Named, { detail }: SharingProof): string =>
  `${path} is no longer the same file on ${from.name} and ${to.name}: ${detail ?? 'Ferry cannot tell'}`;

export const fileMissing = ({ name }: Named, place: string): string => `${name} has no file ${place}`;
