/**
 * The driver of the HostInventory port: what a host is and which domains it has. A host may have 16,384 of them, so the
 * cost of each is constant: a few calls speak of all or of many, and a definition is read once and again only where
 * something tells that it may have changed.
 */
import { vmUuid, type HostFacts, type Instance } from '@ferry/core';
import type { HostChange, HostInventory } from '@ferry/engine';
import {
  LibvirtError,
  VIR_CONNECT_LIST_NODE_DEVICES,
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_RESUMED,
  VIR_DOMAIN_EVENT_SUSPENDED,
  VIR_DOMAIN_STATS,
  VIR_ERR,
  VIR_LIST_DOMAINS,
  XmlError,
  type DomainEvent,
  type DomainRef,
  type EventGap,
  type HostSession,
  type TypedParams,
} from '@ferry/libvirt';
import { inTurn } from './in-turn.ts';
import { cardAddressOf, factsOf, instanceOf, linkSpeedOf, machineUuidOf } from './translate.ts';

/** Domains whose statistics come in one answer: reading it takes a few milliseconds. */
const statsAtOnce = 256;

const isCode = (error: unknown, code: number): boolean => error instanceof LibvirtError && error.code === code;

/** What `read` gives, or undefined when the domain is not there (any more). */
export async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isCode(error, VIR_ERR.NO_DOMAIN)) return undefined;
    throw error;
  }
}

interface KnownInstance {
  /** What the bulk calls said when it was read. */
  readonly print: string;
  readonly instance: Instance;
}

export function inventoryOf(session: HostSession): HostInventory {
  let known = new Map<string, KnownInstance>();

  const instanceFrom = (...[domain, at, persistent, xml]: Parameters<typeof instanceOf>): Instance => {
    try {
      return instanceOf(domain, at, persistent, xml);
    } catch (error) {
      // one definition that cannot be read costs the other VMs of the host nothing; a move reads it again, and is
      // refused with the reason
      if (error instanceof XmlError) return instanceOf(domain, at, persistent, '<domain/>');
      throw error;
    }
  };

  return {
    async facts(signal) {
      const [hostname, capabilities, libvirt, qemu, node, freeMemoryBytes, cards] = await Promise.all([
        session.hostname({ signal }),
        session.capabilities({ signal }),
        session.libvirtVersion({ signal }),
        session.hypervisorVersion({ signal }),
        session.nodeInfo({ signal }),
        session.freeMemoryBytes({ signal }),
        networkCards(session, signal),
      ]);
      return {
        ...factsOf(hostname, capabilities, { libvirt, qemu }, node),
        freeMemoryBytes,
        ...cards,
      };
    },
    async machineUuid(signal) {
      const [hostname, capabilities] = await Promise.all([
        session.hostname({ signal }),
        session.capabilities({ signal }),
      ]);
      return machineUuidOf(hostname, capabilities);
    },
    freeMemory: (signal) => session.freeMemoryBytes({ signal }),
    async instances(signal) {
      const domains = await session.domains(0, { signal });
      const persistent = new Set(
        (await session.domains(VIR_LIST_DOMAINS.PERSISTENT, { signal })).map(({ uuid }) => uuid),
      );
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
          print: printOf(domain, params, persistent.has(domain.uuid)),
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
            next.set(domain.uuid, { print, instance: instanceFrom(domain, at, persistent.has(domain.uuid), xml) });
          },
        );
      }
      known = next;
      return [...next.values()].map(({ instance }) => instance);
    },
    async instance(uuid, signal) {
      known.delete(uuid);
      return ifThere(async () => {
        const domain = await session.domainByUuid(uuid, { signal });
        return instanceFrom(
          domain,
          ...(await Promise.all([
            session.domainState(domain, { signal }),
            session.domainIsPersistent(domain, { signal }),
            session.domainXml(domain, 0, { signal }),
          ])),
        );
      });
    },
    async watch(signal) {
      const { events } = await session.subscribe({ signal });
      return changesOf(events);
    },
  };
}

const printOf = (domain: DomainRef, params: TypedParams, persistent: boolean): string =>
  [
    domain.name,
    domain.id,
    persistent,
    ...['state.state', 'state.reason', 'balloon.maximum'].map((name) => params.get(name)),
  ]
    .map(String)
    .join('/');

/** The speed of the fastest card that is up, and which cards there are. */
async function networkCards(session: HostSession, signal: AbortSignal): Promise<Pick<HostFacts, 'linkMbit' | 'cards'>> {
  try {
    const names = await session.nodeDevices(VIR_CONNECT_LIST_NODE_DEVICES.CAP_NET, { signal });
    const xmls = await inTurn(names, (name) => session.nodeDeviceXml(name, { signal }));
    const speeds = xmls.flatMap((xml) => linkSpeedOf(xml) ?? []);
    const cards = xmls.flatMap((xml) => cardAddressOf(xml) ?? []).toSorted();
    return {
      ...(speeds.length === 0 ? {} : { linkMbit: Math.max(...speeds) }),
      ...(cards.length === 0 ? {} : { cards }),
    };
  } catch (error) {
    // not every daemon knows the devices of its host, and a card may go while we look
    if (error instanceof LibvirtError) return {};
    throw error;
  }
}

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
