import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, type Host, type Instance, type VmUuid, vmUuid } from '@ferry/core';
import { boundedQueue } from '../events/bounded-queue.ts';
import type { Clock, HostChange, HostLink, Hypervisor } from '../ports/ports.ts';
import { followHost } from './host-follower.ts';
import { turnsOf } from './turns.ts';

const uuid = vmUuid('11111111-0000-4000-8000-000000000000');
const running: Instance = {
  uuid,
  name: 'web',
  state: 'running',
  reason: 'booted',
  persistent: true,
  memoryBytes: 1,
  vcpus: 1,
  disks: [],
};
const host: Host = {
  id: hostId('h1'),
  name: 'h1',
  uri: 'qemu+tcp://h1/system',
  cluster: 'default',
  machineUuid: 'm1',
  addedAt: 0,
};
const facts = { machineUuid: 'm1', hostname: 'h1', freeMemoryBytes: 1 };

test('a guest that its host has paused for the switch is paused for Ferry too, and nothing is asked for that', async () => {
  const stopping = new AbortController();
  const queue = boundedQueue<HostChange>(10, () => ({ type: 'gap' }), stopping.signal);
  const asked: VmUuid[] = [];
  const closed = Promise.withResolvers<void>();
  const link = {
    inventory: { facts: async () => facts },
    instances: {
      all: async () => [running],
      one: async (of: VmUuid) => {
        asked.push(of);
        return running;
      },
      watch: async () => queue,
    },
    closed: closed.promise,
    close: async () => closed.resolve(),
  } as unknown as HostLink;
  const paused = Promise.withResolvers<void>();
  const clock = {
    sleep: (ms: number, signal?: AbortSignal) =>
      ms === 0
        ? Promise.resolve()
        : new Promise<void>((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  } as unknown as Clock;
  const follower = followHost(host, link, undefined, {
    hypervisor: {} as Hypervisor,
    clock,
    log: { info() {}, warn() {}, error() {} },
    hosts: () => [host],
    fleetSize: () => 1,
    connecting: turnsOf(1),
    events: {
      changed: () => queue.push({ type: 'migration-suspended', uuid }),
      instancesChanged: () => {
        if (follower.instances()[0]?.state === 'paused') paused.resolve();
      },
      domainTouched: () => {},
      switching: () => {},
    },
  });
  await paused.promise;
  assert.deepEqual(follower.instances(), [{ ...running, state: 'paused', reason: 'migration' }]);
  assert.deepEqual(asked, []);
  stopping.abort();
  await follower.stop();
});
