import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, vmUuid, type Instance, type VmUuid } from '@ferry/core';
import type { EngineEvent } from '../events/events.ts';
import { silentLog } from '../fake/fleet.ts';
import type { Clock } from '../ports/ports.ts';
import type { HostFollower } from './host-follower.ts';
import { createFleet } from './vms.ts';

const host = hostId('h1');
const [first, second] = [vmUuid('aaaa-1'), vmUuid('bbbb-2')];
const instanceOf = (uuid: VmUuid): Instance => ({
  uuid,
  name: `vm-${uuid}`,
  state: 'running',
  reason: 'booted',
  persistent: true,
  memoryBytes: 1,
  vcpus: 1,
  disks: [],
});

/** One host; nothing takes time. `seen` is called when changes have been compared. */
function oneHost({
  seen = () => {},
  save = async () => {},
  view = () => ({ state: 'connected' }),
}: {
  seen?: () => void;
  save?: () => Promise<void>;
  view?: () => { state: string; facts?: object };
} = {}) {
  const there = new Map<VmUuid, Instance>();
  const published: EngineEvent[] = [];
  const follower = {
    host: () => ({ id: host, name: 'h1' }),
    view,
    instances: () => [...there.values()],
    instance: (uuid: VmUuid) => there.get(uuid),
  } as unknown as HostFollower;
  const fleet = createFleet({
    knownHosts: { followers: () => [follower], follower: () => follower, nameOf: () => 'h1' },
    kept: { isParked: () => false, seen: async () => {} },
    inventory: { save, remove: async () => {} },
    labelsOf: () => [],
    labelsRevisionOf: () => 0,
    hub: { publish: (event) => void published.push(event) },
    clock: { sleep: () => Promise.resolve() } as unknown as Clock,
    log: silentLog,
    active: () => [],
    seen,
    signal: new AbortController().signal,
  });
  const appear = (uuid: VmUuid): void => {
    there.set(uuid, instanceOf(uuid));
    fleet.changed([uuid], host);
  };
  return { fleet, published, appear };
}
const aTurn = () => new Promise((resolve) => setImmediate(resolve));

test('a change at any moment while another one is being published is published, too', async () => {
  for (let later = 0; later < 20; later += 1) {
    let isFirst = true;
    const { published, appear } = oneHost({
      seen: () => {
        if (!isFirst) return;
        isFirst = false;
        void (async () => {
          for (let step = 0; step < later; step += 1) await Promise.resolve();
          appear(second);
        })();
      },
    });
    appear(first);
    for (let turn = 0; turn < 5; turn += 1) await aTurn();
    assert.deepEqual(
      published.map((event) => event.type === 'vm' && event.vm.uuid),
      [first, second],
      `${later} steps later`,
    );
  }
});

test('a host whose cache could not be stored is stored with the next change, and the end is not kept up by it', async () => {
  let refuses = true;
  let stored = 0;
  const { fleet, appear } = oneHost({
    save: async () => {
      if (refuses) throw new Error('disk full');
      stored += 1;
    },
  });
  appear(first);
  for (let turn = 0; turn < 5; turn += 1) await aTurn();
  await fleet.flush();
  assert.equal(stored, 0);
  refuses = false;
  await fleet.flush();
  assert.equal(stored, 1);
});

test('what a host said just before it was lost is stored, and nothing of one that has never answered', async () => {
  for (const [facts, times] of [
    [{ facts: {} }, 1],
    [{}, 0],
  ] as const) {
    let stored = 0;
    const { fleet, appear } = oneHost({
      save: async () => void (stored += 1),
      view: () => ({ state: 'unreachable', ...facts }),
    });
    appear(first);
    for (let turn = 0; turn < 5; turn += 1) await aTurn();
    await fleet.flush();
    assert.equal(stored, times);
  }
});
