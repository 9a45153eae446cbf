/** Hosts are asked each for itself: what one does not answer hides nothing of the others. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { Engine } from '../facade.ts';
import type { FakeHost } from '../fake/fleet.ts';
import { threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';
import { createPeers } from './peer-reachability.ts';

let clock: ThreeHosts['clock'];
let fleet: ThreeHosts['fleet'];
let stores: ThreeHosts['stores'];
let engine: Engine;
beforeEach(async () => {
  ({ clock, fleet, stores, engine } = await threeHosts());
});
afterEach(async () => {
  await engine.close();
  clock[Symbol.dispose]();
});
const host = (name: string): FakeHost => fleet.hosts.get(name) ?? assert.fail(name);
const found = async (refs?: readonly string[]) => {
  const { hosts, findings } = await engine.examineHosts(refs, AbortSignal.timeout(20_000));
  return {
    hosts,
    codes: findings.filter(({ verdict }) => verdict !== 'note').map((each) => `${each.code} ${each.host ?? ''}`),
  };
};

test('hosts that are well have nothing to mend, and nothing is left on them', async () => {
  const files = () => ['h1', 'h2', 'h3'].flatMap((name) => [...host(name).volumes.keys()]);
  const before = files();
  assert.deepEqual(await found(), { hosts: ['h1', 'h2', 'h3'], codes: [] });
  assert.deepEqual(files(), before);
});

test('only the hosts that are named, each once; a name that is none is refused', async () => {
  assert.deepEqual((await found(['h2', 'h2'])).hosts, ['h2']);
  await assert.rejects(found(['h9']), /no host "h9"/);
});

test('a crowded daemon, one that says nothing, and one that is away are told; the others are examined', async () => {
  host('h1').crowded = true;
  assert.deepEqual((await found()).codes, ['host-connections h1']);
  host('h1').crowded = false;
  host('h2').hangs = true;
  const { codes } = await found();
  assert.ok(codes.length > 0 && codes.every((each) => each.endsWith(' h2')), codes.join());
  host('h2').hangs = false;
  fleet.lose('h3');
  for (let turn = 0; turn < 1_000 && engine.host('h3').state === 'connected'; turn += 1) await clock.sleep(10);
  assert.deepEqual((await found()).codes, ['host-away h3']);
});

test('a daemon that was seen not to reach another one is told of this pair', async () => {
  const [from, to] = [engine.host('h1').host.id, engine.host('h2').host.id];
  await createPeers(stores.intents, clock).notReached(from, to, 'no route to host');
  assert.deepEqual((await found()).codes, ['pair-not-reached h1']);
  assert.deepEqual((await found(['h1', 'h3'])).codes, [], 'h2 is not examined');
});
