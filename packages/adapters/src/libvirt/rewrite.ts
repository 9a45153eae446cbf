/**
 * What a definition names, and the same definition with other names: every byte that is not named in the plan stays.
 * Pure.
 */
import {
  tidyPath,
  type BackingImage,
  type DefinitionNeeds,
  type DefinitionPlan,
  type OwnDefinition,
} from '@ferry/core';
import {
  editXml,
  escapeXml,
  parseXml,
  withAttribute,
  withoutAttribute,
  withoutElement,
  xmlAt,
  xmlChild,
  type XmlEdit,
  type XmlElement,
} from '@ferry/libvirt';
import { pathsOf, tiesOf } from './host-ties.ts';

const devicesOf = (root: XmlElement): readonly XmlElement[] => xmlChild(root, 'devices')?.children ?? [];
const typeOf = (device: XmlElement): string => device.attributes.get('type') ?? '';

/** What a network card names of its host. A running guest's card in a network shows the bridge behind it, too. */
function cardSource(
  card: XmlElement,
): { readonly source: XmlElement; readonly attribute: 'network' | 'bridge'; readonly name: string } | undefined {
  const source = xmlChild(card, 'source');
  const attribute = source?.attributes.has('network') === true ? 'network' : 'bridge';
  const name = source?.attributes.get(attribute);
  return source === undefined || name === undefined ? undefined : { source, attribute, name };
}

export function needsOf(root: XmlElement): DefinitionNeeds {
  const cards = devicesOf(root).filter(({ name }) => name === 'interface');
  const sources = cards.flatMap((card) => cardSource(card) ?? []);
  return {
    networks: unique(sources.map(({ attribute, name }) => (attribute === 'network' ? name : undefined))),
    bridges: unique(sources.map(({ attribute, name }) => (attribute === 'bridge' ? name : undefined))),
    filters: unique(cards.map((card) => xmlChild(card, 'filterref')?.attributes.get('filter'))),
    secrets: unique(devicesOf(root).flatMap(secretsIn)),
    paths: pathsOf(root),
    ties: tiesOf(root),
    machines: [machineOf(root)],
    mtus: new Map(
      cards.flatMap((card): readonly (readonly [string, number])[] => {
        const size = Number(xmlChild(card, 'mtu')?.attributes.get('size'));
        const name = cardSource(card)?.name;
        return name === undefined || !(size > 0) ? [] : [[name, size]];
      }),
    ),
  };
}

function machineOf(root: XmlElement): DefinitionNeeds['machines'][number] {
  const type = xmlAt(root, 'os', 'type')?.attributes;
  const emulator = devicesOf(root).find(({ name }) => name === 'emulator')?.text;
  return {
    type: typeOf(root),
    arch: type?.get('arch') ?? '',
    machine: type?.get('machine') ?? '',
    ...(emulator === undefined ? {} : { emulator }),
  };
}

/** Secrets of disks (authentication, encryption), and of an encrypted TPM. */
function secretsIn(element: XmlElement): readonly (string | undefined)[] {
  const { attributes, name, children } = element;
  const uuid =
    name === 'secret' ? attributes.get('uuid') : name === 'encryption' ? attributes.get('secret') : undefined;
  const usage = name === 'secret' ? attributes.get('usage') : undefined;
  const own =
    uuid === undefined
      ? usage === undefined
        ? undefined
        : `${attributes.get('type') ?? ''}:${usage}`
      : `uuid:${uuid.toLowerCase()}`;
  return [own, ...children.flatMap(secretsIn)];
}

const unique = (names: readonly (string | undefined)[]): readonly string[] =>
  [...new Set(names.filter((name) => name !== undefined && name !== ''))] as readonly string[];

/** Throws XmlError when it is no XML. */
export function rewriteDefinition(xml: string, plan: DefinitionPlan): string {
  const edits = devicesOf(parseXml(xml)).flatMap((device): readonly XmlEdit[] => {
    switch (device.name) {
      case 'interface':
        return cardEdits(device, plan);
      case 'disk':
        return diskEdits(device, plan);
      case 'graphics':
        return plan.graphicsListen === undefined ? [] : graphicsEdits(device, plan.graphicsListen);
      default:
        return [];
    }
  });
  return editXml(xml, edits);
}

function cardEdits(card: XmlElement, { networks = {} }: DefinitionPlan): readonly XmlEdit[] {
  const named = cardSource(card);
  const to = networks[named?.name ?? ''];
  if (named === undefined || to === undefined) return [];
  const { source, attribute } = named;
  // what a running guest's card shows of the old network beside its name
  const stale = attribute === 'network' ? ['portid', 'bridge'].flatMap((name) => withoutAttribute(source, name)) : [];
  return [withAttribute(source, attribute, to), ...stale];
}

function diskEdits(disk: XmlElement, plan: DefinitionPlan): readonly XmlEdit[] {
  const source = xmlChild(disk, 'source');
  if (source === undefined) return [];
  const chain = plan.chains?.[targetOf(disk)];
  return [...sourceEdits(disk, source, plan), ...(chain === undefined ? [] : chainEdits(disk, source, chain))];
}

const targetOf = (disk: XmlElement): string => xmlChild(disk, 'target')?.attributes.get('dev') ?? '';

/** One that names no images, where it need not, stays without a word on them. */
function chainEdits(disk: XmlElement, source: XmlElement, chain: readonly BackingImage[]): readonly XmlEdit[] {
  const named = xmlChild(disk, 'backingStore');
  if (chain.length === 0)
    return xmlChild(named, 'source') === undefined || named === undefined
      ? []
      : [{ from: named.span.start, to: named.span.end, text: '<backingStore/>' }];
  const at = named?.span ?? { start: source.span.end, end: source.span.end };
  return [
    {
      from: at.start,
      to: at.end,
      text: chain.reduceRight((below, image) => `${backingXml(image)}${below}</backingStore>`, '<backingStore/>'),
    },
  ];
}

function backingXml({ path, format = 'raw' }: BackingImage): string {
  const [type, attribute] = path.startsWith('/dev/') ? ['block', 'dev'] : ['file', 'file'];
  return `<backingStore type='${type}'><format type='${escapeXml(format)}'/><source ${attribute}='${escapeXml(path)}'/>`;
}

function sourceEdits(
  disk: XmlElement,
  source: XmlElement,
  { disks = {}, pools = {}, volumePools = {} }: DefinitionPlan,
): readonly XmlEdit[] {
  const pool = volumePools[targetOf(disk)] ?? pools[source.attributes.get('pool') ?? ''];
  if (typeOf(disk) === 'volume') return pool === undefined ? [] : [withAttribute(source, 'pool', pool)];
  const to = disks[targetOf(disk)];
  if (to === undefined) return [];
  if (to === null) return [withoutElement(source)];
  return [withAttribute(source, typeOf(disk) === 'block' ? 'dev' : 'file', to)];
}

function graphicsEdits(graphics: XmlElement, address: string): readonly XmlEdit[] {
  const listens = graphics.children.filter(
    ({ name, attributes }) => name === 'listen' && attributes.get('type') === 'address',
  );
  // without a network address of its own, as with a socket or none, there is nothing to change
  if (graphics.children.some(({ name }) => name === 'listen') && listens.length === 0) return [];
  return [
    withAttribute(graphics, 'listen', address),
    ...listens.map((listen) => withAttribute(listen, 'address', address)),
  ];
}

/** Throws XmlError when it is no XML. */
export function identityOfDefinition(xml: string): OwnDefinition {
  const root = parseXml(xml);
  const disks = devicesOf(root).filter(({ name }) => name === 'disk');
  return {
    uuid: xmlAt(root, 'uuid')?.text.toLowerCase() ?? '',
    name: xmlAt(root, 'name')?.text ?? '',
    needs: needsOf(root),
    disks: Object.fromEntries(
      disks.flatMap((disk) => {
        const source = xmlChild(disk, 'source')?.attributes;
        const file = source?.get('file');
        const at =
          (file === undefined ? undefined : tidyPath(file)) ??
          source?.get('dev') ??
          (source?.has('pool') === true
            ? `${source.get('pool')}/${source.get('volume') ?? ''}`
            : source?.get('protocol'));
        return at === undefined ? [] : [[xmlChild(disk, 'target')?.attributes.get('dev') ?? '', at]];
      }),
    ),
  };
}
