/**
 * libvirt's XML of pools and volumes as core's words. Pure.
 */
import { tidyPath, type BackingImage, type PoolFacts, type SeenFile, type VolumeFacts } from '@ferry/core';
import type { FileFacts, VolumePort } from '@ferry/engine';
import { escapeXml, parseXml, xmlAt, xmlChild, type XmlElement } from '@ferry/libvirt';

/** Pools whose volumes are files in one folder. */
const poolsOfFiles: readonly string[] = ['dir', 'fs', 'netfs', 'gluster'];

export function poolOf(xml: string): Pick<PoolFacts, 'name' | 'path'> & { readonly ofFiles: boolean } {
  const pool = parseXml(xml);
  const ofFiles = poolsOfFiles.includes(pool.attributes.get('type') ?? '');
  const path = xmlAt(pool, 'target', 'path')?.text;
  return {
    name: xmlChild(pool, 'name')?.text ?? '',
    ofFiles,
    ...(ofFiles && path !== undefined ? { path: tidyPath(path) } : {}),
  };
}

/** Numbers in a volume's XML are bytes; `modified` is `mtime` with its fraction. */
export function volumeOf(pool: string, xml: string): VolumeFacts {
  const volume = parseXml(xml);
  const modified = xmlAt(volume, 'target', 'timestamps', 'mtime')?.text;
  const backing = backingIn(volume);
  return {
    pool,
    name: xmlChild(volume, 'name')?.text ?? '',
    path: xmlAt(volume, 'target', 'path')?.text ?? '',
    format: xmlAt(volume, 'target', 'format')?.attributes.get('type') ?? 'raw',
    capacityBytes: Number(xmlChild(volume, 'capacity')?.text ?? 0),
    allocationBytes: Number(xmlChild(volume, 'allocation')?.text ?? 0),
    ...(modified === undefined ? {} : { modified }),
    ...(backing === undefined ? {} : { backing }),
  };
}

/** Of a volume that is an image file. */
export function sizesOf(xml: string): {
  readonly capacityBytes: number;
  readonly allocationBytes: number;
  readonly fileBytes: number;
} {
  const volume = parseXml(xml);
  const figure = (name: string): number => Number(xmlChild(volume, name)?.text ?? 0);
  return { capacityBytes: figure('capacity'), allocationBytes: figure('allocation'), fileBytes: figure('physical') };
}

/** A sparse volume to be made. */
export function volumeXml({
  name,
  format,
  capacityBytes,
  backing,
  layout,
  encryption,
}: Parameters<VolumePort['create']>[0]): string {
  const base =
    backing === undefined
      ? ''
      : `<backingStore><path>${escapeXml(backing.path)}</path><format type='${escapeXml(backing.format)}'/></backingStore>`;
  const features = `${layout?.lazyRefcounts === true ? '<lazy_refcounts/>' : ''}${layout?.extendedL2 === true ? '<extended_l2/>' : ''}`;
  const asQcow2 = [
    `<compat>${layout?.compat ?? '1.1'}</compat>`,
    layout === undefined ? '' : `<clusterSize unit='B'>${layout.clusterBytes}</clusterSize>`,
    features === '' ? '' : `<features>${features}</features>`,
  ].join('');
  const secret =
    encryption?.secretUuid === undefined
      ? `usage='${escapeXml(encryption?.secretUsage ?? '')}'`
      : `uuid='${escapeXml(encryption.secretUuid)}'`;
  const key =
    encryption === undefined
      ? ''
      : `<encryption format='${escapeXml(encryption.format)}'><secret type='passphrase' ${secret}/></encryption>`;
  return [
    `<volume><name>${escapeXml(name)}</name><capacity unit='bytes'>${capacityBytes}</capacity><allocation>0</allocation>`,
    `<target><format type='${escapeXml(format)}'/>${format === 'qcow2' ? asQcow2 : ''}${key}</target>${base}</volume>`,
  ].join('');
}

/** Length, rights and last change of a volume that is a plain file. */
export function fileFactsOf(xml: string): Omit<FileFacts, 'path'> {
  const volume = parseXml(xml);
  const permissions = xmlAt(volume, 'target', 'permissions');
  const modified = xmlAt(volume, 'target', 'timestamps', 'mtime')?.text;
  return {
    sizeBytes: Number(xmlChild(volume, 'physical')?.text ?? xmlChild(volume, 'capacity')?.text ?? 0),
    owner: Number(xmlChild(permissions, 'owner')?.text ?? 0),
    group: Number(xmlChild(permissions, 'group')?.text ?? 0),
    mode: xmlChild(permissions, 'mode')?.text ?? '0600',
    allocationBytes: Number(xmlChild(volume, 'allocation')?.text ?? 0),
    ...(modified === undefined ? {} : { modified }),
  };
}

/** libvirt follows links, and gives times as seconds with nine decimals, or none where they are zero. */
export function seenFileOf(xml: string): SeenFile {
  const volume = parseXml(xml);
  const [seconds = '0', fraction = ''] = (xmlAt(volume, 'target', 'timestamps', 'ctime')?.text ?? '0').split('.');
  return {
    sizeBytes: Number(xmlChild(volume, 'physical')?.text ?? 0),
    changedNs: BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9)),
  };
}

/** The base image of this volume. */
export const backingOf = (xml: string): BackingImage | undefined => backingIn(parseXml(xml));

function backingIn(volume: XmlElement): BackingImage | undefined {
  const backing = xmlChild(volume, 'backingStore');
  const path = xmlChild(backing, 'path')?.text;
  const format = xmlChild(backing, 'format')?.attributes.get('type');
  return path === undefined || path === '' ? undefined : { path, ...(format === undefined ? {} : { format }) };
}
