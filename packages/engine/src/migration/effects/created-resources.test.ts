import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Planned, ResourceRef } from '@ferry/core';
import { createdResources } from './created-resources.ts';
import { memoryStores } from '../../fake/stores.ts';
import type { HostLink } from '../../ports/ports.ts';

const signal = AbortSignal.timeout(10_000);
const network = (name: string): ResourceRef => ({ kind: 'network', name });
// only what is asked here
const migration = {
  id: 'm1',
  plan: { definition: { creates: [network('here'), network('missing')] } },
} as unknown as Planned;
const hostWith = (names: readonly string[]) => {
  const there = new Set(names);
  const resources = {
    look: async () => ({
      networks: new Map([...there].map((name) => [name, true])),
      filters: new Set<string>(),
      secrets: new Map(),
    }),
    read: async () => ({ xml: '<network/>' }),
    create: async ({ name }: ResourceRef) => void there.add(name),
    remove: async ({ name }: ResourceRef) => void there.delete(name),
  };
  return { there, link: { resources } as unknown as HostLink };
};

test('a failed move takes away what it made, and nothing that was there or that somebody else made', async () => {
  const created = createdResources(memoryStores().intents);
  const source = hostWith([]);
  const target = hostWith(['here']);
  await created.create(migration, () => source.link, target.link, signal);
  assert.deepEqual([...target.there].sort(), ['here', 'missing']);
  await created.takeBack(migration, target.link, signal);
  assert.deepEqual([...target.there], ['here']);
  // made by an operator after the first try
  target.there.add('missing');
  await created.takeBack(migration, target.link, signal);
  assert.deepEqual([...target.there].sort(), ['here', 'missing']);
});

test('what was made for a VM that has arrived stays', async () => {
  const created = createdResources(memoryStores().intents);
  const target = hostWith([]);
  await created.create(migration, () => hostWith([]).link, target.link, signal);
  await created.keep(migration);
  await created.takeBack(migration, target.link, signal);
  assert.deepEqual([...target.there].sort(), ['here', 'missing']);
});
