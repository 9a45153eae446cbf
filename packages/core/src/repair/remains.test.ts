import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { VolumeRecord } from '../model/storage.ts';
import type { Vm } from '../model/vm.ts';
import { copyOn, uuid, vmWith } from './example-vm.ts';
import { remainsOf, type RemainsEvidence } from './remains.ts';

const last = {
  id: migrationId('m1'),
  from: { id: hostId('h1'), name: 'h1' },
  to: { id: hostId('h2'), name: 'h2' },
} as unknown as Migration;
const left = (vm: Vm, more: Partial<RemainsEvidence> = {}) =>
  remainsOf(vm, { last, leftovers: [], answers: () => true, hostNameOf: (host) => host, ...more });
const volume = (role: VolumeRecord['role'], of = uuid): VolumeRecord =>
  ({ vm: { uuid: of, name: 'web' }, role, path: '/pool/web', hostName: 'h2', migration: 'm1' }) as VolumeRecord;

test('a half beside a copy that runs is ended, once the two are proved apart', () => {
  const [half] = left(vmWith(copyOn('h2', 'running', 'migrated'), copyOn('h1', 'paused', 'migration', 'incoming')));
  assert.deepEqual(half?.steps, [
    { type: 'prove-apart', hosts: ['h1', 'h2'] },
    { type: 'end', host: 'h1' },
  ]);
  assert.match(half.remedy, /^Ended: web is running on h2/);
});

test('a half that is alone runs again, unless a host of the migration does not answer', () => {
  const alone = vmWith(copyOn('h1', 'paused', 'migration'));
  assert.deepEqual(left(alone)[0]?.steps, [{ type: 'resume', host: 'h1' }]);
  const [silent] = left(alone, { answers: (host) => host !== hostId('h2') });
  assert.deepEqual([silent?.settles, silent?.steps], [false, []]);
  assert.match(silent?.remedy ?? '', /h2 does not answer, and may run the VM/);
  const [unknown] = left(vmWith(copyOn('h1', 'paused', 'migration'), copyOn('h3', 'unknown', 'other')));
  assert.deepEqual(
    [unknown?.settles, unknown?.steps],
    [false, []],
    'another host has something of which nothing is known',
  );
});

test('two halves, and memory that is nowhere else, are left alone', () => {
  for (const vm of [
    vmWith(copyOn('h1', 'paused', 'migration'), copyOn('h2', 'paused', 'migration', 'incoming')),
    vmWith(copyOn('h1', 'paused', 'post-copy-failed'), copyOn('h2', 'running', 'post-copy-failed')),
  ]) {
    const halves = left(vm);
    assert.ok(halves.length > 0);
    assert.ok(halves.every(({ settles, steps }) => !settles && steps.length === 0));
  }
  assert.deepEqual(left(vmWith(copyOn('h1', 'paused', 'user'))), [], 'a guest that somebody paused is no half');
});

test('unfinished copies of this VM are deleted; what lies on a source is not', () => {
  const vm = vmWith(copyOn('h1', 'running', 'booted'));
  const leftovers = [volume('target'), volume('source'), volume('target', 'b' as typeof uuid)];
  assert.deepEqual(
    left(vm, { leftovers }).map(({ kind, steps }) => [kind, steps.length]),
    [['volume', 1]],
  );
});
