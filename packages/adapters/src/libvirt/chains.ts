/**
 * The images below a disk, as libvirt finds them when it starts a VM: those that the definition names, and from the
 * last of them on what the images themselves say, unless the definition says that the chain ends. It looks; what a
 * chain means for a move is decided elsewhere.
 */
import { FerryError, type BackingImage } from '@ferry/core';
import { xmlChild, type HostSession, type XmlElement } from '@ferry/libvirt';
import { fileOf, folderOf, refreshPool, volumeNamed, type PoolLender } from './pool-lending.ts';
import { backingOf } from './storage-xml.ts';

/** libvirt refuses longer ones too. */
export const longestChain = 200;

/** What a definition says of the images below a disk. */
export interface NamedChain {
  readonly images: readonly BackingImage[];
  /** An empty `<backingStore/>`: nothing is below the last of them, whatever its file says. */
  readonly ended: boolean;
}

/** `<backingStore>` in each other; undefined when one of them is no file or device. */
export function namedChain(disk: XmlElement): NamedChain | undefined {
  const images: BackingImage[] = [];
  for (let below = xmlChild(disk, 'backingStore'); below !== undefined; below = xmlChild(below, 'backingStore')) {
    const source = xmlChild(below, 'source');
    if (source === undefined) return { images, ended: true };
    const path = source.attributes.get('file') ?? source.attributes.get('dev');
    const format = xmlChild(below, 'format')?.attributes.get('type');
    if (path === undefined || images.push({ path, ...(format === undefined ? {} : { format }) }) > longestChain)
      return undefined;
  }
  return { images, ended: false };
}

/** The base images of the file at `path`, nearest first, read again from the host; undefined if they are not known. */
export async function imagesBelow(
  session: HostSession,
  pools: PoolLender,
  path: string,
  signal: AbortSignal,
): Promise<readonly BackingImage[] | undefined> {
  const chain: BackingImage[] = [];
  for (let at: string | undefined = path; at !== undefined;) {
    const xml = await imageXml(session, pools, at, signal);
    if (xml === undefined || chain.length >= longestChain) return undefined;
    const below = backingOf(xml);
    if (below !== undefined) chain.push(below);
    // a raw image has nothing below it, whatever a guest wrote to its beginning
    at = below?.format === 'raw' ? undefined : below?.path;
  }
  return chain;
}

/** All images below the disk of this element, whose own file is at `source`. */
export async function chainOfDisk(
  session: HostSession,
  pools: PoolLender,
  disk: XmlElement,
  source: string,
  signal: AbortSignal,
): Promise<readonly BackingImage[] | undefined> {
  const named = namedChain(disk);
  if (named === undefined || named.ended) return named?.images;
  const last = named.images.at(-1);
  if (last?.format === 'raw') return named.images;
  const below = await imagesBelow(session, pools, last?.path ?? source, signal);
  return below === undefined ? undefined : [...named.images, ...below];
}

/** A folder that cannot be read proves nothing. */
async function lentTo(pools: PoolLender, folder: string, signal: AbortSignal): ReturnType<PoolLender['lend']> {
  try {
    return await pools.lend(folder, {}, signal);
  } catch (error) {
    if (error instanceof FerryError && error.code === 'volume-failed') return undefined;
    throw error;
  }
}

/** libvirt's description of the file at this path, refreshed; undefined if the host has no such file. */
export async function imageXml(
  session: HostSession,
  pools: PoolLender,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  await using lent = await lentTo(pools, folderOf(path), signal);
  if (lent === undefined) return undefined;
  await refreshPool(session, lent.pool, signal);
  const volume = await volumeNamed(session, lent.pool, fileOf(path), signal);
  // awaited here: the pool goes when this scope does
  return volume === undefined ? undefined : await session.volumeXml(volume, { signal });
}
