import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId, vmUuid } from '../model/ids.ts';
import type { DomainState, Vm } from '../model/vm.ts';
import { splitBrainAlarm, splitBrains, type CopiesPaused, type Suspicions } from './split-brain.ts';

const vmWith = (...states: DomainState[]): Vm => ({
  uuid: vmUuid('a'),
  name: 'web',
  hostId: hostId('h0'),
  state: 'running',
  memoryBytes: 1,
  vcpus: 1,
  disks: [],
  instances: states.map((state, index) => ({
    hostId: hostId(`h${index}`),
    role: index === 0 ? 'authoritative' : 'conflict',
    instance: {
      uuid: vmUuid('a'),
      name: 'web',
      state,
      reason: 'other',
      persistent: true,
      memoryBytes: 1,
      vcpus: 1,
      disks: [],
    },
  })),
});
const twice = vmWith('running', 'running');
const none: Suspicions = new Map();

test('two running copies are believed once they were seen for 3 s, and said once', () => {
  const first = splitBrains(none, [twice], 1_000);
  assert.deepEqual([first.believed, first.fresh], [[], true]);
  const early = splitBrains(first.suspicions, [twice], 3_999);
  assert.deepEqual([early.believed, early.fresh], [[], false]);
  const due = splitBrains(early.suspicions, [twice], 4_000);
  assert.deepEqual(due.believed, [twice]);
  assert.deepEqual(splitBrains(due.suspicions, [twice], 9_000).believed, []);
});

test('a VM that had one copy in between is suspected again', () => {
  const { suspicions } = splitBrains(none, [twice], 1_000);
  const calm = splitBrains(suspicions, [vmWith('running', 'shut-off')], 2_000);
  assert.equal(calm.suspicions.size, 0);
  assert.deepEqual(splitBrains(calm.suspicions, [twice], 5_000).believed, []);
});

test('the halves of a migration, and paused copies, are no split brain', () => {
  const moving = { ...twice, currentMigration: migrationId('m1') };
  for (const vm of [moving, vmWith('running', 'paused')]) assert.equal(splitBrains(none, [vm], 0).suspicions.size, 0);
});

test('a migration that only tells hooks of its end judges nothing: its VM is watched', () => {
  const told = { ...twice, currentMigration: migrationId('m1') };
  assert.equal(splitBrains(none, [told], 0, (id) => id === 'm1').suspicions.size, 1);
});

test('the alarm names the hosts, what was done, and the command that settles it', () => {
  const alarm = (done?: CopiesPaused) => splitBrainAlarm(twice, ['host1', 'host2'], done);
  assert.equal(alarm(), 'web runs on host1 and host2 at the same time. Settle it: ferry vm settle web');
  assert.match(alarm({ paused: true }), /at the same time; both are paused\. Settle it/);
  assert.match(
    alarm({ paused: false, because: 'both are one machine.' }),
    /; they are not paused: both are one machine/,
  );
});
