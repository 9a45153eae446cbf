/**
 * The volumes of a move: makes those that copies go into, takes them away again when the move fails, and records what
 * stays behind on the source. What is to be done is decided in core; a record is written before the thing it speaks of
 * is touched, so that a later look knows whose it is.
 */
import {
  FerryError,
  hasArrived,
  isUnfinishedOf,
  leftoverFate,
  moveFailureText,
  sourceDiskFate,
  unfinishedFate,
  volumePlaceFate,
  type DiskPlan,
  type HostUses,
  type Planned,
  type VolumeRecord,
  type VmUuid,
} from '@ferry/core';
import type { Clock, Log } from '../../ports/ports.ts';
import type { Records } from '../../state/ownership.ts';
import type { Sharing } from '../../planning/sharing.ts';
import { createStorageSurvey, factsOf, volumeSeen, type StorageSurvey } from '../../planning/storage-survey.ts';
import { onDemand, withUses, type Side, type VolumeSide } from '../../planning/side.ts';

export interface Volumes extends StorageSurvey {
  /** Makes the planned volumes. Rejects with FerryError; what was made until then is taken back by `takeBack`. */
  make(migration: Planned, to: Side, signal: AbortSignal): Promise<void>;
  /** Deletes what `make` made. Nothing of the VM may be active on the target. */
  takeBack(migration: Planned, to: Side, signal: AbortSignal): Promise<void>;
  /**
   * After a verified move: the target's volumes are the VM's own; the source's are recorded, or deleted if that was
   * asked.
   */
  settle(migration: Planned, from: Side, to: Side, signal: AbortSignal): Promise<{ readonly copiedBytes: number }>;
  /** What finished and failed moves left behind, oldest first. */
  leftovers(): Promise<readonly VolumeRecord[]>;
  /** Deletes a leftover that nobody touched since and nobody uses, `except` this VM. Rejects with `volume-changed`. */
  purge(record: VolumeRecord, at: Side, except: VmUuid | undefined, signal: AbortSignal): Promise<void>;
}

/** `path` is the source's, `place` the target's. */
const planned = (
  migration: Planned,
): readonly (DiskPlan & Required<Pick<DiskPlan, 'path' | 'volume'>> & { readonly place: string })[] =>
  migration.plan.disks.flatMap((disk) =>
    disk.how === 'copy' && disk.path !== undefined && disk.volume !== undefined
      ? [{ ...disk, path: disk.path, place: disk.targetPath ?? disk.path, volume: disk.volume }]
      : [],
  );

const placesIn = (migration: Planned): readonly string[] => planned(migration).map(({ place }) => place);

const madeAs = ({ backing, layout, encryption }: Required<DiskPlan>['volume']) => ({
  ...(backing === undefined ? {} : { backing }),
  ...(layout === undefined ? {} : { layout }),
  ...(encryption === undefined ? {} : { encryption }),
});

export function createVolumes({
  records,
  clock,
  log,
  sharing,
}: {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
  readonly sharing: Sharing;
}): Volumes {
  /** What is at the place of a volume has not changed since the plan was made: the time between may be long. */
  const makeRoom = async (
    place: string,
    volume: NonNullable<DiskPlan['volume']>,
    migration: Planned,
    to: Side,
    uses: HostUses,
    signal: AbortSignal,
  ): Promise<void> => {
    const at = { place, vm: migration.vm, uses };
    let fate = volumePlaceFate(volume, at);
    if ('needs' in fate) {
      const [there, record] = await Promise.all([to.volumes.at(place, signal), records.at(to, place)]);
      fate = volumePlaceFate(volume, at, { there, record });
    }
    if ('because' in fate)
      throw new FerryError('volume-exists', moveFailureText(migration, 'place-taken', place, fate.because));
    // the stale copy goes while its record still says what it is
    if ('do' in fate && fate.do === 'delete') await to.files.remove(place, signal);
  };

  const seen = (at: VolumeSide, path: string, signal: AbortSignal) => volumeSeen(at, path, log, signal);

  return {
    ...createStorageSurvey({ records, log, sharing }),

    async make(migration, to, signal) {
      const uses = await sharing.usesNow(to, placesIn(migration), signal);
      for (const disk of planned(migration)) {
        const { place: path, volume, capacityBytes = 0, asFile, format: diskFormat = 'raw' } = disk;
        const before = await records.at(to, path);
        if (before?.migration === migration.id && before.made === true) continue;
        await makeRoom(path, volume, migration, to, uses, signal);
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
        await records.put(record, { record: before });
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
        await records.put({ ...record, made: true }, { record });
      }
    },

    async takeBack(migration, to, signal) {
      const usesOf = onDemand(() => sharing.usesNow(to, placesIn(migration), signal));
      for (const { place: path, volume } of planned(migration)) {
        const record = await records.at(to, path);
        if (volume.existing || !isUnfinishedOf(migration, record)) continue;
        const there = await to.volumes.at(path, signal);
        const fate = await withUses(usesOf, (uses) => unfinishedFate(record, there, uses));
        if (fate.do === 'stays') {
          log.warn(
            { migration: migration.id, host: to.name, path },
            `the unfinished copy stays, and is a leftover: ${fate.because}`,
          );
          continue;
        }
        if (fate.do === 'delete') await to.files.remove(path, signal);
        await records.drop(record);
      }
    },

    async settle(migration, from, to, signal) {
      let copiedBytes = 0;
      const paths = planned(migration).map(({ path }) => path);
      const usesOf = onDemand(() => sharing.usesNow(from, paths, signal));
      for (const disk of planned(migration)) {
        const { path, place, volume, capacityBytes = 0 } = disk;
        const [look, arrived] = [await seen(from, path, signal), factsOf(await seen(to, place, signal))];
        const left = factsOf(look);
        const made = await records.at(to, place);
        if (made !== undefined) await records.drop(made);
        copiedBytes += arrived?.allocationBytes ?? 0;
        const of = {
          path,
          vm: migration.vm,
          arrived: hasArrived(disk, arrived),
          // a half that is left there has its disks open
          deleteAsked: migration.request.deleteSourceDisks === true && migration.evidence.sourceHalfLeft === undefined,
        };
        const fate = await withUses(usesOf, (uses) =>
          sourceDiskFate(of, typeof look === 'string' ? 'unseen' : look, uses),
        );
        if (fate.do === 'delete') await from.files.remove(path, signal);
        if (fate.do !== 'stays') continue;
        if (fate.because !== undefined)
          log.warn(
            { migration: migration.id, host: from.name, path },
            `the disk stays on its source, and is a leftover: ${fate.because}`,
          );
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
      const usesOf = onDemand(() => sharing.usesNow(at, [record.path], signal));
      const fate = await withUses(usesOf, (uses) => leftoverFate(record, there, uses, except));
      if (fate.do === 'stays') throw new FerryError('volume-changed', `${record.path} on ${at.name} ${fate.because}.`);
      if (fate.do === 'delete') await at.files.remove(record.path, signal);
      await records.drop(record);
    },
  };
}
