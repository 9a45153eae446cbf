import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalPath } from './paths.ts';

test('two spellings of one path are one path; what is no path stays', () => {
  for (const path of ['/a/b', '//a//b/', '/a/./b', '/a/x/../b', '/../a/b']) assert.equal(normalPath(path), '/a/b', path);
  assert.equal(normalPath('/'), '/');
  assert.equal(normalPath('nbd:server/x//y'), 'nbd:server/x//y');
  assert.equal(normalPath(''), '');
});
