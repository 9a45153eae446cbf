import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasParent, normalPath, tidyPath } from './paths.ts';

test('two spellings of one path are one path; what is no path stays', () => {
  for (const path of ['/a/b', '//a//b/', '/a/./b', '/a/x/../b', '/../a/b'])
    assert.equal(normalPath(path), '/a/b', path);
  assert.equal(normalPath('/'), '/');
  assert.equal(normalPath('nbd:server/x//y'), 'nbd:server/x//y');
  assert.equal(normalPath(''), '');
});

test('what may be another file on another host is left as it is', () => {
  for (const path of ['/a/b', '/a//b', '//a/./b', '/a/b/']) assert.equal(tidyPath(path), '/a/b');
  assert.deepEqual(['/a/../a//b', '/', 'rbd:pool//x'].map(tidyPath), ['/a/../a/b', '/', 'rbd:pool//x']);
  assert.deepEqual(['/a/../b', '/a/..b'].map(hasParent), [true, false]);
});
