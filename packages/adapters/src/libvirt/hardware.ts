/** Reads from a definition what its guest has of its host, or depends on. Pure. */
import type { GivenDevice, GuestHardware } from '@ferry/core';
import { xmlAt, xmlChild, type XmlElement } from '@ferry/libvirt';

const typeOf = (element: XmlElement | undefined): string => element?.attributes.get('type') ?? '';
const devicesOf = (root: XmlElement): readonly XmlElement[] => xmlChild(root, 'devices')?.children ?? [];

export function hardwareOf(root: XmlElement): GuestHardware {
  const security = xmlChild(root, 'launchSecurity');
  const pages = hugePagesOf(root);
  const [cpuSets, nodeSets, strictNodes] = [cpuSetsOf(root), nodeSetsOf(root), strictNodesOf(root)];
  const threads = Number(xmlAt(root, 'cpu', 'topology')?.attributes.get('threads'));
  const tscHz = tscOf(root);
  return {
    devices: devicesOf(root).flatMap(givenDevice),
    ...(security === undefined ? {} : { launchSecurity: typeOf(security) }),
    ...(pages === undefined ? {} : { hugePages: pages }),
    ...(cpuSets.length === 0 ? {} : { cpuSets }),
    ...(nodeSets.length === 0 ? {} : { nodeSets }),
    ...(strictNodes.length === 0 ? {} : { strictNodes }),
    ...(threads > 1 ? { threadsPerCore: threads } : {}),
    ...(tscHz === undefined ? {} : { tscHz }),
    ...(xmlAt(root, 'features', 'hyperv')?.attributes.get('mode') === 'passthrough'
      ? { hypervPassthrough: true as const }
      : {}),
    ...(hasVirtioVideo(root) ? { virtioVideo: true as const } : {}),
  };
}

/** Of a definition, the devices that were given; a network card may be one. */
function givenDevice(device: XmlElement): readonly GivenDevice[] {
  const teaming = typeOf(xmlChild(device, 'teaming')) === 'transient' ? { teaming: true as const } : {};
  const source = xmlChild(device, 'source');
  const address = xmlChild(source, 'address');
  if (device.name === 'interface')
    return typeOf(device) === 'hostdev' ? [{ kind: 'pci', name: pciName(address), ...teaming }] : [];
  if (device.name !== 'hostdev') return [];
  if (device.attributes.get('mode') === 'capabilities') return [{ kind: 'other', name: typeOf(device) }];
  switch (typeOf(device)) {
    case 'pci':
      return [{ kind: 'pci', name: pciName(address), ...teaming }];
    case 'mdev':
      return [{ kind: 'mdev', name: (address?.attributes.get('uuid') ?? '').toLowerCase() }];
    case 'usb':
      return [{ kind: 'usb', name: usbName(source) }];
    case 'scsi':
    case 'scsi_host':
      return [{ kind: 'scsi', name: xmlChild(source, 'adapter')?.attributes.get('name') ?? '' }];
    default:
      return [{ kind: 'other', name: typeOf(device) }];
  }
}

/** 0000:81:00.1 */
function pciName(address: XmlElement | undefined): string {
  const part = (name: string, length: number): string =>
    (address?.attributes.get(name) ?? '0').replace(/^0x/, '').padStart(length, '0');
  return address === undefined
    ? ''
    : `${part('domain', 4)}:${part('bus', 2)}:${part('slot', 2)}.${part('function', 1)}`;
}

/** 046d:c31c, or where it is plugged in. */
function usbName(source: XmlElement | undefined): string {
  const id = (name: string): string => (xmlChild(source, name)?.attributes.get('id') ?? '').replace(/^0x/, '');
  const address = xmlChild(source, 'address')?.attributes;
  return id('vendor') === ''
    ? `bus ${address?.get('bus') ?? '?'}, device ${address?.get('device') ?? '?'}`
    : `${id('vendor')}:${id('product')}`;
}

const kibOf: Readonly<Record<string, number>> = { KiB: 1, M: 1_024, MiB: 1_024, G: 1_048_576, GiB: 1_048_576 };

function hugePagesOf(root: XmlElement): GuestHardware['hugePages'] {
  const element = xmlAt(root, 'memoryBacking', 'hugepages');
  if (element === undefined) return undefined;
  const pages = element.children.filter(({ name }) => name === 'page');
  if (pages.length === 0) return [{}];
  return pages.map(({ attributes }) => {
    const sizeKiB = Number(attributes.get('size')) * (kibOf[attributes.get('unit') ?? 'KiB'] ?? Number.NaN);
    return {
      ...(Number.isFinite(sizeKiB) && sizeKiB > 0 ? { sizeKiB } : {}),
      ...(attributes.has('nodeset') ? { part: true as const } : {}),
    };
  });
}

const textsOf = (texts: readonly (string | undefined)[]): readonly string[] =>
  [...new Set(texts.filter((text) => text !== undefined && text !== ''))] as readonly string[];

const cpuSetsOf = (root: XmlElement): readonly string[] =>
  textsOf([
    xmlChild(root, 'vcpu')?.attributes.get('cpuset'),
    ...(xmlChild(root, 'cputune')?.children ?? []).map(({ attributes }) => attributes.get('cpuset')),
  ]);

const nodeSetsOf = (root: XmlElement): readonly string[] =>
  textsOf((xmlChild(root, 'numatune')?.children ?? []).map(({ attributes }) => attributes.get('nodeset')));

/** Where `<memory>` binds all of it, and no node of the guest is bound less strictly. */
function strictNodesOf(root: XmlElement): readonly string[] {
  const bindings = (xmlChild(root, 'numatune')?.children ?? []).filter(({ attributes }) => attributes.has('nodeset'));
  const isStrict = ({ attributes }: XmlElement): boolean =>
    ['strict', 'restrictive'].includes(attributes.get('mode') ?? 'strict');
  return bindings.some(({ name }) => name === 'memory') && bindings.every(isStrict)
    ? textsOf(bindings.map(({ attributes }) => attributes.get('nodeset')))
    : [];
}

function tscOf(root: XmlElement): number | undefined {
  const timer = (xmlChild(root, 'clock')?.children ?? []).find(
    ({ name, attributes }) => name === 'timer' && attributes.get('name') === 'tsc',
  );
  const hz = Number(timer?.attributes.get('frequency'));
  return hz > 0 ? hz : undefined;
}

const hasVirtioVideo = (root: XmlElement): boolean =>
  devicesOf(root).some((device) => device.name === 'video' && typeOf(xmlChild(device, 'model')) === 'virtio');
