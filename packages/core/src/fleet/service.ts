/**
 * The state of a host in service: whether VMs may be placed on it, and what cordon and uncordon make of it. What a drain
 * does to it is in batch/. Pure.
 */
import { FerryError } from '../model/errors.ts';
import type { Host, ServiceState } from '../model/host.ts';
import type { TimeMs } from '../model/ids.ts';

export const serviceStateOf = ({ service }: Pick<Host, 'service'>): ServiceState => service?.state ?? 'schedulable';

/** It takes no VMs. */
export const isHeldBack = (host: Pick<Host, 'service'>): boolean => serviceStateOf(host) !== 'schedulable';

/** A host that is being drained, or in maintenance, takes no VMs already: it stays as it is. */
export const cordoned = (host: Host, now: TimeMs): Host =>
  isHeldBack(host) ? host : { ...host, service: { state: 'cordoned', since: now } };

/** Throws FerryError `host-draining`. */
export function uncordoned(host: Host): Host {
  const { service, ...schedulable } = host;
  if (service?.state === 'draining')
    throw new FerryError(
      'host-draining',
      `${host.name} is being drained${service.drain === undefined ? '' : ` by ${service.drain.id}`}.`,
    );
  return service === undefined ? host : schedulable;
}
