import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linksOf, mtuWarnings, noNeeds } from './definition.ts';

test('a network with a smaller MTU on the target is reported with both values; not if one is unknown', () => {
  const needs = { ...noNeeds, networks: ['lan', 'wan'], bridges: ['br0'], mtus: new Map([['wan', 9_000]]) };
  const map = { networks: { br0: 'br1' } };
  assert.deepEqual(linksOf(needs, map), ['lan', 'wan', 'br1']);
  const told = (here: [string, number][], there: [string, number][]) =>
    mtuWarnings('web', needs, map, { name: 'h1', mtus: new Map(here) }, { name: 'h2', mtus: new Map(there) }).map(
      ({ message }) => message,
    );
  assert.deepEqual(
    told(
      [
        ['lan', 9_000],
        ['br0', 1_500],
      ],
      [
        ['lan', 1_500],
        ['wan', 1_500],
        ['br1', 1_400],
      ],
    ),
    [
      'The MTU of lan on h2 is 1500, and lan on h1 has one of 9000: larger frames are lost there.',
      "The MTU of wan on h2 is 1500, and web's card on wan has one of 9000: larger frames are lost there.",
      'The MTU of br1 on h2 is 1400, and br0 on h1 has one of 1500: larger frames are lost there.',
    ],
  );
  assert.deepEqual(told([['lan', 1_500]], [['lan', 9_000]]), []);
  assert.deepEqual(told([], [['lan', 1_500]]), []);
  assert.deepEqual(told([['lan', 9_000]], []), []);
});
