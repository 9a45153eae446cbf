/** Pages of VMs: every VM once and in order, by any filter, whatever changes between two pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, hostId, vmUuid, type HostView, type Instance, type Vm, type VmUuid } from '@ferry/core';
import { createLabelIndex } from '../settings/label-index.ts';
import { createVmIndex } from './vm-index.ts';
import { pageOfVms, type VmCursor, type VmFilter } from './vm-list.ts';

const clusters = ['west', 'east'] as const;

/** `count` VMs on ten hosts, every third with labels. */
function fleetOf(count: number) {
  const names = Array.from({ length: 10 }, (_, n) => `host${n}`);
  const hosts = names.map((name, n) => ({
    host: { id: hostId(name), name, cluster: clusters[n % 2] },
  })) as unknown as readonly HostView[];
  const instances = new Map<VmUuid, { readonly host: string; readonly instance: Instance }>();
  const labels = new Map<VmUuid, readonly string[]>();
  const labelIndex = createLabelIndex();
  let looked = 0;
  const index = createVmIndex({
    instance: (host, vm) => (instances.get(vm)?.host === host ? instances.get(vm)?.instance : undefined),
    answers: () => true,
    isParked: () => false,
    migrationOf: () => undefined,
    nameOf: (host) => host,
  });
  const set = (n: number, name: string, state: Instance['state']): void => {
    const uuid = vmUuid(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
    const host = names[n % 10] ?? '';
    const other = { reason: 'other', persistent: true, memoryBytes: 1, vcpus: 1, disks: [] } as const;
    instances.set(uuid, { host, instance: { uuid, name, state, ...other } });
    index.touch(uuid, hostId(host));
    const own =
      n % 3 === 0 ? [`tier=${n % 2 === 0 ? 'db' : 'web'}`, ...(n % 600 === 0 ? ['rare=yes', 'rare=very'] : [])] : [];
    labels.set(uuid, own);
    labelIndex.set(uuid, own);
  };
  for (let n = 0; n < count; n += 1) set(n, `vm${n % 7}`, n % 5 === 0 ? 'shut-off' : 'running');
  const page = (filter: VmFilter, limit: number, after?: VmCursor) =>
    pageOfVms(
      filter,
      { limit, ...(after === undefined ? {} : { after }) },
      {
        index,
        hosts: () => hosts,
        host: (ref) =>
          hosts.find(({ host }) => host.name === ref) ??
          assert.fail(new FerryError('host-unknown', `There is no host "${ref}".`)),
        isCluster: (name) => clusters.some((each) => each === name),
        labelsOf: (vm) => {
          looked += 1;
          return labels.get(vm) ?? [];
        },
        labelled: (selector) => labelIndex.candidates(selector),
      },
    );
  return {
    index,
    set,
    page,
    looked: () => looked,
    labelsOf: (vm: VmUuid) => labels.get(vm) ?? [],
    all(filter: VmFilter, limit: number): readonly Vm[] {
      const found: Vm[] = [];
      for (let after: VmCursor | undefined, first = true; first || after !== undefined; first = false) {
        const { items, next } = page(filter, limit, after);
        assert.ok(items.length <= limit && (next === undefined || items.length === limit));
        found.push(...items);
        after = next;
      }
      return found;
    },
  };
}

test('every filter finds what it says, once and in order, in pages of any size', () => {
  // enough for what is rare to be found by the index
  const fleet = fleetOf(3_000);
  const isOn = (vm: Vm, ...hosts: readonly number[]): boolean => hosts.some((n) => vm.hostId === `host${n}`);
  const cases: readonly (readonly [VmFilter, (vm: Vm) => boolean])[] = [
    [{}, () => true],
    [{ host: 'host3' }, (vm) => isOn(vm, 3)],
    [{ cluster: 'east' }, (vm) => isOn(vm, 1, 3, 5, 7, 9)],
    [{ host: 'host3', cluster: 'west' }, () => false],
    [{ state: 'shut-off' }, ({ state }) => state === 'shut-off'],
    [{ name: 'vm3' }, ({ name }) => name === 'vm3'],
    [{ name: 'vm*', host: 'host2' }, (vm) => isOn(vm, 2)],
    [{ name: '*3' }, ({ name }) => name === 'vm3'],
    [{ label: 'tier=db' }, ({ uuid }) => fleet.labelsOf(uuid).includes('tier=db')],
    [{ label: 'rare' }, ({ uuid }) => fleet.labelsOf(uuid).includes('rare=yes')],
    [{ label: 'tier,rare in (yes,very,no)' }, ({ uuid }) => fleet.labelsOf(uuid).includes('rare=yes')],
    [{ label: '!tier' }, ({ uuid }) => fleet.labelsOf(uuid).length === 0],
    [
      { label: 'tier in (db,web)', state: 'running' },
      ({ uuid, state }) => fleet.labelsOf(uuid).length > 0 && state === 'running',
    ],
    [{ uuid: '00000000-0000-4000-8000-000000000007' }, ({ uuid }) => uuid.endsWith('0000007')],
    [{ uuid: '00000000-0000-4000-8000-000000000007', host: 'host1' }, () => false],
  ];
  for (const [filter, isMeant] of cases)
    for (const limit of [70, 500, 1_000])
      assert.deepEqual(
        fleet.all(filter, limit).map(({ uuid }) => uuid),
        fleet.index
          .all()
          .filter(isMeant)
          .map(({ uuid }) => uuid),
        `${JSON.stringify(filter)} ${limit}`,
      );
});

test('a page begins after the last VM of the one before, also when that one is gone', () => {
  const fleet = fleetOf(20);
  const { items, next } = fleet.page({}, 5);
  const last = items.at(-1) ?? assert.fail();
  fleet.set(Number(last.uuid.slice(-4)), 'zz', 'running');
  const rest = fleet.page({}, 100, next).items;
  assert.equal(rest.at(-1)?.name, 'zz');
  assert.deepEqual(
    [...items.slice(0, -1), ...rest].map(({ uuid }) => uuid),
    fleet.index.all().map(({ uuid }) => uuid),
  );
  assert.deepEqual(fleet.page({}, 5, { name: 'zzz', uuid: vmUuid('x') }), { items: [] }, 'beyond the end');
});

test('a page costs what is on it, in a fleet of any size', () => {
  const fleet = fleetOf(20_000);
  const counted = (filter: VmFilter): number => {
    const before = fleet.looked();
    fleet.page({ label: '!none', ...filter }, 10);
    return fleet.looked() - before;
  };
  assert.equal(counted({}), 11);
  assert.ok(counted({ host: 'host3' }) <= 11, 'a host is found by the index');
  assert.equal(counted({ uuid: '00000000-0000-4000-8000-000000000007' }), 1);
  assert.ok(counted({ label: 'rare=yes' }) <= 34, 'a label is found by the index');
});

test('what is not known or does not parse is refused', () => {
  const { page } = fleetOf(1);
  const refusedAs = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;
  assert.throws(() => page({ host: 'nosuch' }, 1), refusedAs('host-unknown'));
  assert.throws(() => page({ cluster: 'nosuch' }, 1), refusedAs('cluster-unknown'));
  assert.throws(() => page({ label: 'tier in' }, 1), refusedAs('selector-invalid'));
});
