/**
 * The driver of the Hypervisor port on the libvirt client: one session per host. It translates and calls; it decides
 * nothing. A domain that vanishes between two calls is simply absent.
 */
import type { CallFailure, InstanceView, VmUuid } from '@ferry/core';
import type { HostFiles, HostLink, Hypervisor, MigrationDriver, PerformRequest } from '@ferry/engine';
import {
  LibvirtError,
  openHostSession,
  parseUri,
  placeOf,
  VIR_DOMAIN_AFFECT,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_JOB_STATS,
  VIR_DOMAIN_METADATA,
  VIR_DOMAIN_MIGRATE_MAX_SPEED,
  VIR_DOMAIN_STATE,
  VIR_DOMAIN_UNDEFINE,
  type AccessSettings,
  type DomainRef,
  type HostSession,
} from '@ferry/libvirt';
import { callFailure, connectFailure, hostFailure, translated } from './failure.ts';
import { definitionsOf, describeDefinition } from './definitions.ts';
import { measureDirtyRate } from './dirty-rate.ts';
import { filesOf } from './files.ts';
import { announceGuest, cutCopies, limitCopies, releaseThrottle, setGuestClock } from './guest.ts';
import { ifThere, inventoryOf } from './inventory.ts';
import { markerNamespace, plainMarker } from './marker.ts';
import { openDirectSide, performPeerToPeer, recoverPeerToPeer } from './moving.ts';
import { poolLender } from './pool-lending.ts';
import { resourcesOf } from './resources.ts';
import { identityOfDefinition, rewriteDefinition } from './rewrite.ts';
import { savePath } from './state-places.ts';
import { storageOf } from './storage.ts';
import { completedOf, sampleOf, stateOf } from './translate.ts';

export function libvirtHypervisor(access: AccessSettings = {}): Hypervisor {
  return {
    describeDefinition,
    identityOfDefinition,
    rewriteDefinition,
    async connect(uri, signal) {
      try {
        return linkOf(await openHostSession(uri, { signal, access }));
      } catch (error) {
        throw connectFailure(uri, error);
      }
    },
  };
}

function linkOf(session: HostSession): HostLink {
  const pools = poolLender(session);
  const place = placeOf(parseUri(session.uri));
  return {
    inventory: translated(place, inventoryOf(session)),
    migration: translated(place, migrationOf(session, filesOf(session, pools))),
    definitions: translated(place, definitionsOf(session, pools)),
    storage: translated(place, storageOf(session, pools)),
    files: translated(place, filesOf(session, pools)),
    resources: translated(place, resourcesOf(session)),
    takesAnother: async (signal) =>
      session.takesAnother({ signal }).catch((error: unknown) => {
        throw hostFailure(place, error);
      }),
    closed: session.closed,
    close: () => session.close(),
  };
}

/**
 * The daemon finds a domain by its UUID alone; name and id are for those who read the reference. Without asking for
 * them first, what is done again and again during a move costs half the calls.
 */
const byUuid = (uuid: VmUuid): DomainRef => ({ name: uuid, uuid, id: -1 });

function migrationOf(session: HostSession, files: HostFiles): MigrationDriver {
  const must = async (uuid: VmUuid, signal: AbortSignal): Promise<DomainRef> => session.domainByUuid(uuid, { signal });
  const withSource = async (
    request: PerformRequest,
    signal: AbortSignal,
    move: (domain: DomainRef) => Promise<{ readonly failure?: CallFailure }>,
  ) => {
    let domain: DomainRef;
    try {
      domain = await must(request.uuid, signal);
    } catch (error) {
      return { failure: callFailure(error) };
    }
    return move(domain);
  };
  return {
    async mark(uuid, marker, signal) {
      const domain = byUuid(uuid);
      const persistent = await session.domainIsPersistent(domain, { signal });
      await session.domainSetMetadata(
        domain,
        {
          type: VIR_DOMAIN_METADATA.ELEMENT,
          metadata: plainMarker(marker),
          key: 'ferry',
          uri: markerNamespace,
          flags: VIR_DOMAIN_AFFECT.LIVE | (persistent ? VIR_DOMAIN_AFFECT.CONFIG : 0),
        },
        { signal },
      );
    },
    perform: (request, signal) =>
      withSource(request, signal, (domain) => performPeerToPeer(session, domain, request, signal)),
    recover: (request, signal) =>
      withSource(request, signal, (domain) => recoverPeerToPeer(session, domain, request, signal)),
    async openSide(request, side, signal) {
      return openDirectSide(session, side === 'source' ? await must(request.uuid, signal) : undefined, request, signal);
    },
    async tune(
      uuid,
      { maxBandwidthMiBPerSecond, memoryBandwidthMiBPerSecond, postCopyBandwidthMiBPerSecond, maxDowntimeMs },
      signal,
    ) {
      const domain = byUuid(uuid);
      const bandwidth = maxBandwidthMiBPerSecond ?? memoryBandwidthMiBPerSecond;
      if (bandwidth !== undefined) await session.domainSetMaxSpeed(domain, bandwidth, 0, { signal });
      if (postCopyBandwidthMiBPerSecond !== undefined)
        await session.domainSetMaxSpeed(domain, postCopyBandwidthMiBPerSecond, VIR_DOMAIN_MIGRATE_MAX_SPEED.POSTCOPY, {
          signal,
        });
      if (maxBandwidthMiBPerSecond !== undefined && (await copiesDisks(session, domain, signal)))
        await limitCopies(session, await must(uuid, signal), maxBandwidthMiBPerSecond, signal);
      if (maxDowntimeMs !== undefined) await session.domainSetMaxDowntime(domain, maxDowntimeMs, { signal });
    },
    async startPostCopy(uuid, signal) {
      await session.domainStartPostCopy(await must(uuid, signal), { signal });
    },
    async suspend(uuid, signal) {
      await session.domainSuspend(await must(uuid, signal), { signal });
    },
    async resume(uuid, signal) {
      await session.domainResume(await must(uuid, signal), { signal });
    },
    async releaseThrottle(uuid, signal) {
      await releaseThrottle(session, await must(uuid, signal), signal);
    },
    async cutCopies(uuid, signal) {
      await cutCopies(session, await must(uuid, signal), signal);
    },
    async announce(uuid, signal) {
      await announceGuest(session, await must(uuid, signal), signal);
    },
    async setGuestTime(uuid, signal) {
      return setGuestClock(session, await must(uuid, signal), signal);
    },
    async shutdown(uuid, signal) {
      await session.domainShutdown(await must(uuid, signal), 0, { signal });
    },
    async dirtyRate(uuid, seconds, signal) {
      return measureDirtyRate(session, await must(uuid, signal), seconds, signal);
    },
    sample: (uuid, signal) => ifThere(async () => sampleOf(await session.domainJobStats(byUuid(uuid), 0, { signal }))),
    async observe(uuid, signal): Promise<InstanceView> {
      const domain = byUuid(uuid);
      const seen = await ifThere(() =>
        Promise.all([
          session.domainState(domain, { signal }),
          session.domainIsPersistent(domain, { signal }),
          migrating(session, domain, signal),
        ]),
      );
      if (seen === undefined) return { kind: 'absent' };
      const [at, persistent, moving] = seen;
      const inactive = at.state === VIR_DOMAIN_STATE.SHUTOFF;
      const job = inactive || moving ? undefined : await completedJob(session, domain, signal);
      return {
        kind: 'present',
        ...stateOf(at.state, at.reason),
        persistent,
        migrating: moving,
        ...(job === undefined || moving ? {} : { completed: job }),
      };
    },
    async abortJob(uuid, signal) {
      await session.domainAbortJob(await must(uuid, signal), 0, { signal });
    },
    async remove(uuid, what, signal) {
      const domain = await must(uuid, signal);
      if (what === 'process') await session.domainDestroy(domain, 0, { signal });
      else {
        await session.domainUndefine(
          domain,
          VIR_DOMAIN_UNDEFINE.MANAGED_SAVE | VIR_DOMAIN_UNDEFINE.KEEP_NVRAM | VIR_DOMAIN_UNDEFINE.KEEP_TPM,
          { signal },
        );
        // a file of saved memory that libvirt did not know of would come back with the next VM of this name
        await files.remove(savePath(domain.name), signal);
      }
    },
  };
}

/**
 * Statistics are refused for an incoming or inactive domain (OPERATION_UNSUPPORTED, OPERATION_INVALID): no job to
 * tell of.
 */
async function jobStats(session: HostSession, domain: DomainRef, flags: number, signal: AbortSignal) {
  try {
    return await session.domainJobStats(domain, flags, { signal });
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

/** A migration copies disks of the domain just now. */
async function copiesDisks(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<boolean> {
  const stats = await jobStats(session, domain, 0, signal);
  return stats !== undefined && (sampleOf(stats)?.disk?.remainingBytes ?? 0) > 0;
}

async function completedJob(session: HostSession, domain: DomainRef, signal: AbortSignal) {
  const stats = await jobStats(
    session,
    domain,
    VIR_DOMAIN_JOB_STATS.COMPLETED | VIR_DOMAIN_JOB_STATS.KEEP_COMPLETED,
    signal,
  );
  return stats === undefined ? undefined : completedOf(stats);
}

async function migrating(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<boolean> {
  const stats = await jobStats(session, domain, 0, signal);
  return stats !== undefined && (stats.type === VIR_DOMAIN_JOB.BOUNDED || stats.type === VIR_DOMAIN_JOB.UNBOUNDED);
}
