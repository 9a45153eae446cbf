import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, hostId, vmUuid, type HostId, type Instance, type VmUuid } from '@ferry/core';
import * as fc from 'fast-check';
import { createVmIndex, type VmIndex } from './vm-index.ts';

/** Hosts as the index sees them. */
function reports() {
  const hosts = new Map<HostId, Map<VmUuid, Instance>>();
  const silent = new Set<HostId>();
  const parked = new Set<string>();
  const made = (): VmIndex =>
    createVmIndex({
      instance: (host, vm) => hosts.get(host)?.get(vm),
      answers: (host) => !silent.has(host),
      isParked: (vm, host) => parked.has(`${vm}/${host}`),
      migrationOf: () => undefined,
      nameOf: (host) => host,
    });
  const index = made();
  return {
    index,
    silent,
    set(host: string, uuid: string, name: string | undefined, state: Instance['state'] = 'running') {
      const id = hostId(host);
      const vm = vmUuid(uuid);
      const there = hosts.get(id) ?? new Map<VmUuid, Instance>();
      hosts.set(id, there);
      if (name === undefined) there.delete(vm);
      else
        there.set(vm, {
          uuid: vm,
          name,
          state,
          reason: 'other',
          persistent: true,
          memoryBytes: 1,
          vcpus: 1,
          disks: [],
        });
      index.touch(vm, id);
    },
    hush(host: string, isSilent: boolean) {
      const id = hostId(host);
      if (isSilent) silent.add(id);
      else silent.delete(id);
      for (const vm of hosts.get(id)?.keys() ?? []) index.touch(vm, id);
    },
    park(uuid: string, host: string) {
      parked.add(`${uuid}/${host}`);
      index.touch(vmUuid(uuid));
    },
    /** Made of everything at once. */
    anew(): VmIndex {
      const fresh = made();
      for (const [host, there] of hosts) for (const vm of there.keys()) fresh.touch(vm, host);
      return fresh;
    },
  };
}

const failsWith = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;

test('a VM is found by UUID, name, another name and the beginning of its UUID, after each change', () => {
  const fleet = reports();
  const { index } = fleet;
  fleet.set('h1', 'aaaa-1', 'web');
  fleet.set('h2', 'aaab-2', 'db');
  assert.deepEqual(
    ['AAAA-1', 'web', 'aaaa', 'db'].map((ref) => index.find(ref).uuid),
    ['aaaa-1', 'aaaa-1', 'aaaa-1', 'aaab-2'],
  );
  fleet.set('h1', 'aaaa-1', 'shop');
  fleet.set('h2', 'aaaa-1', 'shop-old', 'shut-off');
  assert.equal(index.find('shop-old').name, 'shop');
  assert.throws(() => index.find('web'), failsWith('vm-unknown'));
  fleet.set('h3', 'cccc-3', 'db');
  assert.throws(() => index.find('db'), failsWith('vm-ambiguous'));
  fleet.set('h2', 'aaab-2', undefined);
  assert.equal(index.find('db').uuid, 'cccc-3');
  assert.throws(() => index.find('aaab-2'), failsWith('vm-unknown'));
});

const hosts = fc.constantFrom('h1', 'h2', 'h3');
const uuids = fc.integer({ min: 0, max: 99 }).map((number) => `${String(number % 7).repeat(4)}-${number}`);
const changes = fc.oneof(
  fc.record({
    do: fc.constant('set' as const),
    host: hosts,
    uuid: uuids,
    name: fc.option(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { nil: undefined, freq: 3 }),
    state: fc.constantFrom('running' as const, 'shut-off' as const, 'paused' as const),
  }),
  fc.record({ do: fc.constant('hush' as const), host: hosts, silent: fc.boolean() }),
  fc.record({ do: fc.constant('park' as const), host: hosts, uuid: uuids }),
  fc.record({ do: fc.constant('read' as const) }),
);

test('property: after any changes it is what it would be if it were made of everything at once', () => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 300 }), (steps) => {
      const fleet = reports();
      for (const step of steps) {
        if (step.do === 'set') fleet.set(step.host, step.uuid, step.name, step.state);
        else if (step.do === 'hush') fleet.hush(step.host, step.silent);
        else if (step.do === 'park') fleet.park(step.uuid, step.host);
        else fleet.index.all();
      }
      const anew = fleet.anew();
      assert.deepEqual(fleet.index.all(), anew.all());
      const names = fleet.index.all().map(({ name, uuid }) => `${name} ${uuid}`);
      assert.deepEqual(
        names.toSorted((a, b) => (a < b ? -1 : 1)),
        names,
      );
      for (const host of ['h1', 'h2', 'h3'])
        assert.equal(fleet.index.countOn(hostId(host)), anew.all().filter((vm) => vm.hostId === host).length);
      assert.deepEqual(
        new Set(fleet.index.several()),
        new Set(anew.all().filter(({ instances }) => instances.length > 1)),
      );
    }),
  );
});
