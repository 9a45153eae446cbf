/** How a domain is named to the daemon, and what it says of the domain's job. */
import type { VmUuid } from '@ferry/core';
import { LibvirtError, VIR_ERR, type DomainRef, type HostSession } from '@ferry/libvirt';

/**
 * The daemon finds a domain by its UUID alone; name and id are for those who read the reference. Without asking for
 * them first, what is done again and again during a move costs half the calls.
 */
export const byUuid = (uuid: VmUuid): DomainRef => ({ name: uuid, uuid, id: -1 });

/** What `read` gives, or undefined when the domain is not there (any more). */
export async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof LibvirtError && error.code === VIR_ERR.NO_DOMAIN) return undefined;
    throw error;
  }
}

/**
 * Statistics are refused for an incoming or inactive domain (OPERATION_UNSUPPORTED, OPERATION_INVALID): no job to
 * tell of.
 */
export async function jobStats(session: HostSession, domain: DomainRef, flags: number, signal: AbortSignal) {
  try {
    return await session.domainJobStats(domain, flags, { signal });
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}
