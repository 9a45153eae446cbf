/**
 * The volumes of a move: asks which storage two hosts share (sharing.ts), makes the volumes that copies go into, takes them away
 * again when the move fails, and records what stays behind on the source. What is to be done is decided in core; a record
 * is written before the thing it speaks of is touched, so that a later look knows whose it is.
 */
import { FerryError, needsProof, placeOf, type DiskFacts, type DiskPlan, type Migration, type Places, type RescueStorage, type SharingProof, type TargetStorage, type VolumeFacts, type VolumeRecord } from '@ferry/core';
import type { Clock, HostStorage, IntentStore } from './ports.ts';
import type { Sharing, StorageSide } from './sharing.ts';

const volumePrefix = 'volumes/';
/** A volume that holds no more than this was never written by a copy. */
const untouchedBytes = 1_048_576;

/** As stored: `made` tells that the volume was seen to be made. */
type StoredRecord = VolumeRecord & { readonly made?: boolean };

export interface Volumes {
  /** What the target's storage says to these disks, which are at other `places` there. Leaves nothing behind on either host. */
  survey(disks: readonly DiskFacts[], from: StorageSide, to: StorageSide, places: Places, signal: AbortSignal): Promise<TargetStorage>;
  /** What is known of a dead host's storage: proofs kept from earlier, whatever their age, and what the target has. */
  surveyForRescue(disks: readonly DiskFacts[], deadHost: string, to: StorageSide, signal: AbortSignal): Promise<RescueStorage>;
  /** Makes the planned volumes. Rejects with FerryError; what was made until then is taken back by `takeBack`. */
  make(migration: Migration, to: StorageSide, signal: AbortSignal): Promise<void>;
  /** Deletes what `make` made. Nothing of the VM may be active on the target. */
  takeBack(migration: Migration, to: StorageSide, signal: AbortSignal): Promise<void>;
  /** After a verified move: the target's volumes are the VM's own; the source's are recorded, or deleted if that was asked. */
  settle(migration: Migration, from: StorageSide, to: StorageSide, signal: AbortSignal): Promise<{ readonly copiedBytes: number }>;
  /** What finished and failed moves left behind, oldest first. */
  leftovers(): Promise<readonly VolumeRecord[]>;
  /** Deletes a leftover that nobody touched since. Rejects with `volume-unknown`, `volume-changed`. */
  purge(record: VolumeRecord, storage: HostStorage, signal: AbortSignal): Promise<void>;
}

const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
const keyOf = (host: string, path: string): string => `${volumePrefix}${host}/${encodeURIComponent(path)}`;
/** `path` is the source's, `place` the target's. */
const planned = (migration: Migration): readonly (DiskPlan & Required<Pick<DiskPlan, 'path' | 'volume'>> & { readonly place: string })[] =>
  (migration.plan?.disks ?? []).flatMap((disk) => (disk.how === 'copy' && disk.path !== undefined && disk.volume !== undefined ? [{ ...disk, path: disk.path, place: disk.targetPath ?? disk.path, volume: disk.volume }] : []));

export function createVolumes({ intents, clock, sharing: proofs }: { readonly intents: IntentStore; readonly clock: Clock; readonly sharing: Sharing }): Volumes {
  const put = (record: StoredRecord) => intents.commit([{ op: 'put', key: keyOf(record.host, record.path), value: record }]);
  const drop = (host: string, path: string) => intents.commit([{ op: 'delete', key: keyOf(host, path) }]);
  const recordAt = async (host: string, path: string): Promise<StoredRecord | undefined> => (await intents.get(keyOf(host, path)))?.value as StoredRecord | undefined;

  const forget = (storage: HostStorage, { pool, name }: { readonly pool: string; readonly name: string }, signal: AbortSignal) => storage.deleteVolume(pool, name, signal);

  return {
    async survey(disks, from, to, places, signal) {
      const folders = new Map<string, Promise<SharingProof>>();
      const sharing = new Map<string, SharingProof>();
      const volumes = new Map<string, VolumeFacts>();
      const records = new Map<string, VolumeRecord>();
      const missing = new Map<string, string>();
      for (const disk of disks.filter(needsProof)) {
        for (const path of [disk.source ?? '', ...disk.backing.map((image) => image.path)]) sharing.set(path, await proofs.prove(path, disk, folders, from, to, places, signal));
        const path = disk.source ?? '';
        const place = placeOf(path, places);
        const why = disk.type === 'file' && sharing.get(path)?.verdict === 'unknown' ? await proofs.missingOn(place, to, signal) : undefined;
        if (why !== undefined) missing.set(path, why);
        if (sharing.get(path)?.verdict !== 'separate') continue;
        const [there, record] = await Promise.all([to.storage.volumeAt(place, signal), recordAt(to.id, place)]);
        if (there !== undefined) volumes.set(path, there);
        if (record !== undefined) records.set(path, record);
      }
      return { pools: volumes.size > 0 || [...sharing.values()].some(({ verdict }) => verdict === 'separate') ? await to.storage.pools(signal) : [], sharing, volumes, records, missing, places };
    },

    async surveyForRescue(disks, deadHost, to, signal) {
      const sharing = new Map<string, SharingProof>();
      const found = new Set<string>();
      const below = new Map<string, readonly string[]>();
      const lookAt = async (path: string): Promise<void> => {
        const kept = await proofs.kept(deadHost, to.id, path);
        if (kept !== undefined) sharing.set(path, kept);
        if ((await to.storage.marker('find', folderOf(path), path.slice(path.lastIndexOf('/') + 1), signal)).found) found.add(path);
      };
      for (const { source: path, backing, chainUnknown } of disks.filter((disk) => needsProof(disk) && disk.type === 'file')) {
        if (path === undefined) continue;
        const named = backing.map((image) => image.path);
        const rest = chainUnknown === true ? (await to.storage.imagesBelow(named.at(-1) ?? path, signal))?.map((image) => image.path) : undefined;
        if (rest !== undefined) below.set(path, rest);
        for (const image of [path, ...named, ...(rest ?? [])]) await lookAt(image);
      }
      return { sharing, found, below };
    },

    async make(migration, to, signal) {
      for (const { place: path, volume, capacityBytes = 0, asFile, format: diskFormat = 'raw' } of planned(migration)) {
        if (volume.existing) continue;
        const format = asFile === true ? 'raw' : diskFormat;
        const before = await recordAt(to.id, path);
        if (before?.migration === migration.id && before.made === true) continue;
        const record: StoredRecord = {
          host: to.id, hostName: to.name, path, pool: volume.pool, name: volume.name, vm: migration.vm, migration: migration.id,
          at: clock.now(), role: 'target', capacityBytes,
        };
        // the stale copy goes while its own record still tells what it is
        if (volume.replaces) await forget(to.storage, volume, signal);
        await put(record);
        try {
          await to.storage.createVolume({ pool: volume.pool, name: volume.name, format, capacityBytes, ...(volume.backing === undefined ? {} : { backing: volume.backing }) }, signal);
        } catch (error) {
          // not ours: somebody was faster, and what is not ours is not taken back
          if (error instanceof FerryError && error.code === 'volume-exists' && before?.migration !== migration.id) await drop(to.id, path);
          throw error;
        }
        await put({ ...record, made: true });
      }
    },

    async takeBack(migration, to, signal) {
      for (const { place: path, volume } of planned(migration)) {
        const record = await recordAt(to.id, path);
        if (volume.existing || record === undefined || record.migration !== migration.id || record.role !== 'target') continue;
        const there = await to.storage.volumeAt(path, signal);
        if (there !== undefined && (record.made === true || there.allocationBytes <= untouchedBytes)) await forget(to.storage, volume, signal);
        await drop(to.id, path);
      }
    },

    async settle(migration, from, to, signal) {
      let copiedBytes = 0;
      for (const { path, place, volume, asFile, capacityBytes = 0 } of planned(migration)) {
        const [left, arrived] = await Promise.all([from.storage.volumeAt(path, signal), to.storage.volumeAt(place, signal)]);
        await drop(to.id, place);
        copiedBytes += arrived?.allocationBytes ?? 0;
        // a file copied as it is shows the size that the guest sees again
        const verified = arrived !== undefined && (asFile === true || arrived.capacityBytes >= capacityBytes);
        if (left !== undefined && verified && migration.request.deleteSourceDisks === true) {
          await forget(from.storage, left, signal);
          continue;
        }
        // deleted by an earlier try
        if (left === undefined && verified && migration.request.deleteSourceDisks === true) continue;
        await put({
          host: from.id, hostName: from.name, path, pool: left?.pool ?? '', name: left?.name ?? volume.name, vm: migration.vm, migration: migration.id,
          at: clock.now(), role: 'source', capacityBytes: left?.capacityBytes ?? capacityBytes,
          ...(left === undefined ? {} : { allocationBytes: left.allocationBytes }),
          ...(left?.modified === undefined ? {} : { modified: left.modified }),
        });
      }
      return { copiedBytes };
    },

    async leftovers() {
      return (await intents.list(volumePrefix)).map(({ value }) => value as VolumeRecord).sort((a, b) => a.at - b.at);
    },

    async purge(record, storage, signal) {
      const there = await storage.volumeAt(record.path, signal);
      if (there !== undefined) {
        if (record.role === 'source' && (record.modified === undefined || there.modified !== record.modified || there.allocationBytes !== record.allocationBytes)) {
          throw new FerryError('volume-changed', `${record.path} on ${record.hostName} was changed after migration ${record.migration} left it.`);
        }
        await forget(storage, there, signal);
      }
      await drop(record.host, record.path);
    },
  };
}
