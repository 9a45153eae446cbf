import assert from 'node:assert/strict';
// eslint-disable-next-line no-restricted-imports -- the page that shows the table
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reasonTable } from './reasons.ts';

test('the page of reasons and the table are in step', () => {
  const page = readFileSync(new URL('../../../../docs/reasons.md', import.meta.url), 'utf8');
  const shown = [...page.matchAll(/^\| `([a-z-]+)` \| (.+) \|$/gm)].map(([, code, meaning]) => `${code}: ${meaning}`);
  const known = Object.entries(reasonTable).map(([code, { meaning }]) => `${code}: ${meaning}`);
  assert.deepEqual(shown, known);
});
