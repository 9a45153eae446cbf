/** Deletes what moves left behind, when an operator names it: only what Ferry recorded, and what nobody uses or touched since. */
import { FerryError, type Migration, type Vm, type VolumeRecord } from '@ferry/core';
import type { Roster } from './roster.ts';
import type { Volumes } from './volumes.ts';

export interface LeftoversDeps {
  readonly volumes: Pick<Volumes, 'leftovers' | 'purge'>;
  readonly roster: Pick<Roster, 'host' | 'linkOf'>;
  readonly vms: () => readonly Vm[];
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
}

/** Resolves with what was deleted. Rejects with FerryError `volume-unknown`, `volume-changed`, `vm-already-migrating`. */
export async function purgeLeftover({ volumes, roster, vms, active }: LeftoversDeps, hostRef: string, path: string, signal: AbortSignal): Promise<VolumeRecord> {
  const { host: at } = roster.host(hostRef);
  const record = (await volumes.leftovers()).find((each) => each.host === at.id && each.path === path);
  if (record === undefined) throw new FerryError('volume-unknown', `Ferry left nothing at ${path} on ${at.name}.`);
  const busy = active().find(({ vm: { uuid } }) => uuid === record.vm.uuid);
  if (busy !== undefined) throw new FerryError('vm-already-migrating', `${record.vm.name} is being moved by migration ${busy.id}.`);
  const user = vms().find((each) => each.hostId === at.id && each.disks.some(({ source }) => source === path));
  if (user !== undefined) throw new FerryError('volume-changed', `${path} on ${at.name} is a disk of ${user.name} there.`);
  await volumes.purge(record, roster.linkOf(at.id).storage, signal);
  return record;
}
