/**
 * Who may be a host of the fleet, what may be set for it, and when it may leave: what is refused, in words. Pure.
 */
import { FerryError } from '../model/errors.ts';
import type { Cluster, Host } from '../model/host.ts';
import { isHostName } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import { isInNetwork } from '../model/network.ts';

/** `ref`: as the caller names it. */
export const unknownHost = (ref: string): FerryError => new FerryError('host-unknown', `There is no host "${ref}".`);

export const unknownHostId = (id: string): FerryError =>
  new FerryError('host-unknown', `There is no host with the id ${id}.`);

export const addedBefore = ({ name }: Pick<Host, 'name'>, uri: string): FerryError =>
  new FerryError('host-duplicate', `${name} was added as ${uri} already.`);

/** Another request was faster. */
export const justAdded = (uri: string, { machineUuid }: Pick<Host, 'machineUuid'>): FerryError =>
  new FerryError('host-duplicate', `${uri} points to a machine that was just added (machine UUID ${machineUuid}).`);

export const addedElsewhere = (uri: string): FerryError =>
  new FerryError('store-conflict', `${uri} is being added by the same request elsewhere.`);

/** Throws FerryError `host-name-invalid`, `host-name-taken`. `isTaken`: a host of the fleet has it. */
export function refuseName({ name, uri }: Pick<Host, 'name' | 'uri'>, isTaken: boolean): void {
  if (!isHostName(name))
    throw new FerryError(
      'host-name-invalid',
      `The machine at ${uri} calls itself "${name.slice(0, 63)}", which is not a valid host name.`,
    );
  if (isTaken) throw new FerryError('host-name-taken', `There is already a host named ${name}.`);
}

/** An address that was just given has to be in the migration network of its cluster. Throws FerryError. */
export function refuseAddress(address: string | undefined, { name, migrationNetwork }: Cluster): void {
  if (
    address === undefined ||
    address === '' ||
    migrationNetwork === undefined ||
    isInNetwork(address, migrationNetwork)
  )
    return;
  throw new FerryError(
    'request-invalid',
    `${address} is not in ${migrationNetwork}, the migration network of the cluster ${name}.`,
  );
}

/** Throws FerryError `host-draining`, `host-in-use`. `active`: migrations that have not ended. */
export function refuseRemoval(host: Host, active: readonly Migration[]): void {
  if (host.service?.state === 'draining') throw new FerryError('host-draining', `${host.name} is being drained.`);
  const busy = active.filter(({ from, to }) => from.id === host.id || to?.id === host.id);
  if (busy.length > 0)
    throw new FerryError(
      'host-in-use',
      `${host.name} takes part in ${busy.length} running migration(s): ${busy.map(({ id }) => id).join(', ')}.`,
    );
}

export const changedByMany = (refs: readonly string[]): FerryError =>
  new FerryError('store-conflict', `${refs.join(', ')}: changed by many at once.`);

export const unknownCluster = (name: string): FerryError =>
  new FerryError('cluster-unknown', `There is no cluster "${name}".`);

export const clusterWithoutHosts = (name: string): FerryError =>
  new FerryError('cluster-unknown', `There is no cluster "${name}" with hosts.`);

/** Throws FerryError `cluster-in-use`. `members`: its hosts. */
export function refuseClusterInUse(name: string, members: readonly Pick<Host, 'name'>[]): void {
  if (members.length > 0)
    throw new FerryError(
      'cluster-in-use',
      `${members.length} host(s) belong to the cluster ${name}: ${members.map((host) => host.name).join(', ')}.`,
    );
}
