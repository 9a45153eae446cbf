// A small reader of the XML that libvirt writes: elements, attributes, text. Hostile input is expected: size and depth are
// capped, a document type is refused, so no entity beyond the five of XML and numeric ones exists. It does not write:
// a definition is never rebuilt from this tree.

export class XmlError extends Error {
  override readonly name = 'XmlError';
}

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Text directly in the element, trimmed. */
  readonly text: string;
}

const maxLength = 16 * 1024 * 1024;
const maxDepth = 128;
// One token: comment, CDATA, processing instruction, closing tag, opening tag, or text.
const token = /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>|<\/([\w.:-]+)\s*>|<([\w.:-]+)((?:\s+[\w.:-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy;
const attribute = /([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescape(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(\w+));/g, (whole, hex: string | undefined, decimal: string | undefined, name: string | undefined) => {
    if (name !== undefined) {
      const value = named[name];
      if (value === undefined) throw new XmlError(`unknown entity ${whole}`);
      return value;
    }
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    if (code > 0x10ffff) throw new XmlError(`no such character ${whole}`);
    return String.fromCodePoint(code);
  });
}

interface Open {
  readonly name: string;
  readonly attributes: Map<string, string>;
  readonly children: XmlElement[];
  text: string;
}

/** The root element. Throws XmlError for what is not well-formed, too large or too deep. */
export function parseXml(source: string): XmlElement {
  if (source.length > maxLength) throw new XmlError('the document is too large');
  const document: Open = { name: '', attributes: new Map(), children: [], text: '' };
  const stack: Open[] = [document];
  token.lastIndex = 0;
  while (token.lastIndex < source.length) {
    const at = token.lastIndex;
    const match = token.exec(source);
    const top = stack.at(-1);
    if (match === null || top === undefined) throw new XmlError(`not well-formed at character ${at}`);
    const [, cdata, closing, opening, attributes, selfClosing, text] = match;
    if (cdata !== undefined) top.text += cdata;
    else if (text !== undefined) top.text += unescape(text);
    else if (closing !== undefined) {
      if (top.name !== closing || stack.length === 1) throw new XmlError(`unexpected </${closing}> at character ${at}`);
      stack.pop();
      stack.at(-1)?.children.push({ ...top, text: top.text.trim() });
    } else if (opening !== undefined) {
      const map = new Map<string, string>();
      for (const [, key = '', double, single] of (attributes ?? '').matchAll(attribute)) map.set(key, unescape(double ?? single ?? ''));
      const element: Open = { name: opening, attributes: map, children: [], text: '' };
      if (selfClosing === '/') top.children.push(element);
      else if (stack.push(element) > maxDepth) throw new XmlError('elements are nested too deeply');
    }
  }
  const [root, ...others] = document.children;
  if (stack.length !== 1 || root === undefined || others.length > 0 || document.text.trim() !== '') throw new XmlError('not one complete root element');
  return root;
}

export const xmlChild = (element: XmlElement | undefined, name: string): XmlElement | undefined => element?.children.find((each) => each.name === name);
/** Follows a path of child names, e.g. `xmlAt(root, 'host', 'cpu', 'arch')`. */
export const xmlAt = (element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined =>
  path.reduce<XmlElement | undefined>((at, name) => xmlChild(at, name), element);
