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

test('a definition that was parked is not the VM when the host of the VM is removed, until the VM is seen elsewhere', async () => {
  const clock = { now: () => 1 } as never;
  const intents = memoryIntents({ clock });
  const gone = { name: 'h2', machineUuid: 'machine-h2' };
  const kept = await openKeptInstances(intents, clock);
  await kept.park(uuid, host);
  await kept.goes(uuid, host, gone);
  await kept.seen(host, shown('shut-off'));
  await kept.seen(hostId('h3'), shown('shut-off'));
  const again = await openKeptInstances(intents, clock);
  assert.deepEqual([kept.goneWith(uuid, host), again.goneWith(uuid, host)], [gone, gone]);
  await again.seen(hostId('h3'), shown('running'));
  assert.deepEqual([again.goneWith(uuid, host), again.isParked(uuid, host)], [undefined, true]);
});
