import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countingClock } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { createPeers } from './peer-reachability.ts';

test('that a daemon does not reach another is remembered for a pair, in its direction, until it has', async () => {
  using clock = countingClock();
  const peers = createPeers(memoryStores().intents, clock);
  await peers.notReached('h1', 'h2', 'no route');
  await peers.notReached('h2', 'h1', 'no route');
  await peers.reached('h1', 'h2');
  await peers.reached('h1', 'h3');
  assert.deepEqual([(await peers.refusalsOf('h1')).size, (await peers.refusalsOf('h2')).size], [0, 1]);
});
