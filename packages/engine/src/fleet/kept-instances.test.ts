import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, vmUuid, type DomainState, type Instance, type Vm } from '@ferry/core';
import { memoryIntents } from '../fake/intents.ts';
import { openKeptInstances } from './kept-instances.ts';

const uuid = vmUuid('u');
const host = hostId('h1');
const shown = (state: DomainState): readonly Instance[] => [{ uuid, state } as Instance];

test('saved memory that Ferry brought is remembered, also by the next process, until its VM is started', async () => {
  const clock = { now: () => 1 } as never;
  const intents = memoryIntents({ clock });
  const vm = { uuid, hostId: host } as Vm;
  const kept = await openKeptInstances(intents, clock);
  assert.equal(kept.hasArrivedSaved(vm), false);
  await kept.arrivedSaved(uuid, host);
  await kept.seen(host, shown('shut-off'));
  await kept.seen(hostId('h2'), []);
  const again = await openKeptInstances(intents, clock);
  assert.deepEqual([kept.hasArrivedSaved(vm), again.hasArrivedSaved(vm)], [true, true]);
  await again.seen(host, shown('running'));
  assert.equal(again.hasArrivedSaved(vm), false);
  assert.equal((await openKeptInstances(intents, clock)).hasArrivedSaved(vm), false);
});
