/**
 * The driver of the ResourcePort: what definitions name on a host, other than storage. It reads and creates, and makes
 * no decisions.
 */
import { FerryError } from '@ferry/core';
import type { HostResources, ResourceRef, SecretFacts } from '@ferry/core';
import type { ResourceCopy, ResourcePort } from '@ferry/engine';
import {
  LibvirtError,
  parseXml,
  VIR_ERR,
  xmlChild,
  type HostSession,
  type NetworkRef,
  type SecretRef,
  type XmlElement,
} from '@ferry/libvirt';
import { unlessUnsupported } from './failure.ts';
import { inTurn } from './in-turn.ts';

/** VIR_SECRET_USAGE_TYPE as written in definitions. */
const usageTypes = ['', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm'];

const namesOf = ({ uuid, usageType, usageId }: SecretRef): readonly string[] => [
  `uuid:${uuid}`,
  ...(usageId === '' ? [] : [`${usageTypes[usageType] ?? ''}:${usageId}`]),
];

/** `<mtu size='1500'/>` of a network, or of an interface. */
function sizeOf(element: XmlElement | undefined): number | undefined {
  const size = Number(xmlChild(element, 'mtu')?.attributes.get('size'));
  return size > 0 ? size : undefined;
}

export function resourcesOf(session: HostSession): ResourcePort {
  const found = <T>(what: T | undefined, { kind, name }: ResourceRef): T => {
    if (what === undefined) throw new FerryError('host-refused', `There is no ${kind} ${name}.`);
    return what;
  };
  const network = async ({ name }: ResourceRef, signal: AbortSignal) =>
    (await session.networks({ signal })).find((each) => each.name === name);
  const filter = async ({ name }: ResourceRef, signal: AbortSignal) =>
    (await session.networkFilters({ signal })).find((each) => each.name === name);
  const secret = async ({ name }: ResourceRef, signal: AbortSignal) =>
    (await session.secrets({ signal })).find((each) => namesOf(each).includes(name));
  /** Its value is asked for only to learn whether there is one: libvirt has no other call for that. */
  const secretFacts = async (
    ref: SecretRef,
    asked: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (readonly [string, SecretFacts])[]> => {
    const names = namesOf(ref);
    const [, usage] = names;
    const facts: SecretFacts = {
      uuid: ref.uuid,
      ...(usage === undefined ? {} : { usage }),
      value: names.some((name) => asked.includes(name)) ? await valueOf(ref, signal) : 'not-asked',
    };
    return names.map((name) => [name, facts] as const);
  };
  /** From the network, else from its bridge, else from a bridge of this name. Not every host reports it. */
  const mtuOf = async (
    name: string,
    networks: readonly NetworkRef[],
    signal: AbortSignal,
  ): Promise<number | undefined> => {
    try {
      const net = networks.find((each) => each.name === name);
      const xml = net === undefined ? undefined : parseXml(await session.networkXml(net, { signal }));
      const bridge = xml === undefined ? name : xmlChild(xml, 'bridge')?.attributes.get('name');
      return (
        sizeOf(xml) ??
        (bridge === undefined ? undefined : sizeOf(parseXml(await session.interfaceXml(bridge, { signal }))))
      );
    } catch (error) {
      if (error instanceof LibvirtError) return undefined;
      throw error;
    }
  };
  const valueOf = async (ref: SecretRef, signal: AbortSignal): Promise<SecretFacts['value']> => {
    try {
      await session.secretValue(ref, { signal });
      return 'there';
    } catch (error) {
      if (error instanceof LibvirtError && error.code === VIR_ERR.NO_SECRET) return 'none';
      if (
        error instanceof LibvirtError &&
        (error.code === VIR_ERR.INVALID_SECRET || error.code === VIR_ERR.OPERATION_DENIED)
      )
        return 'private';
      throw error;
    }
  };
  return {
    async look(asked, links, signal): Promise<HostResources> {
      const [networks, interfaces, filters, secrets] = await Promise.all([
        unlessUnsupported(() => session.networks({ signal })),
        unlessUnsupported(() => session.interfaces({ signal })),
        unlessUnsupported(() => session.networkFilters({ signal })),
        unlessUnsupported(() => session.secrets({ signal })),
      ]);
      const active = await inTurn(
        networks ?? [],
        async (net) => [net.name, await session.networkIsActive(net, { signal })] as const,
      );
      const mtus = await inTurn(links, async (name) => {
        const mtu = await mtuOf(name, networks ?? [], signal);
        return mtu === undefined ? [] : [[name, mtu] as const];
      });
      return {
        networks: new Map(active),
        mtus: new Map(mtus.flat()),
        ...(interfaces === undefined ? {} : { interfaces: new Set(interfaces) }),
        filters: new Set((filters ?? []).map(({ name }) => name)),
        secrets: new Map((await Promise.all((secrets ?? []).map((each) => secretFacts(each, asked, signal)))).flat()),
      };
    },
    async read(ref, signal): Promise<ResourceCopy> {
      switch (ref.kind) {
        case 'network':
          return { xml: await session.networkXml(found(await network(ref, signal), ref), { signal }) };
        case 'filter':
          return { xml: await session.networkFilterXml(found(await filter(ref, signal), ref), { signal }) };
        case 'secret': {
          const there = found(await secret(ref, signal), ref);
          return {
            xml: await session.secretXml(there, { signal }),
            value: await session.secretValue(there, { signal }),
          };
        }
      }
    },
    async create(ref, { xml, value }, signal) {
      switch (ref.kind) {
        case 'network': {
          const made = await session.networkDefine(xml, { signal });
          await session.networkCreate(made, { signal });
          return session.networkSetAutostart(made, true, { signal });
        }
        case 'filter':
          await session.networkFilterDefine(xml, { signal });
          return;
        case 'secret': {
          const made = await session.secretDefine(xml, { signal });
          if (value !== undefined) await session.secretSetValue(made, value, { signal });
        }
      }
    },
    async remove(ref, signal) {
      switch (ref.kind) {
        case 'network': {
          const there = await network(ref, signal);
          if (there === undefined) return;
          if (await session.networkIsActive(there, { signal })) await session.networkDestroy(there, { signal });
          return session.networkUndefine(there, { signal });
        }
        case 'filter': {
          const there = await filter(ref, signal);
          return there === undefined ? undefined : session.networkFilterUndefine(there, { signal });
        }
        case 'secret': {
          const there = await secret(ref, signal);
          return there === undefined ? undefined : session.secretUndefine(there, { signal });
        }
      }
    },
  };
}
