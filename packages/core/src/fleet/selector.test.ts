import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FerryError } from '../model/errors.ts';
import { matchesName, matchesSelector, parseSelector } from './selector.ts';

const vms = {
  db: ['tier=db', 'zone=a'],
  web: ['tier=web', 'zone=b', 'zone=c'],
  plain: [],
  odd: ['tier=', 'example.com/owner=me'],
};
const selected = (text: string): string =>
  Object.entries(vms)
    .filter(([, labels]) => matchesSelector(parseSelector(text), labels))
    .map(([name]) => name)
    .join(' ');

test('a selector is read as kubectl reads it', () => {
  const cases: Record<string, string> = {
    'tier=db': 'db',
    'tier==db': 'db',
    'tier = db': 'db',
    'tier!=db': 'web plain odd',
    tier: 'db web odd',
    '!tier': 'plain',
    '! tier': 'plain',
    'tier in (db,web)': 'db web',
    'tier in ( db , web )': 'db web',
    'tier notin (db, web)': 'plain odd',
    'zone in (a,c),tier!=db': 'web',
    'zone=b,zone=c': 'web',
    'tier=': 'odd',
    'example.com/owner': 'odd',
    'tier,!zone': 'odd',
  };
  for (const [text, names] of Object.entries(cases)) assert.equal(selected(text), names, text);
});

test('what does not parse is refused in one sentence that names the place', () => {
  const cases: Record<string, RegExp> = {
    '': /^The selector "" lacks a requirement before or after a comma\.$/,
    'tier=db,': /lacks a requirement/,
    'tier=a=b': /^The selector "tier=a=b" is not understood at "tier=a=b"\.$/,
    'zone,tier in db': /is not understood at "tier in db"\.$/,
    'tier in (db': /not understood/,
    'tier in (db))': /not understood/,
    'tier in (d b)': /not understood at "tier in \(d b\)"/,
    '!tier=db': /not understood/,
    '=db': /not understood/,
    'tier > 3': /not understood/,
  };
  for (const [text, sentence] of Object.entries(cases))
    assert.throws(
      () => parseSelector(text),
      (error) => error instanceof FerryError && error.code === 'selector-invalid' && sentence.test(error.message),
      text,
    );
});

test('property: any text is a selector or is refused as one', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'b', '=', '!', ',', '(', ')', ' ', 'in') }), (text) => {
      try {
        parseSelector(text);
      } catch (error) {
        assert.ok(error instanceof FerryError && error.code === 'selector-invalid');
      }
    }),
  );
});

test('property: a pattern of names matches what a regular expression would', () => {
  const letters = (most: number) => fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: most });
  fc.assert(
    fc.property(letters(5), letters(8), (pattern, name) => {
      const expression = pattern.replaceAll('.', '\\.').replaceAll('*', '.*');
      assert.equal(matchesName(pattern, name), new RegExp(`^${expression}$`).test(name));
    }),
  );
});
