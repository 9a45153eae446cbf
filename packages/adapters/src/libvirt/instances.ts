/**
 * The driver of the InstancePort: which domains a host has. A host may have 16,384 of them, so the cost of each is
 * constant: a few calls return all or many of them, and a definition is read again only after a sign that it may have
 * changed.
 */
import { vmUuid, type Instance, type InstanceView } from '@ferry/core';
import type { HostChange, InstancePort } from '@ferry/engine';
import {
  VIR_DOMAIN_AFFECT,
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_RESUMED,
  VIR_DOMAIN_EVENT_SUSPENDED,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_JOB_STATS,
  VIR_DOMAIN_METADATA,
  VIR_DOMAIN_STATE,
  VIR_DOMAIN_STATS,
  VIR_LIST_DOMAINS,
  XmlError,
  type DomainEvent,
  type DomainRef,
  type EventGap,
  type HostSession,
  type TypedParams,
} from '@ferry/libvirt';
import { byUuid, ifThere, jobStats } from './domain.ts';
import { inTurn } from './in-turn.ts';
import { markerNamespace, plainMarker } from './marker.ts';
import { completedOf, instanceOf, stateOf } from './translate.ts';

/** Domains whose statistics come in one answer: reading it takes a few milliseconds. */
const statsAtOnce = 256;

interface KnownInstance {
  /** What the bulk calls said when it was read. */
  readonly print: string;
  readonly instance: Instance;
}

export function instancesOf(session: HostSession): InstancePort {
  let known = new Map<string, KnownInstance>();

  const instanceFrom = (...[domain, at, persistent, saved, xml]: Parameters<typeof instanceOf>): Instance => {
    try {
      return instanceOf(domain, at, persistent, saved, xml);
    } catch (error) {
      // one definition that cannot be read costs the other VMs of the host nothing; a move reads it again, and is
      // refused with the reason
      if (error instanceof XmlError) return instanceOf(domain, at, persistent, saved, '<domain/>');
      throw error;
    }
  };

  return {
    async all(signal) {
      const domains = await session.domains(0, { signal });
      const only = async (flag: number): Promise<ReadonlySet<string>> =>
        new Set((await session.domains(flag, { signal })).map(({ uuid }) => uuid));
      const persistent = await only(VIR_LIST_DOMAINS.PERSISTENT);
      const saved = await only(VIR_LIST_DOMAINS.MANAGEDSAVE);
      const next: typeof known = new Map();
      for (let at = 0; at < domains.length; at += statsAtOnce) {
        const stats = await session.domainStats({
          doms: domains.slice(at, at + statsAtOnce),
          stats: VIR_DOMAIN_STATS.STATE | VIR_DOMAIN_STATS.BALLOON,
          signal,
        });
        const looked = stats.map(({ domain, params }) => ({
          domain,
          params,
          print: printOf(domain, params, persistent.has(domain.uuid), saved.has(domain.uuid)),
          before: known.get(domain.uuid),
        }));
        for (const { domain, before, print } of looked) if (before?.print === print) next.set(domain.uuid, before);
        await inTurn(
          looked.filter(({ before, print }) => before?.print !== print),
          async ({ domain, params, print }) => {
            const xml = await ifThere(() => session.domainXml(domain, 0, { signal }));
            if (xml === undefined) return;
            const at = {
              state: Number(params.get('state.state') ?? 0),
              reason: Number(params.get('state.reason') ?? 0),
            };
            const { uuid } = domain;
            next.set(uuid, { print, instance: instanceFrom(domain, at, persistent.has(uuid), saved.has(uuid), xml) });
          },
        );
      }
      known = next;
      return [...next.values()].map(({ instance }) => instance);
    },
    async one(uuid, signal) {
      known.delete(uuid);
      return ifThere(async () => {
        const domain = await session.domainByUuid(uuid, { signal });
        return instanceFrom(
          domain,
          ...(await Promise.all([
            session.domainState(domain, { signal }),
            session.domainIsPersistent(domain, { signal }),
            domain.id < 0 && session.domainHasManagedSave(domain, { signal }),
            session.domainXml(domain, 0, { signal }),
          ])),
        );
      });
    },
    async observe(uuid, signal): Promise<InstanceView> {
      const domain = byUuid(uuid);
      const seen = await ifThere(() =>
        Promise.all([
          session.domainState(domain, { signal }),
          session.domainIsPersistent(domain, { signal }),
          jobOf(session, domain, signal),
        ]),
      );
      if (seen === undefined) return { kind: 'absent' };
      const [at, persistent, job] = seen;
      const moving = job !== 'none';
      const inactive = at.state === VIR_DOMAIN_STATE.SHUTOFF;
      const completed = inactive || moving ? undefined : await completedJob(session, domain, signal);
      return {
        kind: 'present',
        ...stateOf(at.state, at.reason),
        persistent,
        migrating: moving,
        ...(job === 'stuck' ? { stuck: true as const } : {}),
        ...(completed === undefined ? {} : { completed }),
      };
    },
    async watch(signal) {
      const { events } = await session.subscribe({ signal });
      return changesOf(events);
    },
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
  };
}

const printOf = (domain: DomainRef, params: TypedParams, persistent: boolean, saved: boolean): string =>
  [
    domain.name,
    domain.id,
    persistent,
    saved,
    ...['state.state', 'state.reason', 'balloon.maximum'].map((name) => params.get(name)),
  ]
    .map(String)
    .join('/');

async function* changesOf(events: AsyncIterable<DomainEvent | EventGap>): AsyncGenerator<HostChange> {
  for await (const event of events) {
    if (event.type === 'gap') yield { type: 'gap' };
    else yield changeOf(event);
  }
}

function changeOf(event: DomainEvent): HostChange {
  const uuid = vmUuid(event.domain.uuid);
  if (
    event.type === 'lifecycle' &&
    event.event === VIR_DOMAIN_EVENT.SUSPENDED &&
    event.detail === VIR_DOMAIN_EVENT_SUSPENDED.MIGRATED
  )
    return { type: 'migration-suspended', uuid };
  if (
    event.type === 'lifecycle' &&
    event.event === VIR_DOMAIN_EVENT.RESUMED &&
    (event.detail === VIR_DOMAIN_EVENT_RESUMED.MIGRATED || event.detail === VIR_DOMAIN_EVENT_RESUMED.POSTCOPY)
  )
    return { type: 'migration-resumed', uuid };
  return { type: 'domain', uuid };
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

/** libvirt answers for a running job at once unless it waits inside QEMU; that can be minutes, and holds each such call. */
const jobAnswerMs = 2_000;

async function jobOf(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<'none' | 'runs' | 'stuck'> {
  const patience = AbortSignal.timeout(jobAnswerMs);
  try {
    const stats = await jobStats(session, domain, 0, AbortSignal.any([signal, patience]));
    return stats?.type === VIR_DOMAIN_JOB.BOUNDED || stats?.type === VIR_DOMAIN_JOB.UNBOUNDED ? 'runs' : 'none';
  } catch (error) {
    if (patience.aborted && !signal.aborted) return 'stuck';
    throw error;
  }
}
