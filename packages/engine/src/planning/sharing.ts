/**
 * Proves which storage two hosts share: a folder by a marker that is left through one host and looked for through the
 * other, each file in it by what both hosts see of it, a device by the key that the pools of both give it. It leaves
 * nothing behind, and writes to no file that is not a marker.
 */
import {
  cannotCarryMarker,
  compareSeen,
  deviceProof,
  devicesApart,
  FerryError,
  fileMissing,
  folderPairs,
  markerMissing,
  noFile,
  noFolder,
  noLongerSame,
  notSeen,
  otherFile,
  placeOf,
  withOtherNames,
  type DiskFacts,
  type DiskPlan,
  type HostUses,
  type Places,
  type SharingProof,
} from '@ferry/core';
import { collection, document } from '../state/collection.ts';
import type { Clock, IntentStore, PathPort } from '../ports/ports.ts';
import { compareFolders } from './folders.ts';
import type { Markers } from './markers.ts';

const proofPrefix = 'proofs/';
/**
 * A proof that two hosts share a folder is reused for this time. It proves nothing about a file: each file is compared
 * at every move. That they do not share a folder is checked each time.
 */
const proofKeptMs = 10 * 60_000;
/**
 * Network file systems cache the attributes of files, FUSE for a second: Ferry compares for this time before it takes
 * two files for different.
 */
const looks = 14;
/** The same for a file that is not there at all, which is not remembered. */
const absentLooks = 4;
const lookEveryMs = 250;
/** A state between two others counts only after this number of checks without a better result. */
const betweenAfter = 4;

/** One host as this module needs it. */
export interface StorageSide {
  readonly id: string;
  readonly name: string;
  /** UUID. */
  readonly machine: string;
  readonly paths: PathPort;
}

/** With the question which files its definitions use. */
export interface UsedSide extends StorageSide {
  readonly uses: (signal: AbortSignal) => Promise<HostUses>;
}

export interface Sharing {
  /**
   * Which files the definitions of a host use, those of these `paths` also where a definition names them by another
   * folder that is the same one, or perhaps is.
   */
  usesOf(side: UsedSide, paths: readonly string[], signal: AbortSignal): Promise<HostUses>;
  /** The same of this moment: before a file is written over or deleted. */
  usesNow(side: UsedSide, paths: readonly string[], signal: AbortSignal): Promise<HostUses>;
  /**
   * Of one image of a disk, which is at another of the `places` on the target. `folders`: what was proved in this
   * survey.
   */
  prove(
    path: string,
    disk: DiskFacts,
    folders: Map<string, Promise<SharingProof>>,
    from: StorageSide,
    to: StorageSide,
    places: Places,
    signal: AbortSignal,
  ): Promise<SharingProof>;
  /** Whether both hosts have one file at this path, which is no disk. */
  sharesFile(path: string, from: StorageSide, to: StorageSide, signal: AbortSignal): Promise<boolean>;
  /** Why the target does not have a file that it is said to have, in a sentence; undefined when it is there. */
  missingOn(place: string, to: StorageSide, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Why a device cannot be the same on both hosts, in a sentence: one of them has none there, or one of another size.
   * Undefined: nothing visible contradicts it.
   */
  deviceApart(
    path: string,
    place: string,
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /** The proof of a folder that is kept from an earlier move, whatever its age. */
  kept(a: string, b: string, path: string): Promise<SharingProof | undefined>;
  /** What is kept of a host that is removed: added again, it is as new. */
  forget(host: string): Promise<void>;
  /** Why the target does not have one of these disks as planned, in a sentence: each is checked now. */
  notThere(
    disks: readonly DiskPlan[],
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<string | undefined>;
}

const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
const proofKey = (a: string, b: string, folder: string): string =>
  `${[a, b].sort().join('|')}/${encodeURIComponent(folder)}`;
const isFile = (path: string | undefined): path is string =>
  path !== undefined && path.startsWith('/') && !path.startsWith('/dev/');

export function createSharing({
  intents,
  markers,
  clock,
}: {
  readonly intents: IntentStore;
  readonly markers: Markers;
  readonly clock: Clock;
}): Sharing {
  const keptProofs = collection(intents, proofPrefix, document<SharingProof>({ verdict: 'string', at: 'number' }));
  const compare = compareFolders({ markers, clock });
  /** A folder or file that cannot be checked: why, and that sharing is not the question. */
  const unseen = (side: StorageSide, error: unknown): SharingProof => {
    if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
    return notSeen(side, error.message, clock.now());
  };

  /** A marker volume left through one host and looked for through the other. */
  const proveFolder = async (
    folder: string,
    place: string,
    from: StorageSide,
    to: StorageSide,
    { fresh }: { readonly fresh: boolean },
    signal: AbortSignal,
  ): Promise<SharingProof> => {
    const key =
      place === folder
        ? proofKey(from.id, to.id, folder)
        : `${from.id}|${to.id}/${encodeURIComponent(folder)}/${encodeURIComponent(place)}`;
    const kept = (await keptProofs.get(key))?.value;
    if (!fresh && kept !== undefined && clock.now() - kept.at < proofKeptMs) return kept;
    const at = clock.now();
    const left = await markers.leave(from, folder, signal).catch((error: unknown) => unseen(from, error));
    if (!('folder' in left)) return left;
    await using marker = left;
    if (!marker.folder) return noFolder(from, folder, at);
    try {
      const { folder: there, found } = await to.paths.marker('find', place, marker.name, signal);
      if (found) {
        const proof: SharingProof = { verdict: 'shared', method: 'marker', at };
        await keptProofs.change(key, () => proof);
        return proof;
      }
      return markerMissing([folder, place], from, to, { hasFolder: there, before: kept !== undefined }, at);
    } catch (error) {
      return unseen(to, error);
    }
  };

  /** One file, seen by both hosts at this moment. Its folder is proved to be one. */
  const proveFile = async (
    path: string,
    place: string,
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<SharingProof> => {
    const at = clock.now();
    let other: Awaited<ReturnType<PathPort['fileAt']>>;
    for (let look = 1; look <= looks; look += 1) {
      const before = await from.paths.fileAt(path, signal);
      if (before === undefined) return noFile(from, path, at);
      other = await to.paths.fileAt(place, signal);
      const after = (await from.paths.fileAt(path, signal)) ?? before;
      const seen = compareSeen(before, other, after);
      if (other === undefined && look >= absentLooks) break;
      if (seen === 'same' || (seen === 'between' && look >= betweenAfter))
        return { verdict: 'shared', method: 'marker', at };
      await clock.sleep(lookEveryMs, signal);
    }
    return otherFile(to, place, other, at);
  };

  const deviceApart: Sharing['deviceApart'] = async (path, place, from, to, signal) => {
    const look = async (at: string, side: StorageSide) => {
      try {
        return await side.paths.deviceAt(at, signal);
      } catch (error) {
        unseen(side, error);
        return 'unseen' as const;
      }
    };
    const [here, there] = await Promise.all([look(path, from), look(place, to)]);
    return devicesApart({ name: from.name, path, seen: here }, { name: to.name, path: place, seen: there });
  };

  /** Where no pool knows it, two sizes are two devices. */
  const proveDevice = async (
    path: string,
    place: string,
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<SharingProof> => {
    const [here, there] = await Promise.all([from.paths.identityOf(path, signal), to.paths.identityOf(place, signal)]);
    const at = clock.now();
    const known = here !== undefined && there !== undefined;
    const apart = known ? undefined : await deviceApart(path, place, from, to, signal);
    if (apart !== undefined) return { verdict: 'separate', method: 'none', at, detail: apart };
    return deviceProof({ name: from.name, path, seen: here }, { name: to.name, path: place, seen: there }, at);
  };

  const missingOn: Sharing['missingOn'] = async (place, to, signal) => {
    try {
      return (await to.paths.fileAt(place, signal)) === undefined ? fileMissing(to, place) : undefined;
    } catch (error) {
      return unseen(to, error).detail;
    }
  };

  const notThereOf = async (
    { path, targetPath, how, proof, volume }: DiskPlan,
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const place = targetPath ?? path;
    if (path === undefined || place === undefined) return undefined;
    if (how === 'shared' && proof?.method === 'marker') {
      const again = await proveFile(path, place, from, to, signal).catch((error: unknown) => unseen(to, error));
      return again.verdict === 'shared' ? undefined : noLongerSame(path, from, to, again);
    }
    if (how === 'shared' && path.startsWith('/dev/')) {
      const again = await proveDevice(path, place, from, to, signal);
      return again.verdict === 'separate' ? again.detail : undefined;
    }
    const isThere =
      (how === 'shared' && proof?.method === 'operator') || (how === 'copy' && volume !== undefined) || how === 'file';
    return isThere && isFile(place) ? missingOn(place, to, signal) : undefined;
  };

  const proveFileIn = async (
    path: string,
    placed: string,
    folders: Map<string, Promise<SharingProof>>,
    from: StorageSide,
    to: StorageSide,
    signal: AbortSignal,
  ): Promise<SharingProof> => {
    const [folder, place] = [folderOf(path), folderOf(placed)];
    const key = `${folder}\0${place}`;
    const proof = folders.get(key) ?? proveFolder(folder, place, from, to, { fresh: false }, signal);
    folders.set(key, proof);
    const ofFolder = await proof;
    if (ofFolder.verdict !== 'shared') return ofFolder;
    const ofFile = await proveFile(path, placed, from, to, signal).catch((error: unknown) => unseen(to, error));
    if (ofFile.verdict !== 'other-file') return ofFile;
    const now = await proveFolder(folder, place, from, to, { fresh: true }, signal);
    return now.verdict === 'shared' ? ofFile : now;
  };

  const usesOf = async (
    side: UsedSide,
    paths: readonly string[],
    signal: AbortSignal,
    when?: 'now',
  ): Promise<HostUses> => {
    const uses = await side.uses(signal);
    return withOtherNames(uses, await compare(side, folderPairs(uses, paths), signal, when));
  };

  return {
    usesOf: (side, paths, signal) => usesOf(side, paths, signal),
    usesNow: (side, paths, signal) => usesOf(side, paths, signal, 'now'),
    async prove(path, disk, folders, from, to, places, signal) {
      // a device may lie below a file, too
      if (disk.type === 'block' || path.startsWith('/dev/'))
        return proveDevice(path, placeOf(path, places), from, to, signal);
      if (disk.type !== 'file') return cannotCarryMarker(disk, clock.now());
      return proveFileIn(path, placeOf(path, places), folders, from, to, signal);
    },
    sharesFile: async (path, from, to, signal) =>
      (await proveFileIn(path, path, new Map(), from, to, signal)).verdict === 'shared',
    missingOn,
    deviceApart,
    kept: async (a, b, path) => (await keptProofs.get(proofKey(a, b, folderOf(path))))?.value,
    async forget(host) {
      const { items } = await keptProofs.list();
      for (const { key } of items)
        if (key.slice(0, key.indexOf('/')).split('|').includes(host)) await keptProofs.change(key, () => undefined);
    },
    async notThere(disks, from, to, signal) {
      const all = await Promise.all(disks.map((disk) => notThereOf(disk, from, to, signal)));
      const why = all.find((each) => each !== undefined);
      return why === undefined ? undefined : `${why}.`;
    },
  };
}
