/**
 * Branded identifiers and units of time. A brand costs nothing at run time and keeps a host's id from being passed
 * where a VM's UUID is meant. Values are made at the edges (adapters, API), never inside a decision.
 */
declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** Ferry's own id of a host, made when the host is added. */
export type HostId = Branded<string, 'HostId'>;
/** libvirt's domain UUID, canonical lower case with dashes. */
export type VmUuid = Branded<string, 'VmUuid'>;
/** Ferry's id of a migration; ids sort by time of creation. */
export type MigrationId = Branded<string, 'MigrationId'>;
/** Ferry's id of a batch: a drain or a restore; ids sort by time of creation. */
export type BatchId = Branded<string, 'BatchId'>;
/** Ferry's id of a rollout; ids sort by time of creation. */
export type RolloutId = Branded<string, 'RolloutId'>;
/** Milliseconds since the Unix epoch. */
export type TimeMs = number;

export const hostId = (value: string): HostId => value as HostId;
export const vmUuid = (value: string): VmUuid => value.toLowerCase() as VmUuid;
export const batchId = (value: string): BatchId => value as BatchId;
export const rolloutId = (value: string): RolloutId => value as RolloutId;
export const migrationId = (value: string): MigrationId => value as MigrationId;

/**
 * A machine may call itself anything: what names a host here is what a host name may be (RFC 1123), with underscores,
 * and not longer.
 */
export const isHostName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name);
