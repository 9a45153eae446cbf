import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noFacts } from './check-input.ts';
import { stateOf } from './state-travel.ts';

const none = { shared: new Set<string>(), replaces: [] };
const facts = {
  ...noFacts,
  statePlaces: [
    { path: '/nvram/now', what: 'nvram' as const },
    { path: '/nvram/later', what: 'nvram' as const, when: 'next-start' as const },
  ],
  stateFiles: ['/nvram/later'],
};

test('variables that only the next start of a running guest has travel as a file; its own libvirt writes', () => {
  assert.deepEqual(stateOf(facts, 'guest', none), { stateFiles: ['/nvram/later'], guestFiles: ['/nvram/now'] });
  assert.deepEqual(stateOf(facts, 'guest', { ...none, shared: new Set(['/nvram/later']) }), {
    guestFiles: ['/nvram/now'],
  });
  assert.deepEqual(
    stateOf({ ...facts, stateFiles: [] }, 'guest', none),
    { guestFiles: ['/nvram/now'] },
    'its first start has not made them',
  );
  const stale = { path: '/nvram/later', what: 'nvram' as const };
  assert.deepEqual(stateOf(facts, 'guest', { ...none, replaces: [stale] }).replaces, [stale]);
  assert.deepEqual(stateOf(facts, 'definition', none), {});
});
