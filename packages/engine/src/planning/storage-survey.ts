/**
 * What the storage of two hosts says to a move before anything is made: which of it they share (sharing.ts), what is at
 * the places of the disks, and what Ferry knows of it. Leaves nothing behind on either host.
 */
import {
  FerryError,
  needsProof,
  placeOf,
  type DiskFacts,
  type ImageFacts,
  type Places,
  type RescueStorage,
  type SharingProof,
  type TargetStorage,
  type VolumeFacts,
  type VolumeRecord,
} from '@ferry/core';
import type { Log } from '../ports/ports.ts';
import type { Records } from '../state/ownership.ts';
import type { Sharing } from './sharing.ts';
import type { Side, VolumeSide } from './side.ts';

export interface StorageSurvey {
  /**
   * What the target's storage says to these disks, which are at other `places` there. Leaves nothing behind on either
   * host.
   */
  survey(
    disks: readonly DiskFacts[],
    from: Side,
    to: Side,
    places: Places,
    signal: AbortSignal,
  ): Promise<TargetStorage>;
  /** What is known of a dead host's storage: proofs kept from earlier, whatever their age, and what the target has. */
  surveyForRescue(
    disks: readonly DiskFacts[],
    deadHost: string,
    to: VolumeSide,
    signal: AbortSignal,
  ): Promise<RescueStorage>;
}

/** What is there; where that cannot be seen: why. */
export async function volumeSeen(
  at: VolumeSide,
  path: string,
  log: Log,
  signal: AbortSignal,
): Promise<VolumeFacts | string | undefined> {
  try {
    return await at.volumes.at(path, signal);
  } catch (error) {
    if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
    log.warn({ err: error, host: at.name, path }, 'a path on the target could not be checked');
    return error.message;
  }
}

export const factsOf = (look: VolumeFacts | string | undefined): VolumeFacts | undefined =>
  typeof look === 'string' ? undefined : look;

/** A folder that cannot be read says nothing about its images. */
const unlessUnseen = (error: unknown): undefined => {
  if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
};

export function createStorageSurvey({
  records,
  log,
  sharing: proofs,
}: {
  readonly records: Pick<Records, 'at'>;
  readonly log: Log;
  readonly sharing: Sharing;
}): StorageSurvey {
  const seen = (at: VolumeSide, path: string, signal: AbortSignal) => volumeSeen(at, path, log, signal);
  return {
    async survey(disks, from, to, places, signal) {
      const folders = new Map<string, Promise<SharingProof>>();
      const sharing = new Map<string, SharingProof>();
      const volumes = new Map<string, VolumeFacts>();
      const missing = new Map<string, string>();
      const known = new Map<string, VolumeRecord>();
      const unseen = new Map<string, string>();
      const images = new Map<string, ImageFacts>();
      let pools = disks.some(({ pool }) => pool !== undefined) ? to.volumes.pools(signal) : undefined;
      const lookAt = async (disk: DiskFacts): Promise<void> => {
        const chain = [disk.source ?? '', ...disk.backing.map((image) => image.path)];
        await Promise.all(
          chain.map(async (path) =>
            sharing.set(path, await proofs.prove(path, disk, folders, from, to, places, signal)),
          ),
        );
        const path = disk.source ?? '';
        const place = placeOf(path, places);
        const why =
          disk.type === 'file' && sharing.get(path)?.verdict === 'unknown'
            ? await proofs.missingOn(place, to, signal)
            : undefined;
        if (why !== undefined) missing.set(path, why);
        if (sharing.get(path)?.verdict !== 'separate') return;
        pools ??= to.volumes.pools(signal);
        const isFile = disk.type === 'file';
        const whole = [{ path, ...(disk.format === undefined ? {} : { format: disk.format }) }, ...disk.backing];
        const [there, record] = await Promise.all([
          isFile ? seen(to, place, signal) : undefined,
          isFile ? records.at(to, place) : undefined,
          pools,
          ...(isFile ? whole : []).map(async (image) => {
            const found = await from.volumes.imageAt(image.path, image.format, signal).catch(unlessUnseen);
            if (found !== undefined) images.set(image.path, found);
          }),
        ]);
        if (typeof there === 'string') unseen.set(path, there);
        else if (there !== undefined) volumes.set(path, there);
        if (record !== undefined) known.set(path, record);
      };
      // a name that is the same everywhere does not say that the device is there
      const lookAtDevice = async ({ type, source: path, identity }: DiskFacts): Promise<void> => {
        if (type !== 'block' || path === undefined || identity === undefined) return;
        const why = await proofs.deviceApart(path, placeOf(path, places), from, to, signal);
        if (why !== undefined) missing.set(path, why);
      };
      await Promise.all([pools, ...disks.filter(needsProof).map(lookAt), ...disks.map(lookAtDevice)]);
      return {
        pools: (await pools) ?? [],
        sharing,
        volumes,
        unseen,
        records: known,
        missing,
        images,
        places,
      };
    },

    async surveyForRescue(disks, deadHost, to, signal) {
      const sharing = new Map<string, SharingProof>();
      const found = new Set<string>();
      const below = new Map<string, readonly string[]>();
      const missing = new Set<string>();
      for (const { type, source: path } of disks)
        if (type === 'block' && path !== undefined && (await to.paths.deviceAt(path, signal)) === undefined)
          missing.add(path);
      const lookAt = async (path: string): Promise<void> => {
        const kept = await proofs.kept(deadHost, to.id, path);
        if (kept !== undefined) sharing.set(path, kept);
        if (factsOf(await seen(to, path, signal)) !== undefined) found.add(path);
      };
      for (const { source: path, backing, chainUnknown } of disks.filter(
        (disk) => needsProof(disk) && disk.type === 'file',
      )) {
        if (path === undefined) continue;
        const named = backing.map((image) => image.path);
        const rest =
          chainUnknown === true
            ? (await to.volumes.imagesBelow(named.at(-1) ?? path, signal))?.map((image) => image.path)
            : undefined;
        if (rest !== undefined) below.set(path, rest);
        for (const image of [path, ...named, ...(rest ?? [])]) await lookAt(image);
      }
      return { sharing, found, below, missing };
    },
  };
}
