/**
 * Two definitions compared by what they say, not by how it is written: a definition becomes the set of its statements.
 * What libvirt gives a domain only while it runs (ids, aliases, names of taps, ports) is no statement; neither is
 * Ferry's own mark, nor which of several spellings of one path it is.
 */
import { normalize } from 'node:path/posix';
import { parseXml, xmlAt, type XmlElement } from '@ferry/libvirt';

export interface DefinedDisk {
  readonly target: string;
  readonly device: string;
  readonly type: string;
  /** As the definition writes it; a pool's volume as `pool/volume`. Absent for an empty drive. */
  readonly source?: string;
  readonly format: string;
  readonly readonly: boolean;
  readonly encrypted: boolean;
  /**
   * The rest of the chain as the definition has it, undefined where it leaves the chain to the images; it ends with
   * `end` where the definition says that there is nothing more.
   */
  readonly chain?: readonly ({ readonly source: string; readonly format: string } | 'end')[];
}

const given = new Set(['alias', 'seclabel', 'privateData', 'mirror']);
const ofRun: Readonly<Record<string, readonly string[]>> = {
  domain: ['id'],
  source: ['index', 'portid', 'mode'],
  backingStore: ['index'],
  console: ['tty'],
  graphics: ['port'],
  'interface/target': ['dev'],
  parameters: ['interfaceid'],
};

/** What the definition says, one statement each. */
export function statementsOf(xml: string): readonly string[] {
  const said: string[] = [];
  const walk = (element: XmlElement, path: string): void => {
    if (given.has(element.name) || element.name === 'ferry:migration') return;
    const drop = [
      ...(ofRun[element.name] ?? []),
      ...(ofRun[
        path
          .replaceAll(/\[[^\]]*\]/g, '')
          .split('/')
          .slice(-2)
          .join('/')
      ] ?? []),
    ];
    const attributes = [...element.attributes]
      .filter(([name]) => !name.startsWith('xmlns') && !drop.includes(name))
      .map(([name, value]) => `${name}=${name === 'file' ? normalize(value) : value}`)
      .toSorted();
    const inside = element.children.filter(({ name }) => !given.has(name) && name !== 'ferry:migration');
    // an empty element says nothing but that it is there
    if (element.name === 'metadata' && inside.length === 0) return;
    const own = `${path}${attributes.length === 0 ? '' : ` ${attributes.join(' ')}`}${element.text === '' ? '' : ` "${element.text}"`}`;
    const key = keyOf(element);
    said.push(own);
    for (const child of inside) walk(child, `${path}${key}/${child.name}`);
  };
  const root = parseXml(xml);
  walk(root, root.name);
  return said.toSorted();
}

/** Tells devices of one kind apart. */
function keyOf(element: XmlElement): string {
  const by =
    element.name === 'disk'
      ? xmlAt(element, 'target')?.attributes.get('dev')
      : element.name === 'interface'
        ? xmlAt(element, 'mac')?.attributes.get('address')
        : undefined;
  return by === undefined ? '' : `[${by}]`;
}

/** What only one of both says: `- ` the first, `+ ` the second. */
export function differencesOf(before: string, after: string): readonly string[] {
  const left = statementsOf(before);
  const right = [...statementsOf(after)];
  const only: string[] = [];
  for (const each of left) {
    const at = right.indexOf(each);
    if (at < 0) only.push(`- ${each}`);
    else right.splice(at, 1);
  }
  return [...only, ...right.map((each) => `+ ${each}`)];
}

export function disksOf(xml: string): readonly DefinedDisk[] {
  return (xmlAt(parseXml(xml), 'devices')?.children ?? [])
    .filter(({ name }) => name === 'disk')
    .map((disk) => {
      const source = sourceOf(disk);
      const chain = chainOf(disk);
      return {
        target: xmlAt(disk, 'target')?.attributes.get('dev') ?? '',
        device: disk.attributes.get('device') ?? 'disk',
        type: disk.attributes.get('type') ?? 'file',
        format: xmlAt(disk, 'driver')?.attributes.get('type') ?? 'raw',
        readonly: xmlAt(disk, 'readonly') !== undefined,
        encrypted: (xmlAt(disk, 'encryption') ?? xmlAt(disk, 'source', 'encryption')) !== undefined,
        ...(source === undefined ? {} : { source }),
        ...(chain === undefined ? {} : { chain }),
      };
    });
}

function sourceOf(element: XmlElement): string | undefined {
  const attributes = xmlAt(element, 'source')?.attributes;
  if (attributes === undefined) return undefined;
  const volume = attributes.get('volume');
  return volume === undefined
    ? (attributes.get('file') ?? attributes.get('dev') ?? attributes.get('name'))
    : `${attributes.get('pool') ?? ''}/${volume}`;
}

function chainOf(element: XmlElement): DefinedDisk['chain'] {
  const links: ({ readonly source: string; readonly format: string } | 'end')[] = [];
  for (let next = xmlAt(element, 'backingStore'); next !== undefined; next = xmlAt(next, 'backingStore')) {
    const source = sourceOf(next);
    if (source === undefined) {
      links.push('end');
      break;
    }
    links.push({ source, format: xmlAt(next, 'format')?.attributes.get('type') ?? 'raw' });
  }
  return links.length === 0 ? undefined : links;
}
