/**
 * A disk of a domain as core's facts: its place, its content, its base images, and what identifies it on every host. It
 * reads from the host what it needs and decides nothing.
 */
import { FerryError, hasParent, normalPath, tidyPath, type DiskFacts } from '@ferry/core';
import {
  LibvirtError,
  parseXml,
  xmlAt,
  xmlChild,
  type DomainRef,
  type HostSession,
  type XmlElement,
} from '@ferry/libvirt';
import { chainOfDisk, imageXml } from './chains.ts';
import type { PoolLender } from './pool-lending.ts';
import { sizesOf } from './storage-xml.ts';
import type { disksOf } from './translate.ts';

type DefinedDisk = ReturnType<typeof disksOf>[number];

/**
 * `domain`: absent for a disk that the guest does not have now: libvirt reports no sizes for it. `internal`: what is
 * known to be inside its image.
 */
export type DiskReader = (
  domain: DomainRef | undefined,
  disk: DefinedDisk,
  internal: DiskFacts['internal'],
  signal: AbortSignal,
) => Promise<DiskFacts>;

export function diskReader(session: HostSession, pools: PoolLender): DiskReader {
  /** The result of `ask`; undefined if libvirt refuses. */
  const perhaps = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof LibvirtError || (error instanceof FerryError && error.code === 'volume-failed'))
        return undefined;
      throw error;
    }
  };

  const volumeOf = (element: XmlElement, signal: AbortSignal) => {
    const attributes = xmlChild(element, 'source')?.attributes;
    return perhaps(async () =>
      session.volumeByName(
        await session.poolByName(attributes?.get('pool') ?? '', { signal }),
        attributes?.get('volume') ?? '',
        { signal },
      ),
    );
  };

  /**
   * Two looks at a file that say the same of its changes are looks at one file; one that is written to is looked at a
   * few times.
   */
  const isOneFile = async (path: string, other: string, signal: AbortSignal): Promise<boolean> => {
    const stamp = async (at: string): Promise<string | undefined> => {
      const volume = parseXml((await imageXml(session, pools, at, signal)) ?? '<volume/>');
      const [changed, written] = ['ctime', 'mtime'].map((time) => xmlAt(volume, 'target', 'timestamps', time)?.text);
      return changed === undefined
        ? undefined
        : `${changed} ${written ?? ''} ${xmlChild(volume, 'physical')?.text ?? ''}`;
    };
    for (let look = 0; look < 3; look += 1) {
      const [before, there, after] = [await stamp(path), await stamp(other), await stamp(path)];
      if (before === undefined || there === undefined) return false;
      if (there === before || there === after) return true;
    }
    return false;
  };

  /** One path for one file. Where a link may make two of them out of ".." the path stays as it is. */
  const plainPath = async (
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly source: string; readonly written?: string }> => {
    const source = tidyPath(path);
    if (!hasParent(source)) return { source };
    const folded = normalPath(source);
    return (await isOneFile(source, folded, signal)) ? { source: folded, written: path } : { source };
  };

  return async (domain, { element, source: named, type: definedAs, ...rest }, internal, signal) => {
    const volume = definedAs === 'volume' ? await volumeOf(element, signal) : undefined;
    const type = volume === undefined ? definedAs : volume.key.startsWith('/dev/') ? 'block' : 'file';
    const at = volume?.key ?? named;
    const place = at === undefined ? undefined : type === 'file' ? await plainPath(at, signal) : { source: at };
    const source = place?.source;
    const info =
      domain === undefined || source === undefined || rest.target === ''
        ? undefined
        : await perhaps(() => session.domainBlockInfo(domain, rest.target, { signal }));
    // libvirt does not look into pools for a domain that is shut off, nor at files that no domain has
    const asked =
      info !== undefined
        ? undefined
        : volume !== undefined
          ? await perhaps(() => session.volumeXml(volume, { signal }))
          : domain === undefined && type === 'file' && source !== undefined
            ? await imageXml(session, pools, source, signal)
            : undefined;
    const sizes =
      info === undefined
        ? asked === undefined
          ? undefined
          : sizesOf(asked)
        : { capacityBytes: info.capacityBytes, allocationBytes: info.allocationBytes, fileBytes: info.physicalBytes };
    const identity = identityOf(element, type, source);
    const chain =
      type !== 'file' || source === undefined || rest.format === 'raw'
        ? []
        : await chainOfDisk(session, pools, element, source, signal);
    const encryption = encryptionOf(element);
    const cache = xmlChild(element, 'driver')?.attributes.get('cache');
    return {
      ...rest,
      type,
      ...place,
      ...(volume === undefined ? {} : { pool: xmlChild(element, 'source')?.attributes.get('pool') ?? '' }),
      ...(sizes === undefined || sizes.capacityBytes === 0 ? {} : sizes),
      ...(chain === undefined ? { backing: [], chainUnknown: true } : { backing: chain }),
      ...(identity === undefined ? {} : { identity }),
      ...(internal === undefined ? {} : { internal }),
      ...(encryption === undefined ? {} : { encryption }),
      ...(cache === undefined ? {} : { cache }),
    };
  };
}

/** Where the definition says how the image is encrypted: at the disk, or at its source. */
export const encryptionElement = (disk: XmlElement): XmlElement | undefined =>
  xmlChild(disk, 'encryption') ?? xmlAt(disk, 'source', 'encryption');

function encryptionOf(disk: XmlElement): DiskFacts['encryption'] {
  const element = encryptionElement(disk);
  if (element === undefined) return undefined;
  const secret = xmlChild(element, 'secret')?.attributes;
  const uuid = secret?.get('uuid');
  const usage = secret?.get('usage');
  return {
    format: element.attributes.get('format') ?? '',
    ...(uuid === undefined ? {} : { secretUuid: uuid }),
    ...(usage === undefined ? {} : { secretUsage: usage }),
  };
}

/** What names the same storage on every host: an export by network name, a WWN or another id of the device itself. */
export function identityOf(disk: XmlElement, type: string, source: string | undefined): string | undefined {
  if (type === 'network') {
    const element = xmlChild(disk, 'source');
    const hosts = (element?.children ?? []).filter(({ name }) => name === 'host');
    const local = hosts.some(
      ({ attributes }) =>
        attributes.get('transport') === 'unix' || /^(localhost|127\.|::1$)/.test(attributes.get('name') ?? ''),
    );
    if (local) return undefined;
    const servers = hosts.map(({ attributes }) => `${attributes.get('name') ?? ''}:${attributes.get('port') ?? ''}`);
    const { protocol = '', name = '' } = Object.fromEntries(element?.attributes ?? []);
    return `${protocol}:${servers.join(',')}/${name}`;
  }
  const byId =
    /^\/dev\/disk\/by-id\/((?:wwn|nvme-eui|nvme-uuid|scsi-3|lvm-pv-uuid|dm-uuid-LVM|dm-uuid-mpath)[\w.:-]+)$/.exec(
      source ?? '',
    );
  return byId?.[1];
}
