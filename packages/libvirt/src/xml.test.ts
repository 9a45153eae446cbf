import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  editXml,
  parseXml,
  withAttribute,
  withoutAttribute,
  withoutElement,
  withText,
  xmlAt,
  XmlError,
} from './xml.ts';

test('reads elements, attributes, entities, CDATA and comments', () => {
  const root = parseXml(
    `<?xml version="1.0"?><!-- x --><domain type='kvm'><name>a &amp; &#65;</name><m:x xmlns:m="u" k='"'/><d><![CDATA[<raw>]]></d></domain>`,
  );
  assert.equal(root.attributes.get('type'), 'kvm');
  assert.equal(xmlAt(root, 'name')?.text, 'a & A');
  assert.equal(xmlAt(root, 'm:x')?.attributes.get('k'), '"');
  assert.equal(xmlAt(root, 'd')?.text, '<raw>');
});

for (const [what, text] of [
  ['a document type', '<!DOCTYPE x [<!ENTITY a "b">]><x/>'],
  ['an unknown entity', '<x>&a;</x>'],
  ['an unclosed element', '<x><y></x>'],
  ['two roots', '<x/><y/>'],
  ['text outside', '<x/>a'],
  ['nothing', ''],
  ['a bare ampersand', '<x>a & b</x>'],
  ['a bare ampersand in an attribute', '<x a="a & b"/>'],
  ['an attribute twice', '<x a="1" a="2"/>'],
  ['attributes without a blank between', '<x a="1"b="2"/>'],
  ['half a character', '<x>&#xd800;</x>'],
  ['a number beyond Unicode', '<x>&#x110000;</x>'],
  ['character data outside', '<![CDATA[a]]><x/>'],
  ['an unclosed comment', '<x><!-- </x>'],
  ['too much depth', '<x>'.repeat(500) + '</x>'.repeat(500)],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(() => parseXml(text), XmlError);
  });
}

test('property: any text survives as an attribute and as content', () => {
  const escape = (text: string) => text.replace(/[&<>"']/g, (each) => `&#${each.codePointAt(0)};`);
  fc.assert(
    fc.property(fc.string(), (text) => {
      const root = parseXml(`<x a="${escape(text)}">${escape(text)}</x>`);
      assert.equal(root.attributes.get('a'), text);
      assert.equal(root.text, text.trim());
    }),
  );
});

test('what a host can send is bounded: length, depth, elements, attributes, references', () => {
  const attributes = (count: number): string => Array.from({ length: count }, (_, index) => `a${index}="1"`).join(' ');
  assert.equal(parseXml(`<a ${attributes(256)}/>`).attributes.size, 256);
  assert.throws(() => parseXml(`<a ${attributes(257)}/>`), /too many attributes/);
  // opening and closing tags each count
  assert.equal(parseXml(`<a>${'<b/>'.repeat(65_534)}</a>`).children.length, 65_534);
  for (const part of ['<b/>', '<!---->', '<? ?>', '<![CDATA[]]>'])
    assert.throws(() => parseXml(`<a>${part.repeat(65_535)}</a>`), /too many elements/);
  assert.throws(() => parseXml(`<a>${`<b ${attributes(256)}/>`.repeat(300)}</a>`), /too many (attributes|elements)/);
  assert.throws(() => parseXml(`<a>${'&amp;'.repeat(32_769)}</a>`), /too many references/);
  assert.throws(() => parseXml('<a>'.repeat(257)), /nested too deeply/);
  assert.throws(() => parseXml(`<a>${' '.repeat(4 * 1024 * 1024)}</a>`), /too large/);
});

test('an attribute that stands twice is refused, wherever it stands', () => {
  for (const between of ['', ' c="1" d="2"'])
    assert.throws(() => parseXml(`<a b="1"${between} b='2'/>`), /the attribute b stands twice/);
});

test('property: garbage is refused or read, never anything else', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('<', '>', '/', 'a', '"', '=', '&', ';', ' ', '!', '-', '[', ']') }),
      (text) => {
        try {
          parseXml(text);
        } catch (error) {
          assert.ok(error instanceof XmlError);
        }
      },
    ),
  );
});

const document = `<?xml version="1.0"?>
<!-- kept -->
<domain type='kvm'   id = "1">
  <name>a &amp; b</name>
  <devices>
    <disk type='file'><source file="/a&#x20;b"/><target dev='vda'/></disk>
    <empty/>
  </devices>
</domain>
`;
const edited = (edit: (root: ReturnType<typeof parseXml>) => Parameters<typeof editXml>[1]): string =>
  editXml(document, edit(parseXml(document)));
const at =
  (...path: readonly string[]) =>
  (root: ReturnType<typeof parseXml>) =>
    xmlAt(root, ...path) ?? assert.fail(path.join('/'));

test('an edit changes its stretch and nothing else', () => {
  assert.equal(
    edited(() => []),
    document,
  );
  assert.equal(
    edited((root) => [withAttribute(at('devices', 'disk', 'source')(root), 'file', `/x'&<y>`)]),
    document.replace('/a&#x20;b', '/x&apos;&amp;&lt;y&gt;'),
  );
  assert.equal(
    edited((root) => [withAttribute(root, 'id', '2')]),
    document.replace('id = "1"', 'id = "2"'),
  );
  assert.equal(
    edited((root) => [withAttribute(root, 'new', '2')]),
    document.replace('id = "1"', `id = "1" new='2'`),
  );
  assert.equal(
    edited((root) => [withAttribute(at('devices', 'empty')(root), 'a', '1')]),
    document.replace('<empty/>', `<empty a='1'/>`),
  );
  assert.equal(
    edited((root) => withoutAttribute(root, 'id')),
    document.replace('   id = "1"', ''),
  );
  assert.equal(
    edited((root) => withoutAttribute(root, 'none')),
    document,
  );
  assert.equal(
    edited((root) => [withoutElement(at('devices', 'empty')(root))]),
    document.replace('\n    <empty/>', ''),
  );
  assert.equal(
    edited((root) => [withText(at('name')(root), 'c<d')]),
    document.replace('a &amp; b', 'c&lt;d'),
  );
  assert.throws(() => edited((root) => [withText(at('devices', 'empty')(root), 'x')]), /no inside/);
  assert.throws(
    () => edited((root) => [withoutElement(at('devices')(root)), withoutElement(at('devices', 'disk')(root))]),
    /overlap/,
  );
});

test('property: what an edit writes is what is read afterwards, and the rest reads as before', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (path, name) => {
      const text = editXml(document, [
        withAttribute(at('devices', 'disk', 'source')(parseXml(document)), 'file', path),
        withText(at('name')(parseXml(document)), name),
      ]);
      const root = parseXml(text);
      assert.equal(at('devices', 'disk', 'source')(root).attributes.get('file'), path);
      assert.equal(at('name')(root).text, name.trim());
      assert.equal(at('devices', 'disk', 'target')(root).attributes.get('dev'), 'vda');
    }),
  );
});
