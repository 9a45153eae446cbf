// script/bench xml: parse 10,000 domain definitions and change each in two places (the source of its first disk, the
// network of its cards), with Ferry's editor and with the libraries one would take instead. In turns, one after the
// other, on one core. Also: is everything outside of the edit the same byte for byte?
import { DOMParser, XMLSerializer } from '@xmldom/xmldom';
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { XmlDocument, XmlElement } from 'libxml2-wasm';
import { editXml, parseXml, withAttribute, xmlChild } from '@ferry/libvirt';
import { domainXmls } from './domain-xmls.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, pairedRatios, printResult, spread } from './report.ts';

const { values: flags } = optionsOf({ options: usual });
const count = flags.quick ? 1_000 : 10_000;
const rounds = flags.quick ? 3 : 7;
const path = '/srv/new/disk.qcow2';
const network = 'target-net';

type Edit = (xml: string) => string;

const ferry: Edit = (xml) => {
  const devices = xmlChild(parseXml(xml), 'devices')?.children ?? [];
  const source = xmlChild(
    devices.find(({ name }) => name === 'disk'),
    'source',
  );
  const cards = devices
    .filter(({ name }) => name === 'interface')
    .flatMap((card) => xmlChild(card, 'source') ?? [])
    .filter(({ attributes }) => attributes.has('network'));
  return editXml(xml, [
    ...(source === undefined ? [] : [withAttribute(source, 'file', path)]),
    ...cards.map((card) => withAttribute(card, 'network', network)),
  ]);
};

const xmldom: Edit = (xml) => {
  const document = new DOMParser().parseFromString(xml, 'text/xml');
  const devices = document.getElementsByTagName('devices')[0];
  devices?.getElementsByTagName('disk')[0]?.getElementsByTagName('source')[0]?.setAttribute('file', path);
  for (const card of devices?.getElementsByTagName('interface') ?? []) {
    const source = card.getElementsByTagName('source')[0];
    if (source?.hasAttribute('network') === true) source.setAttribute('network', network);
  }
  return new XMLSerializer().serializeToString(document);
};

const libxml2: Edit = (xml) => {
  using document = XmlDocument.fromString(xml);
  const attribute = (of: string, name: string, value: string): void => {
    for (const found of document.find(of)) if (found instanceof XmlElement) found.setAttr(name, value);
  };
  attribute('/domain/devices/disk[1]/source', 'file', path);
  attribute('/domain/devices/interface/source[@network]', 'network', network);
  return document.toString({ format: false });
};

interface Ordered {
  readonly [name: string]: readonly Ordered[] | Readonly<Record<string, string>>;
}
const options = {
  preserveOrder: true,
  ignoreAttributes: false,
  processEntities: false,
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  commentPropName: '#comment',
};
const parser = new XMLParser(options);
const builder = new XMLBuilder({ ...options, suppressEmptyNode: true });
const childrenOf = (
  nodes: readonly Ordered[],
  name: string,
): readonly { readonly node: Ordered; readonly inside: readonly Ordered[] }[] =>
  nodes.flatMap((node) => (Array.isArray(node[name]) ? [{ node, inside: node[name] as readonly Ordered[] }] : []));
const fastXmlParser: Edit = (xml) => {
  const document = parser.parse(xml) as readonly Ordered[];
  const devices = childrenOf(document, 'domain')
    .flatMap(({ inside }) => childrenOf(inside, 'devices'))
    .flatMap(({ inside }) => inside);
  const set = (nodes: readonly Ordered[], name: string, value: string, only: boolean): void => {
    for (const { node } of childrenOf(nodes, 'source')) {
      const attributes = node[':@'] as Record<string, string> | undefined;
      if (attributes !== undefined && (!only || `@_${name}` in attributes)) attributes[`@_${name}`] = value;
    }
  };
  set(childrenOf(devices, 'disk')[0]?.inside ?? [], 'file', path, false);
  for (const { inside } of childrenOf(devices, 'interface')) set(inside, 'network', network, true);
  return builder.build(document);
};

const contenders: Readonly<Record<string, Edit>> = {
  ferry,
  xmldom,
  'libxml2-wasm': libxml2,
  'fast-xml-parser': fastXmlParser,
};
const documents = domainXmls(count);
const bytes = documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** Lines that differ between a text and its edited form; undefined when their number differs. */
function changedLines(before: string, after: string): number | undefined {
  const [a, b] = [before.split('\n'), after.split('\n')];
  return a.length === b.length ? a.filter((line, index) => line !== b[index]).length : undefined;
}
/** Documents in which nothing but the lines that had to change did. */
const exact = Object.fromEntries(
  Object.entries(contenders).map(([name, edit]) => [
    name,
    documents.slice(0, 200).filter((text) => {
      const wanted =
        text.split('\n').filter((line) => /<source network=/.test(line)).length + (/<source file=/.test(text) ? 1 : 0);
      return changedLines(text, edit(text)) === wanted;
    }).length,
  ]),
);

const times: Record<string, number[]> = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, edit] of Object.entries(contenders)) {
    const start = performance.now();
    for (const text of documents) edit(text);
    times[name]?.push(performance.now() - start);
  }
}
const ratios = Object.fromEntries(
  Object.keys(contenders)
    .filter((name) => name !== 'ferry')
    .map((name) => [name, estimate(pairedRatios(times['ferry'] ?? [], times[name] ?? []))]),
);
for (const [name, values] of Object.entries(times)) {
  const { median, p25, p75 } = spread(values);
  process.stdout.write(
    `${name.padEnd(16)} ${median.toFixed(0)} ms (${p25.toFixed(0)} to ${p75.toFixed(0)}), ${exact[name]} ` +
      'of 200 byte-exact outside the edit\n',
  );
}
const result = makeResult(
  'xml',
  {
    documents: count,
    bytes,
    rounds,
    timesMs: Object.fromEntries(Object.entries(times).map(([name, values]) => [name, spread(values)])),
    ratios,
    exactOf200: exact,
  },
  {
    fastest: {
      what: `time against the fastest library, ${count} definitions of ${(bytes / 2 ** 20).toFixed(0)} MiB`,
      value: Math.max(...Object.values(ratios).map(({ median }) => median)),
      atMost: 1,
    },
    exact: { what: 'definitions changed outside of the edit, of 200', value: 200 - (exact['ferry'] ?? 0), atMost: 0 },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
