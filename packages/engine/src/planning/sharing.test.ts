/** Proofs for block devices; the lab tests cover files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskFacts } from '@ferry/core';
import { memoryStores } from '../fake/stores.ts';
import type { Clock, PathPort } from '../ports/ports.ts';
import { createSharing } from './sharing.ts';

const disk: DiskFacts = {
  target: 'vda',
  device: 'disk',
  type: 'block',
  source: '/dev/x',
  readOnly: false,
  backing: [],
};
const signal = new AbortController().signal;

/** `key`: by the pools of the host. */
type Device = { readonly key?: string; readonly size?: number | 'unseen' };
const side = (name: string, { key, size }: Device) => ({
  id: name,
  name,
  machine: name,
  paths: {
    identityOf: async () => key,
    deviceAt: async () => (typeof size === 'number' ? { sizeBytes: size } : size),
  } as unknown as PathPort,
});
const proved = async (here: Device, there: Device) => {
  const sharing = createSharing({
    intents: memoryStores().intents,
    markers: { leave: () => assert.fail('a device carries no marker'), sweep: async () => {} },
    clock: { now: () => 0 } as Clock,
  });
  const [from, to] = [side('h1', here), side('h2', there)];
  const { verdict, detail } = await sharing.prove('/dev/x', disk, new Map(), from, to, [], signal);
  const plan = {
    target: 'vda',
    path: '/dev/x',
    how: 'shared',
    proof: { verdict: 'shared', method: 'operator', at: 0 },
  } as const;
  return { verdict, detail, before: await sharing.notThere([plan], from, to, signal) };
};

test('a device is one by its key; without a key one that is not there, or has another size, is another one', async () => {
  const alike = { size: 512 };
  assert.deepEqual((await proved({ key: 'k' }, { key: 'k' })).verdict, 'shared');
  assert.deepEqual((await proved({ key: 'k', ...alike }, { key: 'l', ...alike })).verdict, 'separate');
  assert.deepEqual(await proved(alike, {}), {
    verdict: 'separate',
    detail: 'h2 has no device /dev/x',
    before: 'h2 has no device /dev/x.',
  });
  assert.deepEqual((await proved(alike, { size: 1024 })).detail, 'it has 512 bytes on h1 and 1024 on h2');
  for (const there of [alike, { size: 'unseen' as const }])
    assert.deepEqual((await proved(alike, there)).verdict, 'unknown', 'equal sizes prove nothing');
});
