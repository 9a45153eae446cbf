/**
 * Storage of a simulated host: one pool of files for its own folder, and one for each folder that it shares with
 * others.
 */
import { FerryError } from '@ferry/core';
import type { Clock, FilePort, HostLink } from '@ferry/engine';
import { isAnswering, type SimulatedHost } from './fleet.ts';

export const ownFolder = '/pool';
const roomBytes = 1e15;

/** A file in a shared folder is on all hosts that have the folder. */
export const seenBy = (
  hosts: ReadonlyMap<string, SimulatedHost>,
  host: SimulatedHost,
  folder: string,
): readonly SimulatedHost[] =>
  host.sharedFolders.includes(folder)
    ? [...hosts.values()].filter(({ sharedFolders }) => sharedFolders.includes(folder))
    : [host];

export const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export function simulatedStorage(
  hosts: ReadonlyMap<string, SimulatedHost>,
  host: SimulatedHost,
  clock: Pick<Clock, 'now'>,
): Pick<HostLink, 'volumes' | 'paths'> {
  const answers = (): void => {
    if (!isAnswering(host)) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
  };
  const folders = [ownFolder, ...host.sharedFolders];
  const nameOf = (folder: string): string => (folder === ownFolder ? 'default' : folder.slice(1).replaceAll('/', '-'));
  const folderNamed = (pool: string): string => folders.find((folder) => nameOf(folder) === pool) ?? ownFolder;
  return {
    volumes: {
      async pools() {
        answers();
        return folders.map((path) => ({ name: nameOf(path), path, active: true, availableBytes: roomBytes }));
      },
      async at(path) {
        answers();
        return host.volumes.get(path);
      },
      imageAt: async () => undefined,
      imagesBelow: async () => [],
      async create({ pool, name, format, capacityBytes }) {
        answers();
        const path = `${folderNamed(pool)}/${name}`;
        if (host.full) throw new FerryError('volume-failed', `${host.name}: No space left on device.`);
        if (host.volumes.has(path)) throw new FerryError('volume-exists', `${path} is there.`);
        for (const each of seenBy(hosts, host, folderNamed(pool)))
          each.volumes.set(path, { pool, name, path, format, capacityBytes, allocationBytes: 0, modified: 'made' });
      },
    },
    paths: {
      async fileAt(path) {
        answers();
        const volume = host.volumes.get(path);
        const madeAt = Number(volume?.modified);
        return volume === undefined
          ? undefined
          : { sizeBytes: volume.allocationBytes, changedNs: madeAt > 0 ? BigInt(madeAt) * 1_000_000n : 1n };
      },
      async identityOf() {
        answers();
        return undefined;
      },
      deviceAt: async () => 'unseen',
      async marker(action, folder, name) {
        answers();
        const path = `${folder}/${name}`;
        if (!folders.includes(folder)) return { folder: false, found: false };
        if (action === 'find') return { folder: true, found: host.volumes.has(path) };
        for (const each of seenBy(hosts, host, folder)) {
          if (action === 'leave')
            each.volumes.set(path, {
              pool: nameOf(folder),
              name,
              path,
              format: 'raw',
              capacityBytes: 0,
              allocationBytes: 0,
              modified: String(Math.round(clock.now())),
            });
          else each.volumes.delete(path);
        }
        return { folder: true, found: true };
      },
    },
  };
}

/** The only files are the images of disks. */
export function simulatedFiles(hosts: ReadonlyMap<string, SimulatedHost>, host: SimulatedHost): FilePort {
  const answers = (): void => {
    if (!isAnswering(host)) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
  };
  return {
    async look(path) {
      answers();
      const volume = host.volumes.get(path);
      return volume === undefined
        ? undefined
        : {
            path,
            sizeBytes: volume.capacityBytes,
            owner: 0,
            group: 0,
            mode: '0600',
            allocationBytes: volume.allocationBytes,
            ...(volume.modified === undefined ? {} : { modified: volume.modified }),
          };
    },
    async *read() {
      // a guest has no files other than its disks
    },
    create: async () => answers(),
    fill: async () => answers(),
    async remove(path) {
      answers();
      for (const each of seenBy(hosts, host, folderOf(path))) each.volumes.delete(path);
    },
  };
}

/** The volume of a guest's disk is there before the guest is. */
export function putVolume(
  hosts: ReadonlyMap<string, SimulatedHost>,
  host: SimulatedHost,
  disk: { readonly path: string; readonly capacityBytes: number; readonly bytes: number },
): void {
  const folder = folderOf(disk.path);
  for (const each of seenBy(hosts, host, folder))
    each.volumes.set(disk.path, {
      pool: folder === ownFolder ? 'default' : folder.slice(1).replaceAll('/', '-'),
      name: disk.path.slice(folder.length + 1),
      path: disk.path,
      format: 'raw',
      capacityBytes: disk.capacityBytes,
      allocationBytes: disk.bytes,
      modified: 'old',
    });
}
