/**
 * Deletes what moves left behind, when an operator names it: only what Ferry recorded, and what nobody uses or
 * touched since.
 */
import { FerryError, refuseWhileMoved, type HostView, type Migration, type Vm, type VolumeRecord } from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import { sideOn } from '../planning/side.ts';
import type { Volumes } from './effects/volumes.ts';

export interface LeftoversDeps {
  readonly volumes: Pick<Volumes, 'leftovers' | 'purge'>;
  readonly knownHosts: Pick<KnownHosts, 'host' | 'hosts' | 'linkOf'>;
  readonly vms: () => readonly Vm[];
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
}

export interface Leftovers {
  /** Oldest first, with the names that their hosts have now. */
  list(): Promise<readonly VolumeRecord[]>;
  /**
   * Resolves with what was deleted. Rejects with FerryError `volume-unknown`, `volume-changed`,
   * `vm-already-migrating`, `host-unknown`.
   */
  purgeAt(hostRef: string, path: string, signal: AbortSignal): Promise<VolumeRecord>;
  purge(record: VolumeRecord, signal: AbortSignal): Promise<void>;
}

export function createLeftovers({ volumes, knownHosts, vms, active }: LeftoversDeps): Leftovers {
  const hostOf = (record: VolumeRecord): HostView | undefined =>
    knownHosts.hosts().find(({ host }) => host.machineUuid === record.machine);
  const list = async (): Promise<readonly VolumeRecord[]> =>
    (await volumes.leftovers()).map((record) => ({
      ...record,
      hostName: hostOf(record)?.host.name ?? record.hostName,
    }));

  const purge = async (record: VolumeRecord, signal: AbortSignal): Promise<void> => {
    const at = hostOf(record)?.host;
    if (at === undefined)
      throw new FerryError(
        'host-unknown',
        `${record.hostName}, where ${record.path} was left, is no longer in the fleet.`,
      );
    refuseWhileMoved(record.vm, active());
    // a definition that was kept on purpose names disks that moved away
    const parked = vms().some(
      ({ uuid, instances }) =>
        uuid === record.vm.uuid && instances.some(({ hostId, role }) => hostId === at.id && role === 'parked'),
    );
    await volumes.purge(
      record,
      sideOn({ id: at.id, name: at.name, machine: at.machineUuid }, knownHosts.linkOf(at.id)),
      parked ? record.vm.uuid : undefined,
      signal,
    );
  };

  return {
    list,
    purge,
    async purgeAt(hostRef, path, signal) {
      const all = await list();
      const known = all.some(({ hostName }) => hostName === hostRef) ? undefined : knownHosts.host(hostRef).host;
      const record = all.find(
        (each) =>
          each.path === path && (known === undefined ? each.hostName === hostRef : each.machine === known.machineUuid),
      );
      if (record === undefined) throw new FerryError('volume-unknown', `Ferry left nothing at ${path} on ${hostRef}.`);
      await purge(record, signal);
      return record;
    },
  };
}
