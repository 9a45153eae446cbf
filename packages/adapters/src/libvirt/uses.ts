/**
 * Which files the definitions of a host name, and which images are in their chains: of running and shut-off VMs, of
 * both definitions, and of those in snapshots and saved memory. Core decides what a use means for a move.
 */
import { FerryError, normalPath, vmUuid, type FileRole, type FileUse, type HostUses } from '@ferry/core';
import {
  LibvirtError,
  parseXml,
  VIR_DOMAIN_XML,
  VIR_ERR,
  VIR_LIST_DOMAINS,
  xmlChild,
  type DomainRef,
  type HostSession,
  type VolumeRef,
  type XmlElement,
} from '@ferry/libvirt';
import { longestChain, namedChain } from './chains.ts';
import { unlessUnsupported } from './failure.ts';
import { inTurn } from './in-turn.ts';
import { everyPool, fileOf, folderOf, isCode, lookAnew, type PoolLender } from './pool-lending.ts';
import { savePath, tpmPaths } from './state-places.ts';
import { backingOf } from './storage-xml.ts';

type Named = Omit<FileUse, 'vm'> & { /** What lies below is to be read from the image. */ readonly chained?: true };

export async function filesInUse(session: HostSession, pools: PoolLender, signal: AbortSignal): Promise<HostUses> {
  // first: one that is saved after this look is known as it ran
  const domains = await session.domains(0, { signal });
  const [every, saved, withSnapshots] = await Promise.all([
    everyPool(session, signal),
    savedNames(session, pools, signal),
    session.domains(VIR_LIST_DOMAINS.HAS_SNAPSHOT, { signal }),
  ]);
  const snapshotted = new Set(withSnapshots.map(({ uuid }) => uuid));
  const folders = new Map(every.flatMap(({ name, path }) => (path === undefined ? [] : [[name, path] as const])));
  await using images = imageReader(session, pools, signal);
  const files: FileUse[] = [];
  const untold: { readonly vm: FileUse['vm']; readonly path: string }[] = [];

  const ask = async (domain: DomainRef): Promise<void> => {
    const vm = { uuid: vmUuid(domain.uuid), name: domain.name };
    const named = (await definitionsOf(session, domain, snapshotted.has(domain.uuid), signal)).flatMap(
      ({ xml, live }) => namedIn(parseXml(xml), live, folders),
    );
    if (domain.id < 0 && saved.has(domain.name)) {
      const xml = await definitionInMemory(session, domain.name, signal);
      if (xml === undefined) untold.push({ vm, path: savePath(domain.name) });
      else if (xml !== '') named.push(...namedIn(parseXml(xml), false, folders));
    }
    const implied = [savePath(domain.name), ...tpmPaths(domain.uuid)].map((path): Named => ({ path, as: 'state' }));
    for (const { path, as, readOnly, shareable } of [...named, ...implied])
      files.push({
        path: normalPath(path),
        as,
        vm,
        ...(readOnly === undefined ? {} : { readOnly }),
        ...(shareable === undefined ? {} : { shareable }),
      });
    const chained = named.filter((file) => file.chained === true);
    for (const [path, below] of await inTurn(
      chained,
      async (file) => [file.path, await images.below(file.path)] as const,
    )) {
      if (below === undefined) untold.push({ vm, path });
      files.push(...(below ?? []).map((base) => ({ path: normalPath(base), as: 'base' as const, vm })));
    }
  };
  await inTurn(domains, (domain) => unlessGone(() => ask(domain)));
  return { files, untold };
}

/** VMs of whose memory there is a file, whether or not libvirt has saved it itself. */
async function savedNames(session: HostSession, pools: PoolLender, signal: AbortSignal): Promise<ReadonlySet<string>> {
  await using lent = await pools.lend(folderOf(savePath('')), {}, signal);
  if (lent === undefined) return new Set();
  await lookAnew(session, lent.pool, signal);
  const files = await session.volumes(lent.pool, { signal });
  return new Set(files.map(({ name }) => name.replace(/\.save$/, '')));
}

/**
 * Undefined where libvirt cannot read it. Empty where it read a file that is no saved memory (cut off, or something
 * else): no guest can go on with that, so it needs no file.
 */
async function definitionInMemory(
  session: HostSession,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return await session.savedImageXml(savePath(name), 0, { signal });
  } catch (error) {
    if (isCode(error, VIR_ERR.OPERATION_FAILED)) return '';
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

/** A domain that goes while it is asked uses nothing any more. */
async function unlessGone(ask: () => Promise<void>): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (!isCode(error, VIR_ERR.NO_DOMAIN)) throw error;
  }
}

/** Of a domain that runs both; those in its snapshots, too. */
async function definitionsOf(
  session: HostSession,
  domain: DomainRef,
  hasSnapshots: boolean,
  signal: AbortSignal,
): Promise<readonly { readonly xml: string; readonly live: boolean }[]> {
  const runs = domain.id >= 0;
  const ofSnapshots = async (): Promise<readonly string[]> =>
    inTurn((await unlessUnsupported(() => session.domainSnapshots(domain, 0, { signal }))) ?? [], (snapshot) =>
      session.snapshotXml(snapshot, 0, { signal }),
    );
  const [xml, next, snapshots] = await Promise.all([
    session.domainXml(domain, 0, { signal }),
    runs ? session.domainXml(domain, VIR_DOMAIN_XML.INACTIVE, { signal }) : undefined,
    hasSnapshots ? ofSnapshots() : [],
  ]);
  return [
    { xml, live: runs },
    ...[...(next === undefined ? [] : [next]), ...snapshots].map((each) => ({ xml: each, live: false })),
  ];
}

const isPath = (text: string | undefined): text is string => text?.startsWith('/') === true;

/** Every path that a definition, or a snapshot's, names. */
function namedIn(root: XmlElement, live: boolean, folders: ReadonlyMap<string, string>): readonly Named[] {
  const within = (element: XmlElement, as: FileRole, more: Partial<Named> = {}): readonly Named[] => [
    ...[...element.attributes.values(), element.text].filter(isPath).map((path) => ({ path, as, ...more })),
    ...element.children.flatMap((child) =>
      child.name === 'backingStore' ? within(child, 'base') : within(child, as, more),
    ),
  ];
  const ofDisk = (disk: XmlElement): readonly Named[] => {
    const source = xmlChild(disk, 'source');
    const folder = folders.get(source?.attributes.get('pool') ?? '');
    const [pool, name] = [source?.attributes.get('pool'), source?.attributes.get('volume') ?? ''];
    // a volume of another kind of pool is not a file, but its base may be one
    const volume = pool === undefined ? [] : [`${folder ?? pool}/${name}`];
    const more = {
      ...(xmlChild(disk, 'readonly') === undefined ? {} : { readOnly: true as const }),
      ...(xmlChild(disk, 'shareable') === undefined ? {} : { shareable: true as const }),
      // a running domain reports its own chain
      ...((xmlChild(disk, 'driver')?.attributes.get('type') ?? 'raw') === 'raw' ||
      (live && namedChain(disk)?.ended === true)
        ? {}
        : { chained: true as const }),
    };
    const own = source === undefined ? [] : [...[...source.attributes.values()].filter(isPath), ...volume];
    return [
      ...own.map((path) => ({ path, as: 'disk' as const, ...more })),
      ...disk.children.flatMap((child) =>
        child.name === 'source'
          ? child.children.flatMap((each) => within(each, 'disk'))
          : within(child, child.name === 'backingStore' ? 'base' : 'disk'),
      ),
    ];
  };
  return root.children.flatMap((child): readonly Named[] => {
    if (child.name === 'devices')
      return child.children.flatMap((device) => (device.name === 'disk' ? ofDisk(device) : within(device, 'other')));
    if (child.name === 'os')
      return child.children.flatMap((each) => within(each, each.name === 'nvram' ? 'state' : 'other'));
    if (child.name === 'domain' || child.name === 'inactiveDomain') return namedIn(child, false, folders);
    // of a snapshot: the images made by it
    if (root.name === 'domainsnapshot' && child.name === 'disks') return child.children.flatMap(ofDisk);
    return [];
  });
}

/** Reads chains out of images, each image once; the folders are lent until all are read. */
function imageReader(session: HostSession, pools: PoolLender, signal: AbortSignal) {
  const lent = new AsyncDisposableStack();
  type Look =
    | { readonly kind: 'image'; readonly below: string | undefined }
    | { readonly kind: 'none' }
    | { readonly kind: 'untold' };
  const folders = new Map<string, ReturnType<typeof open>>();
  const looks = new Map<string, Promise<Look>>();

  /** Its volumes by name: one call for thousands of images. */
  const open = async (folder: string): Promise<ReadonlyMap<string, VolumeRef> | undefined> => {
    const pool = await pools.lend(folder, {}, signal);
    if (pool === undefined) return undefined;
    lent.use(pool);
    await lookAnew(session, pool.pool, signal);
    return new Map((await session.volumes(pool.pool, { signal })).map((volume) => [volume.name, volume]));
  };
  const fileNamed = async (path: string): Promise<VolumeRef | undefined> => {
    const folder = folders.get(folderOf(path)) ?? open(folderOf(path));
    folders.set(folderOf(path), folder);
    return (await folder)?.get(fileOf(path));
  };
  const read = async (path: string): Promise<Look> => {
    try {
      const isDevice = path.startsWith('/dev/');
      // a device is a volume of another kind of pool, if of any
      const volume = isDevice ? await session.volumeByPath(path, { signal }) : await fileNamed(path);
      if (volume === undefined) return { kind: 'none' };
      const below = backingOf(await session.volumeXml(volume, { signal }))?.path;
      return { kind: 'image', below: isPath(below) ? below : undefined };
    } catch (error) {
      if (error instanceof LibvirtError || error instanceof FerryError) return { kind: 'untold' };
      throw error;
    }
  };
  return {
    /** Nearest first; undefined if not known. */
    async below(top: string): Promise<readonly string[] | undefined> {
      const chain: string[] = [];
      for (let at: string | undefined = normalPath(top); at !== undefined;) {
        const look: Promise<Look> = looks.get(at) ?? read(at);
        looks.set(at, look);
        const seen = await look;
        if (seen.kind === 'untold' || chain.length > longestChain) return undefined;
        at = seen.kind === 'image' && seen.below !== undefined ? normalPath(seen.below) : undefined;
        if (at !== undefined) chain.push(at);
      }
      return chain;
    },
    [Symbol.asyncDispose]: () => lent[Symbol.asyncDispose](),
  };
}
