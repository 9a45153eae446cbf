import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from '../model/host.ts';
import { batchId, hostId } from '../model/ids.ts';
import { cordonedReasons } from '../planning/checks/cordoned.ts';
import { cordoned, serviceStateOf, uncordoned } from './service.ts';

const host: Host = {
  id: hostId('h1'),
  name: 'kvm1',
  uri: 'qemu+tcp://kvm1/system',
  cluster: 'default',
  machineUuid: 'm1',
  addedAt: 0,
};
const draining: Host = {
  ...host,
  service: { state: 'draining', since: 5, drain: { id: batchId('d1'), before: 'schedulable' } },
};

test('a host is schedulable until it is cordoned, and again once it is uncordoned', () => {
  const held = cordoned(host, 7);
  assert.deepEqual([serviceStateOf(host), held.service], ['schedulable', { state: 'cordoned', since: 7 }]);
  assert.equal(cordoned(held, 9), held);
  assert.deepEqual(uncordoned(held), host);
  assert.equal(uncordoned(host), host);
});

test('a drain is not undone by uncordon, and cordon does not hide it', () => {
  assert.equal(cordoned(draining, 9), draining);
  assert.throws(() => uncordoned(draining), /kvm1 is being drained by d1/);
  const { drain } = draining.service ?? {};
  assert.ok(drain !== undefined);
  assert.deepEqual(uncordoned({ ...draining, service: { state: 'maintenance', since: 6, drain } }), host);
});

test('a host that takes no VMs is refused as a target, with the way out', () => {
  assert.deepEqual(cordonedReasons({ host }), []);
  assert.deepEqual(cordonedReasons({ host: cordoned(host, 1) })[0], {
    code: 'target-cordoned',
    host: 'kvm1',
    message: 'kvm1 is cordoned, so no VM is moved to it.',
    remedy: 'Choose another host, or run: ferry host uncordon kvm1',
  });
  assert.match(cordonedReasons({ host: draining })[0]?.remedy ?? '', /ferry drain cancel d1/);
});
