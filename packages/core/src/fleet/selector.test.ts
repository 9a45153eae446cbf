import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FerryError } from '../model/errors.ts';
import { matchesName, matchesSelector, parseSelector, type Requirement, type Selector } from './selector.ts';

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

const few = (...values: readonly string[]) => fc.constantFrom(...values);
const keys = few('a', 'b', 'in', 'notin', 'a.b/c-d', 'A1');
const values = few('', 'x', 'y', 'in', '-', '1.0_b');
const spaces = few('', ' ', '  ');
/** A requirement, and a text that means it. */
const requirements: fc.Arbitrary<readonly [Requirement, string]> = fc.oneof(
  keys.map((key) => [{ key, is: 'exists', values: [] }, key] as const),
  fc.tuple(keys, spaces).map(([key, space]) => [{ key, is: 'absent', values: [] }, `!${space}${key}`] as const),
  fc
    .tuple(keys, values, spaces, few('=', '==', '!='))
    .map(
      ([key, value, space, sign]) =>
        [
          { key, is: sign === '!=' ? 'not-in' : 'in', values: [value] },
          `${key}${space}${sign}${space}${value}`,
        ] as const,
    ),
  fc
    .tuple(keys, fc.array(values, { minLength: 1, maxLength: 3 }), spaces, few('in', 'notin'))
    .map(([key, among, space, word]) => {
      const list = among.map((value) => space + value).join(`${space},`);
      return [
        { key, is: word === 'in' ? 'in' : 'not-in', values: among },
        `${key} ${space}${word}${space}(${list}${space})`,
      ] as const;
    }),
);
const selectors = fc.array(requirements, { minLength: 1, maxLength: 4 });
const textOf = (written: readonly (readonly [Requirement, string])[], space: string): string =>
  written.map(([, text]) => text).join(`${space},${space}`);
/** One text for each selector. */
const printed = (selector: Selector): string =>
  selector
    .map(({ key, is, values: among }) => {
      if (is === 'exists') return key;
      return is === 'absent' ? `!${key}` : `${key} ${is === 'in' ? 'in' : 'notin'} (${among.join(',')})`;
    })
    .join(',');

test('property: a selector is read as it is written, and printed and read again it is the same', () => {
  fc.assert(
    fc.property(selectors, spaces, (written, space) => {
      const selector = parseSelector(textOf(written, space));
      assert.deepEqual(
        selector,
        written.map(([requirement]) => requirement),
      );
      assert.deepEqual(parseSelector(printed(selector)), selector);
    }),
  );
});

test('property: any text is refused as a selector, or printed and read again it is the same', () => {
  fc.assert(
    fc.property(fc.string({ unit: few('a', 'b', '=', '!', ',', '(', ')', ' ', 'in', ' in (') }), (text) => {
      let selector: Selector;
      try {
        selector = parseSelector(text);
      } catch (error) {
        assert.ok(error instanceof FerryError && error.code === 'selector-invalid');
        return;
      }
      assert.deepEqual(parseSelector(printed(selector)), selector);
    }),
    { numRuns: 1_000 },
  );
});

test('property: a selector matches labels as their table of keys and values says', () => {
  const labels = fc.array(fc.tuple(keys, values), { maxLength: 5 });
  fc.assert(
    fc.property(selectors, labels, (written, pairs) => {
      const table = new Map<string, Set<string>>();
      for (const [key, value] of pairs) table.set(key, (table.get(key) ?? new Set()).add(value));
      const holds = ({ key, is, values: among }: Requirement): boolean => {
        const has = [...(table.get(key) ?? [])];
        if (is === 'exists' || is === 'absent') return has.length > 0 === (is === 'exists');
        return has.some((value) => among.includes(value)) === (is === 'in');
      };
      assert.equal(
        matchesSelector(
          parseSelector(textOf(written, '')),
          pairs.map(([key, value]) => `${key}=${value}`),
        ),
        written.every(([requirement]) => holds(requirement)),
      );
    }),
    { numRuns: 500 },
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
