import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareSeen, type SeenFile } from './same-file.ts';

const seen = (changedNs: bigint, sizeBytes = 512): SeenFile => ({ changedNs, sizeBytes });

test('one state seen by both is one file; a copy of the same size is another', () => {
  assert.equal(compareSeen(seen(7n), seen(7n), seen(7n)), 'same');
  assert.equal(compareSeen(seen(7n), seen(8n), seen(7n)), 'again');
  assert.equal(compareSeen(seen(7n), seen(6n), seen(7n)), 'again');
  assert.equal(compareSeen(seen(7n), seen(7n, 1_024), seen(7n)), 'again');
  assert.equal(compareSeen(seen(7n), undefined, seen(7n)), 'again');
});

test('a file that a guest writes to: what the other saw is one of the two states, or lies between them', () => {
  assert.equal(compareSeen(seen(7n), seen(7n), seen(9n)), 'same');
  assert.equal(compareSeen(seen(7n), seen(9n, 1_024), seen(9n, 1_024)), 'same');
  assert.equal(compareSeen(seen(7n), seen(8n), seen(9n)), 'between');
  assert.equal(compareSeen(seen(7n), seen(6n), seen(9n)), 'again', 'what it saw is older: remembered, or another file');
  assert.equal(compareSeen(seen(7n), seen(8n, 99), seen(9n)), 'again', 'no file shrinks and grows like that');
});
