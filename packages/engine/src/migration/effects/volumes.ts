/**
 * The volumes of a move: asks which storage two hosts share (sharing.ts), makes the volumes that copies go into, takes
 * them away again when the move fails, and records what stays behind on the source. What is to be done is decided in
 * core; a record is written before the thing it speaks of is touched, so that a later look knows whose it is.
 */
import {
  FerryError,
  heldBy,
  isMadeBy,
  isUntouched,
  needsProof,
  notReplaceable,
  otherUsers,
  placeOf,
  type DiskFacts,
  type DiskPlan,
  type HostUses,
  type ImageFacts,
  type Migration,
  type Places,
  type RescueStorage,
  type SharingProof,
  type TargetStorage,
  type VolumeFacts,
  type VolumeRecord,
  type VmUuid,
} from '@ferry/core';
import type { Clock, FilePort, HostLink, Log, VolumePort } from '../../ports/ports.ts';
import type { Records } from '../../state/ownership.ts';
import type { Sharing, StorageSide } from '../../planning/sharing.ts';

/** One host whose volumes are looked at. */
export interface VolumeSide extends StorageSide {
  readonly volumes: VolumePort;
}

/** One host, where files may be written or deleted. */
export interface Side extends VolumeSide {
  /** UUID of the machine. */
  readonly machine: string;
  readonly files: FilePort;
  /** Which files its definitions use. */
  readonly uses: (signal: AbortSignal) => Promise<HostUses>;
}

export interface Volumes {
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
  /** Makes the planned volumes. Rejects with FerryError; what was made until then is taken back by `takeBack`. */
  make(migration: Migration, to: Side, signal: AbortSignal): Promise<void>;
  /** Deletes what `make` made. Nothing of the VM may be active on the target. */
  takeBack(migration: Migration, to: Side, signal: AbortSignal): Promise<void>;
  /**
   * After a verified move: the target's volumes are the VM's own; the source's are recorded, or deleted if that was
   * asked.
   */
  settle(migration: Migration, from: Side, to: Side, signal: AbortSignal): Promise<{ readonly copiedBytes: number }>;
  /** What finished and failed moves left behind, oldest first. */
  leftovers(): Promise<readonly VolumeRecord[]>;
  /** Deletes a leftover that nobody touched since and nobody uses, `except` this VM. Rejects with `volume-changed`. */
  purge(record: VolumeRecord, at: Side, except: VmUuid | undefined, signal: AbortSignal): Promise<void>;
}

export const sideOn = (
  place: Pick<Side, 'id' | 'name' | 'machine'>,
  { volumes, paths, files, definitions }: HostLink,
): Side => ({ ...place, volumes, paths, files, uses: (signal) => definitions.filesInUse(signal) });

/** `path` is the source's, `place` the target's. */
const planned = (
  migration: Migration,
): readonly (DiskPlan & Required<Pick<DiskPlan, 'path' | 'volume'>> & { readonly place: string })[] =>
  (migration.plan?.disks ?? []).flatMap((disk) =>
    disk.how === 'copy' && disk.path !== undefined && disk.volume !== undefined
      ? [{ ...disk, path: disk.path, place: disk.targetPath ?? disk.path, volume: disk.volume }]
      : [],
  );

const madeAs = ({ backing, layout, encryption }: Required<DiskPlan>['volume']) => ({
  ...(backing === undefined ? {} : { backing }),
  ...(layout === undefined ? {} : { layout }),
  ...(encryption === undefined ? {} : { encryption }),
});

export function createVolumes({
  records,
  clock,
  log,
  sharing: proofs,
}: {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
  readonly sharing: Sharing;
}): Volumes {
  /** Where that cannot be seen: why. */
  const seen = async (at: VolumeSide, path: string, signal: AbortSignal): Promise<VolumeFacts | string | undefined> => {
    try {
      return await at.volumes.at(path, signal);
    } catch (error) {
      if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
      log.warn({ err: error, host: at.name, path }, 'it cannot be seen what is there');
      return error.message;
    }
  };
  /** A folder that cannot be looked into tells nothing of its images. */
  const unlessUnseen = (error: unknown): undefined => {
    if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
  };
  const factsOf = (look: VolumeFacts | string | undefined): VolumeFacts | undefined =>
    typeof look === 'string' ? undefined : look;

  /** What is at the place of a volume has not changed since the plan was made: the time between may be long. */
  const freeIts = async (
    place: string,
    { volume }: Pick<ReturnType<typeof planned>[number], 'volume'>,
    migration: Migration,
    to: Side,
    uses: HostUses,
    signal: AbortSignal,
  ): Promise<void> => {
    const inTheWay = (why: string) => new FerryError('volume-exists', `${place} on ${to.name} is in the way: ${why}.`);
    const goes = volume.existing || volume.replaces;
    const users = otherUsers(uses, place, migration.vm.uuid);
    const held = goes ? heldBy(uses, place, migration.vm.uuid) : users.length > 0 ? users.join(', ') : undefined;
    if (held !== undefined) throw inTheWay(`it is ${held}`);
    if (!volume.replaces) return;
    const [there, record] = await Promise.all([to.volumes.at(place, signal), records.at(to, place)]);
    if (there === undefined) return;
    const why = notReplaceable(migration.vm, there, record);
    if (why !== undefined) throw inTheWay(why);
    // the stale copy goes while its own record still tells what it is
    await to.files.remove(place, signal);
  };

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

    async make(migration, to, signal) {
      const uses = await to.uses(signal);
      for (const disk of planned(migration)) {
        const { place: path, volume, capacityBytes = 0, asFile, format: diskFormat = 'raw' } = disk;
        const before = await records.at(to, path);
        if (before?.migration === migration.id && before.made === true) continue;
        await freeIts(path, disk, migration, to, uses, signal);
        if (volume.existing) continue;
        const format = asFile === true ? 'raw' : diskFormat;
        const record: VolumeRecord = {
          host: to.id,
          hostName: to.name,
          machine: to.machine,
          path,
          pool: volume.pool,
          name: volume.name,
          vm: migration.vm,
          migration: migration.id,
          at: clock.now(),
          role: 'target',
          capacityBytes,
        };
        await records.put(record);
        try {
          await to.volumes.create(
            { pool: volume.pool, name: volume.name, format, capacityBytes, ...madeAs(volume) },
            signal,
          );
        } catch (error) {
          // not ours: somebody was faster, and what is not ours is not taken back
          if (error instanceof FerryError && error.code === 'volume-exists' && before?.migration !== migration.id)
            await records.drop(record);
          throw error;
        }
        await records.put({ ...record, made: true });
      }
    },

    async takeBack(migration, to, signal) {
      let uses: HostUses | undefined;
      for (const { place: path, volume } of planned(migration)) {
        const record = await records.at(to, path);
        if (volume.existing || record === undefined || record.migration !== migration.id || record.role !== 'target')
          continue;
        const there = await to.volumes.at(path, signal);
        if (there !== undefined && isMadeBy(record, there)) {
          uses ??= await to.uses(signal);
          const users = otherUsers(uses, path, migration.vm.uuid);
          if (users.length > 0) {
            log.warn(
              { migration: migration.id, host: to.name, path },
              `the unfinished copy stays, and is a leftover: it is ${users.join(', ')}`,
            );
            continue;
          }
          await to.files.remove(path, signal);
        }
        await records.drop(record);
      }
    },

    async settle(migration, from, to, signal) {
      let copiedBytes = 0;
      let uses: HostUses | undefined;
      for (const { path, place, volume, asFile, capacityBytes = 0 } of planned(migration)) {
        const [look, arrived] = [await seen(from, path, signal), factsOf(await seen(to, place, signal))];
        const left = factsOf(look);
        const made = await records.at(to, place);
        if (made !== undefined) await records.drop(made);
        copiedBytes += arrived?.allocationBytes ?? 0;
        // a file copied as it is shows the size that the guest sees again
        const verified = arrived !== undefined && (asFile === true || arrived.capacityBytes >= capacityBytes);
        if (
          verified &&
          look !== undefined &&
          typeof look !== 'string' &&
          migration.request.deleteSourceDisks === true
        ) {
          uses ??= await from.uses(signal);
          const held = heldBy(uses, path, migration.vm.uuid);
          if (held === undefined) {
            await from.files.remove(path, signal);
            continue;
          }
          log.warn(
            { migration: migration.id, host: from.name, path },
            `the disk stays on its source, and is a leftover: it is ${held}`,
          );
        }
        // deleted by an earlier try
        if (look === undefined && verified && migration.request.deleteSourceDisks === true) continue;
        await records.put({
          host: from.id,
          hostName: from.name,
          machine: from.machine,
          path,
          pool: left?.pool ?? '',
          name: left?.name ?? volume.name,
          vm: migration.vm,
          migration: migration.id,
          at: clock.now(),
          role: 'source',
          capacityBytes: left?.capacityBytes ?? capacityBytes,
          ...(left === undefined ? {} : { allocationBytes: left.allocationBytes }),
          ...(left?.modified === undefined ? {} : { modified: left.modified }),
        });
      }
      return { copiedBytes };
    },

    leftovers: () => records.all(),

    async purge(record, at, except, signal) {
      const there = await at.files.look(record.path, signal);
      if (there !== undefined) {
        const where = `${record.path} on ${at.name}`;
        if (record.role === 'source' && !isUntouched(record, there))
          throw new FerryError('volume-changed', `${where} was changed after migration ${record.migration} left it.`);
        if (record.role === 'target' && !isMadeBy(record, there))
          throw new FerryError('volume-changed', `${where} was not made by migration ${record.migration}.`);
        const uses = await at.uses(signal);
        const held = heldBy(uses, record.path, except);
        if (held !== undefined) throw new FerryError('volume-changed', `${where} is ${held}.`);
        await at.files.remove(record.path, signal);
      }
      await records.drop(record);
    },
  };
}
