/**
 * What a move copies as files, or leaves to libvirt to write on the target: images that nobody writes, UEFI variables,
 * TPM state, saved memory. It writes only where nothing is, or where a stale copy of the VM's own was planned to go and
 * still is one; and takes back only what it recorded.
 */
import {
  FerryError,
  filePlaceFate,
  isUnfinishedOf,
  moveFailureText,
  unfinishedFate,
  type HostUses,
  type Planned,
  type StatePlace,
  type VolumeRecord,
} from '@ferry/core';
import type { Clock, FileFacts, Log } from '../../ports/ports.ts';
import type { Records } from '../../state/ownership.ts';
import type { Sharing } from '../../planning/sharing.ts';
import { onDemand, withUses, type Side } from '../../planning/side.ts';

interface Carried {
  readonly from: string;
  readonly to: string;
  readonly what: 'media' | 'state';
  /** What is to go first. */
  readonly replaces: StatePlace['what'] | 'media' | undefined;
}

export interface CarriedFiles {
  /**
   * Copies the images that the plan names, and makes room for what libvirt writes or must not find. Rejects with
   * FerryError.
   */
  bring(migration: Planned, from: Side, to: Side, signal: AbortSignal): Promise<void>;
  /** The same for the state of a VM that is shut off. */
  bringState(migration: Planned, from: Side, to: Side, signal: AbortSignal): Promise<void>;
  /** Deletes what was made for this migration. Nothing of the VM may be active on the target. */
  takeBack(migration: Planned, to: Side, signal: AbortSignal): Promise<void>;
  /** After a verified move: what is on the target is the VM's own, what stays on the source is recorded. */
  settle(migration: Planned, from: Side, to: Side, signal: AbortSignal): Promise<void>;
}

const mediaOf = ({ plan }: Planned): readonly Carried[] =>
  plan.disks.flatMap(({ how, path, targetPath, replaces }) =>
    how === 'file' && path !== undefined
      ? [
          {
            from: path,
            to: targetPath ?? path,
            what: 'media' as const,
            replaces: replaces === true ? ('media' as const) : undefined,
          },
        ]
      : [],
  );
const stateOf = (migration: Planned, which: 'stateFiles' | 'guestFiles'): readonly Carried[] =>
  (migration.plan[which] ?? []).map((path) => ({
    from: path,
    to: path,
    what: 'state' as const,
    replaces: migration.plan.replaces?.find((stale) => stale.path === path)?.what,
  }));
const allOf = (migration: Planned): readonly Carried[] => [
  ...mediaOf(migration),
  ...stateOf(migration, 'stateFiles'),
  ...stateOf(migration, 'guestFiles'),
];

export function createCarriedFiles({
  records,
  clock,
  log,
  sharing,
}: {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
  readonly sharing: Pick<Sharing, 'usesNow'>;
}): CarriedFiles {
  const usesOf = (migration: Planned, to: Side, signal: AbortSignal): Promise<HostUses> =>
    sharing.usesNow(
      to,
      allOf(migration).map((file) => file.to),
      signal,
    );
  const recordFor = (
    migration: Planned,
    at: Side,
    path: string,
    what: Carried['what'],
    role: VolumeRecord['role'],
    sizeBytes: number,
  ): VolumeRecord => ({
    host: at.id,
    hostName: at.name,
    machine: at.machine,
    path,
    pool: '',
    name: path.slice(path.lastIndexOf('/') + 1),
    what,
    vm: migration.vm,
    migration: migration.id,
    at: clock.now(),
    role,
    capacityBytes: sizeBytes,
  });

  /** Nothing is at the path when this resolves, or what this migration made there. */
  const makeRoom = async (
    migration: Planned,
    { to: path, replaces }: Pick<Carried, 'to' | 'replaces'>,
    to: Side,
    uses: HostUses,
    signal: AbortSignal,
  ): Promise<VolumeRecord | undefined> => {
    const [there, record] = await Promise.all([to.files.look(path, signal), records.at(to, path)]);
    const fate = filePlaceFate({ place: path, replaces }, migration, uses, { there, record });
    if ('because' in fate)
      throw new FerryError('volume-exists', moveFailureText(migration, 'place-taken', path, fate.because));
    if (fate.do === 'delete') await to.files.remove(path, signal);
    return fate.do === 'mine' ? record : undefined;
  };

  const copy = async (
    migration: Planned,
    file: Carried,
    from: Side,
    to: Side,
    uses: HostUses,
    signal: AbortSignal,
  ): Promise<void> => {
    const here = await from.files.look(file.from, signal);
    if (here === undefined) throw new FerryError('volume-failed', moveFailureText(migration, 'file-gone', file.from));
    const mine = await makeRoom(migration, file, to, uses, signal);
    // a copy that was interrupted starts again
    if (mine !== undefined) await to.files.remove(file.to, signal);
    const record = recordFor(migration, to, file.to, file.what, 'target', here.sizeBytes);
    await records.put(record);
    try {
      await to.files.create({ ...here, path: file.to }, signal);
    } catch (error) {
      // not ours: somebody was faster, and what is not ours is not taken back
      if (error instanceof FerryError && error.code === 'volume-exists') await records.drop(record);
      throw error;
    }
    await records.put({ ...record, made: true });
    await to.files.fill(file.to, from.files.read(file.from, signal), signal);
    const arrived = await to.files.look(file.to, signal);
    if (arrived?.sizeBytes !== here.sizeBytes)
      throw new FerryError('volume-failed', moveFailureText(migration, 'file-not-whole', file.from));
  };

  const seen = async (side: Side, path: string, signal: AbortSignal): Promise<FileFacts | 'unseen' | undefined> => {
    try {
      return await side.files.look(path, signal);
    } catch (error) {
      if (!(error instanceof FerryError) || error.code !== 'volume-failed') throw error;
      log.warn({ err: error, host: side.name, path }, 'it cannot be seen whether something is left');
      return 'unseen';
    }
  };

  return {
    async bring(migration, from, to, signal) {
      const [media, room] = [mediaOf(migration), stateOf(migration, 'guestFiles')];
      // of the next start of a guest that runs: nobody has it open
      const later = migration.plan.how === 'guest' ? stateOf(migration, 'stateFiles') : [];
      const stale = (migration.plan.replaces ?? []).filter(
        ({ path }) => !allOf(migration).some((file) => file.to === path),
      );
      if (media.length + room.length + later.length + stale.length === 0) return;
      const uses = await usesOf(migration, to, signal);
      for (const { path, what } of stale) await makeRoom(migration, { to: path, replaces: what }, to, uses, signal);
      for (const file of [...media, ...later]) await copy(migration, file, from, to, uses, signal);
      for (const file of room) {
        await makeRoom(migration, file, to, uses, signal);
        // nothing was there, so what will be is libvirt's for this VM
        await records.put({ ...recordFor(migration, to, file.to, 'state', 'target', 0), made: true });
      }
    },

    async bringState(migration, from, to, signal) {
      const files = stateOf(migration, 'stateFiles');
      if (files.length === 0) return;
      const uses = await usesOf(migration, to, signal);
      for (const file of files) await copy(migration, file, from, to, uses, signal);
    },

    async takeBack(migration, to, signal) {
      const asked = onDemand(() => usesOf(migration, to, signal));
      for (const { to: path } of allOf(migration)) {
        const record = await records.at(to, path);
        if (!isUnfinishedOf(migration, record)) continue;
        const there = await to.files.look(path, signal);
        const fate = await withUses(asked, (uses) => unfinishedFate(record, there, uses));
        if (fate.do === 'stays')
          log.warn({ migration: migration.id, host: to.name, path }, `what was made there stays: ${fate.because}`);
        if (fate.do === 'delete') await to.files.remove(path, signal);
        await records.drop(record);
      }
    },

    async settle(migration, from, to, signal) {
      for (const { from: path, to: place, what } of allOf(migration)) {
        const record = await records.at(to, place);
        if (record?.migration === migration.id) await records.drop(record);
        const left = await seen(from, path, signal);
        if (left === undefined) continue;
        const leftover = recordFor(migration, from, path, what, 'source', left === 'unseen' ? 0 : left.sizeBytes);
        await records.put(
          left === 'unseen'
            ? leftover
            : {
                ...leftover,
                allocationBytes: left.allocationBytes,
                ...(left.modified === undefined ? {} : { modified: left.modified }),
              },
        );
      }
    },
  };
}
