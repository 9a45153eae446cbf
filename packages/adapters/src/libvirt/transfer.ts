/** The drivers of the TransferPort and the SteeringPort: the job that moves a guest off this host. */
import type { CallFailure, MayLeave, VmUuid } from '@ferry/core';
import type { HostLink, PerformRequest } from '@ferry/engine';
import { LibvirtError, VIR_DOMAIN_MIGRATE_MAX_SPEED, VIR_ERR, type DomainRef, type HostSession } from '@ferry/libvirt';
import { byUuid, ifThere, jobStats } from './domain.ts';
import { callFailure } from './failure.ts';
import { cutCopies, limitCopies, releaseThrottle } from './guest.ts';
import { openDirectSide, performPeerToPeer, recoverPeerToPeer } from './moving.ts';
import { sampleOf } from './translate.ts';

export function transferOf(session: HostSession): Pick<HostLink, 'transfer' | 'steering'> {
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
    transfer: {
      perform: (request, signal) =>
        withSource(request, signal, (domain) => performPeerToPeer(session, domain, request, signal)),
      mayLeave: async (uuid, signal) => mayLeave(session, await must(uuid, signal), signal),
      async openSide(request, side, signal) {
        return openDirectSide(
          session,
          side === 'source' ? await must(request.uuid, signal) : undefined,
          request,
          signal,
        );
      },
      recover: (request, signal) =>
        withSource(request, signal, (domain) => recoverPeerToPeer(session, domain, request, signal)),
      sample: (uuid, signal) =>
        ifThere(async () => sampleOf(await session.domainJobStats(byUuid(uuid), 0, { signal }))),
      async abort(uuid, signal) {
        await session.domainAbortJob(await must(uuid, signal), 0, { signal });
      },
    },
    steering: {
      async tune(
        uuid,
        { maxBandwidthMiBPerSecond, memoryBandwidthMiBPerSecond, postCopyBandwidthMiBPerSecond, maxDowntimeMs },
        signal,
      ) {
        const domain = byUuid(uuid);
        const bandwidth = maxBandwidthMiBPerSecond ?? memoryBandwidthMiBPerSecond;
        if (bandwidth !== undefined) await session.domainSetMaxSpeed(domain, bandwidth, 0, { signal });
        if (postCopyBandwidthMiBPerSecond !== undefined)
          await session.domainSetMaxSpeed(
            domain,
            postCopyBandwidthMiBPerSecond,
            VIR_DOMAIN_MIGRATE_MAX_SPEED.POSTCOPY,
            {
              signal,
            },
          );
        if (maxBandwidthMiBPerSecond !== undefined && (await copiesDisks(session, domain, signal)))
          await limitCopies(session, await must(uuid, signal), maxBandwidthMiBPerSecond, signal);
        if (maxDowntimeMs !== undefined) await session.domainSetMaxDowntime(domain, maxDowntimeMs, { signal });
      },
      async startPostCopy(uuid, signal) {
        await session.domainStartPostCopy(await must(uuid, signal), { signal });
      },
      async releaseThrottle(uuid, signal) {
        await releaseThrottle(session, await must(uuid, signal), signal);
      },
      async cutCopies(uuid, signal) {
        await cutCopies(session, await must(uuid, signal), signal);
      },
    },
  };
}

/** With these libvirt says no; anything else says that it could not tell. */
const refusals: readonly number[] = [
  VIR_ERR.NO_SUPPORT,
  VIR_ERR.OPERATION_INVALID,
  VIR_ERR.CONFIG_UNSUPPORTED,
  VIR_ERR.OPERATION_UNSUPPORTED,
];

export async function mayLeave(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<MayLeave> {
  try {
    await session.domainMayMigrate(domain, { signal });
    return { answer: 'may' };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    const why = error.message.replace(/\.$/, '');
    // a guest that has stopped meanwhile is no refusal: what moves then is decided anew
    const refuses = refusals.includes(error.code) && (await isActive(session, domain, signal));
    return { answer: refuses ? 'refused' : 'unknown', why };
  }
}

async function isActive(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<boolean> {
  try {
    return await session.domainIsActive(domain, { signal });
  } catch (error) {
    if (error instanceof LibvirtError) return false;
    throw error;
  }
}

/** A migration copies disks of the domain just now. */
async function copiesDisks(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<boolean> {
  const stats = await jobStats(session, domain, 0, signal);
  return stats !== undefined && (sampleOf(stats)?.disk?.remainingBytes ?? 0) > 0;
}
