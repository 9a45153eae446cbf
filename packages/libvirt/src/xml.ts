// Reads the XML that libvirt writes, and changes it in place. The text stays the truth: an element is a place in it, an
// edit replaces a stretch of it, and what no edit touches is the same byte for byte. Hostile input is expected: the
// work is linear in the length, and length, depth, the number of parts and of attributes of one element are capped; a
// document type is refused, so no entity beyond the five of XML and numeric ones exists. It does not validate, and
// builds no text of its own.

export class XmlError extends Error {
  override readonly name = 'XmlError';
}

/** An element as a place in the text that it was read from. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Text directly in the element, trimmed. */
  readonly text: string;
  /**
   * Where it is: from its `<`, after the `>` of its opening tag, from the `<` of its closing tag (the end when there
   * is none), after its end.
   */
  readonly span: {
    readonly start: number;
    readonly openEnd: number;
    readonly closeStart: number;
    readonly end: number;
  };
}

/** The longest text that libvirt's protocol carries. */
const maxLength = 4 * 1024 * 1024;
/** That of libxml2, by which libvirt reads: what it takes, metadata of anybody's included, can be read here too. */
const maxDepth = 256;
/**
 * Elements, attributes, comments and the like. The capabilities of a host with a thousand processors have some twenty
 * thousand.
 */
const maxParts = 65_536;
const maxReferences = 32_768;
/** libvirt's own have about ten. */
const maxAttributes = 256;
const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function unescape(text: string): string {
  if (!text.includes('&')) return text;
  // an & that starts no reference is not XML
  return text.replace(
    /&(?:#x([0-9a-fA-F]{1,6});|#([0-9]{1,7});|(\w+);)?/g,
    (whole, hex: string | undefined, decimal: string | undefined, name: string | undefined) => {
      const value =
        name === undefined ? characterOf(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)) : named[name];
      if (value === undefined) throw new XmlError(`unknown entity ${whole}`);
      return value;
    },
  );
}

/** Undefined for what is no character: beyond Unicode, or half of one. */
function characterOf(code: number): string | undefined {
  return Number.isNaN(code) || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)
    ? undefined
    : String.fromCodePoint(code);
}

const escapes: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(named).map(([name, character]) => [character, `&${name};`]),
);

/** Text, escaped for an attribute or between tags. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>'"\n\t\r]/g, (each) => escapes[each] ?? `&#${each.codePointAt(0) ?? 0};`);

/** One attribute: where its name begins, and its value without the quotes. */
interface AttributeSpan {
  readonly name: string;
  readonly nameStart: number;
  readonly from: number;
  readonly to: number;
}

/** Attributes and text are decoded when they are asked for: most of a definition never is. */
class Element implements XmlElement {
  readonly children: Element[] = [];
  readonly span: { readonly start: number; readonly openEnd: number; closeStart: number; end: number };
  readonly name: string;
  readonly source: string;
  readonly written: readonly AttributeSpan[];
  #attributes: ReadonlyMap<string, string> | undefined;

  constructor(source: string, name: string, start: number, openEnd: number, written: readonly AttributeSpan[]) {
    this.source = source;
    this.name = name;
    this.written = written;
    this.span = { start, openEnd, closeStart: openEnd, end: openEnd };
  }

  get attributes(): ReadonlyMap<string, string> {
    this.#attributes ??= new Map(
      this.written.map(({ name, from, to }) => [name, unescape(this.source.slice(from, to))]),
    );
    return this.#attributes;
  }

  get text(): string {
    const { source, span } = this;
    let text = '';
    let at = span.openEnd;
    for (const end of [...this.children.map((child) => child.span), { start: span.closeStart, end: span.closeStart }]) {
      text += plainText(source.slice(at, end.start));
      at = end.end;
    }
    return text.trim();
  }
}

/** Text between two elements, its comments and processing instructions left out. */
const plainText = (text: string): string =>
  text.includes('<')
    ? text.replace(
        /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|([^<]+)/g,
        (_, cdata: string | undefined, plain: string | undefined) => cdata ?? unescape(plain ?? ''),
      )
    : unescape(text);

const nameAt = /[A-Za-z_:][\w.:-]*/y;
const attributeAt = /\s+([A-Za-z_:][\w.:-]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;
const tagEndAt = /\s*(\/?)>/y;
const closeAt = /<\/([A-Za-z_:][\w.:-]*)\s*>/y;

const matchAt = (pattern: RegExp, source: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at;
  return pattern.exec(source);
};

/** The root element. Throws XmlError for what is not well-formed, too large or too deep. */
export function parseXml(source: string): XmlElement {
  if (source.length > maxLength) throw new XmlError('the document is too large');
  for (let [at, count] = [source.indexOf('&'), 1]; at >= 0; at = source.indexOf('&', at + 1), count += 1) {
    if (count > maxReferences) throw new XmlError('the document has too many references');
  }
  const stack: Element[] = [];
  let root: Element | undefined;
  let parts = 0;
  const fail = (at: number, why = 'not well-formed'): never => {
    throw new XmlError(`${why} at character ${at}`);
  };
  const skip = (at: number, end: string): number => {
    const found = source.indexOf(end, at);
    return found < 0 ? fail(at) : found + end.length;
  };
  const text = (from: number, to: number): void => {
    const piece = source.slice(from, to);
    if (stack.length === 0 && piece.trim() !== '') fail(from, 'text outside of the root element');
    // distinguished here, not at each access
    if (piece.includes('&')) unescape(piece);
  };
  for (let at = 0; at < source.length;) {
    const open = source.indexOf('<', at);
    if (open < 0) {
      text(at, source.length);
      break;
    }
    if (open > at) text(at, open);
    if ((parts += 1) > maxParts) fail(open, 'too many elements');
    const next = source.charCodeAt(open + 1);
    if (next === 33 /* ! */) {
      if (source.startsWith('<!--', open)) at = skip(open + 4, '-->');
      else if (stack.length > 0 && source.startsWith('<![CDATA[', open)) at = skip(open + 9, ']]>');
      else fail(open);
    } else if (next === 63 /* ? */) at = skip(open + 2, '?>');
    else if (next === 47 /* / */) {
      const match = matchAt(closeAt, source, open);
      const top = stack.pop();
      if (match === null || top === undefined || top.name !== match[1]) return fail(open, 'unexpected closing tag');
      at = closeAt.lastIndex;
      top.span.closeStart = open;
      top.span.end = at;
    } else {
      const [name] = matchAt(nameAt, source, open + 1) ?? fail(open);
      at = nameAt.lastIndex;
      const written: AttributeSpan[] = [];
      const names = new Set<string>();
      for (let match = matchAt(attributeAt, source, at); match !== null; match = matchAt(attributeAt, source, at)) {
        const [whole, attribute = '', double, single] = match;
        const value = double ?? single ?? '';
        if (value.includes('&')) unescape(value);
        if (names.size === maxAttributes || (parts += 1) > maxParts) fail(at, 'too many attributes');
        if (names.size === names.add(attribute).size) fail(at, `the attribute ${attribute.slice(0, 80)} stands twice`);
        const end = attributeAt.lastIndex;
        written.push({
          name: attribute,
          nameStart: at + whole.search(/\S/),
          from: end - 1 - value.length,
          to: end - 1,
        });
        at = end;
      }
      const [, selfClosing] = matchAt(tagEndAt, source, at) ?? fail(at);
      at = tagEndAt.lastIndex;
      const element = new Element(source, name, open, at, written);
      const parent = stack.at(-1);
      if (parent !== undefined) parent.children.push(element);
      else if (root === undefined) root = element;
      else fail(open, 'a second root element');
      if (selfClosing === '' && stack.push(element) > maxDepth) fail(open, 'elements are nested too deeply');
    }
  }
  if (stack.length > 0 || root === undefined) throw new XmlError('not one complete root element');
  return root;
}

export const xmlChild = (element: XmlElement | undefined, name: string): XmlElement | undefined =>
  element?.children.find((each) => each.name === name);
/** Follows a path of child names, e.g. `xmlAt(root, 'host', 'cpu', 'arch')`. */
export const xmlAt = (element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined =>
  path.reduce<XmlElement | undefined>((at, name) => xmlChild(at, name), element);

// --- Edits -------------------------------------------------------------------------------------------------------

/** Replaces a stretch of the text that an element was read from. */
export interface XmlEdit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** Gives the attribute this value; one that is not there comes last. */
export function withAttribute(element: XmlElement, name: string, value: string): XmlEdit {
  const { written, span } = own(element);
  const there = written.find((each) => each.name === name);
  if (there !== undefined) return { from: there.from, to: there.to, text: escapeXml(value) };
  const at = written.at(-1)?.to;
  const after = at === undefined ? span.start + 1 + element.name.length : at + 1;
  return { from: after, to: after, text: ` ${name}='${escapeXml(value)}'` };
}

/** Takes the attribute away, with the blanks before it; nothing when it is not there. */
export function withoutAttribute(element: XmlElement, name: string): readonly XmlEdit[] {
  const { written, source } = own(element);
  const there = written.find((each) => each.name === name);
  if (there === undefined) return [];
  let from = there.nameStart;
  while (/\s/.test(source[from - 1] ?? '')) from -= 1;
  return [{ from, to: there.to + 1, text: '' }];
}

/** Removes the element, with its line if nothing else is on it. */
export function withoutElement(element: XmlElement): XmlEdit {
  const { source, span } = own(element);
  const before = /\n[ \t]*$/.exec(source.slice(Math.max(0, span.start - 200), span.start));
  return { from: span.start - (before?.[0].length ?? 0), to: span.end, text: '' };
}

/** Puts `text` in the place of all that is in the element; it must not be one without a closing tag. */
export function withText(element: XmlElement, text: string): XmlEdit {
  const { openEnd, closeStart, end } = element.span;
  if (openEnd === end) throw new XmlError(`<${element.name}/> has no inside`);
  return { from: openEnd, to: closeStart, text: escapeXml(text) };
}

/** The text with all edits, which must not overlap. */
export function editXml(source: string, edits: readonly XmlEdit[]): string {
  let [result, at] = ['', 0];
  for (const { from, to, text } of [...edits].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from < at || to < from || to > source.length) throw new XmlError(`edits overlap at character ${from}`);
    result += source.slice(at, from) + text;
    at = to;
  }
  return result + source.slice(at);
}

const own = (element: XmlElement): Element => {
  if (element instanceof Element) return element;
  throw new XmlError('the element was not read from a text');
};
