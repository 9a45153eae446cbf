import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, presets } from '@ferry/core';
import { openClusters as open } from './clusters.ts';
import { silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';

const policies = { find: () => presets.get('default') ?? assert.fail('no default policy'), use: async () => [] };
const following = { clock: { sleep: async () => {} }, log: silentLog, signal: new AbortController().signal };

test('whoever changes a cluster at the same moment as others loses nothing of theirs', async () => {
  const { intents } = memoryStores();
  // two control planes would not share a cache either
  const [one, other] = [await open(intents, policies, following), await open(intents, policies, following)];
  const names = Array.from({ length: 100 }, (_, n) => `net${n}`);
  await Promise.all(
    names.map((name, n) =>
      (n % 2 === 0 ? one : other).change('racks', (before) => ({
        ...before,
        map: { ...before.map, networks: { ...before.map?.networks, [name]: 'br0' } },
      })),
    ),
  );
  const kept = (await open(intents, policies, following)).all([]).get('racks');
  assert.deepEqual(Object.keys(kept?.map?.networks ?? {}).sort(), names.sort());
});

test('a change that is not valid leaves the cluster as it was', async () => {
  const { intents } = memoryStores();
  const clusters = await open(intents, policies, following);
  await clusters.change('racks', (before) => ({ ...before, tls: true }));
  for (const wrong of [{ migrationNetwork: 'nonsense' }, { migrationPorts: { first: 2_000, last: 1_999 } }]) {
    await assert.rejects(
      clusters.change('racks', (before) => ({ ...before, ...wrong })),
      (error) => error instanceof FerryError && error.code === 'request-invalid',
    );
  }
  assert.deepEqual(clusters.all([]).get('racks'), { name: 'racks', tls: true });
});
