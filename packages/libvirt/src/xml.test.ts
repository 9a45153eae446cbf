import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseXml, xmlAt, XmlError } from './xml.ts';

test('reads elements, attributes, entities, CDATA and comments', () => {
  const root = parseXml(`<?xml version="1.0"?><!-- x --><domain type='kvm'><name>a &amp; &#65;</name><m:x xmlns:m="u" k='"'/><d><![CDATA[<raw>]]></d></domain>`);
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

test('property: garbage is refused or read, never anything else', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('<', '>', '/', 'a', '"', '=', '&', ';', ' ', '!', '-', '[', ']') }), (text) => {
      try {
        parseXml(text);
      } catch (error) {
        assert.ok(error instanceof XmlError);
      }
    }),
  );
});
