import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { Disk } from '../model/vm.ts';
import { disksToDate, knowledgeOf } from './copies.ts';
import { copyOn, vmWith } from './example-vm.ts';

const migration = (more: object = {}): Migration =>
  ({
    id: migrationId('m1'),
    from: { id: hostId('h1'), name: 'h1' },
    to: { id: hostId('h2'), name: 'h2' },
    outcome: 'failed',
    phases: [{ phase: 'switching', at: 0 }],
    ...more,
  }) as unknown as Migration;
const disk = (source: string, readOnly = false): Disk => ({
  target: 'vda',
  device: 'disk',
  type: 'file',
  source,
  readOnly,
});
const nothing = { history: [], parked: false, saved: false, writtenAt: new Map() };

test('each copy is described by its part in the last migration of its host', () => {
  const source = copyOn('h1', 'running', 'migration-canceled');
  const target = copyOn('h2', 'running', 'migrated', 'conflict');
  const vm = vmWith(source, target);
  const known = { ...nothing, history: [migration()] };
  assert.match(
    knowledgeOf(vm, source, known).join(' '),
    /the source of migration m1, which failed.*paused for the switch at 1970.*let it run again/,
  );
  assert.match(knowledgeOf(vm, target, known).join(' '), /the target of migration m1.*memory as of the switch/);
  assert.match(knowledgeOf(vm, copyOn('h3', 'running', 'booted'), known).join(' '), /No migration of this VM/);
});

test('whose disks they write to: copies of its own, or the same that the other one has', () => {
  const one = copyOn('h1', 'running', 'booted', 'authoritative', { disks: [disk('/shared/web')] });
  const other = copyOn('h2', 'running', 'migrated', 'conflict', { disks: [disk('/shared/web')] });
  const both = vmWith(one, other);
  assert.match(knowledgeOf(both, one, nothing).join(' '), /Both copies write to the same disks/);
  const copied = { ...nothing, history: [migration({ plan: { disks: [{ target: 'vda', how: 'copy' }] } })] };
  assert.match(knowledgeOf(both, one, copied).join(' '), /disks vda are copies of its own/);
  assert.doesNotMatch(knowledgeOf(vmWith(one), one, nothing).join(' '), /same disks/, 'one copy alone harms nothing');
});

test('shut-off definitions are distinguished by name, by why they are there, and by when their disks were written', () => {
  const stray = copyOn('h2', 'shut-off', 'other', 'conflict', {
    name: 'old',
    disks: [disk('/pool/web'), disk('/iso', true)],
  });
  const vm = vmWith(copyOn('h1', 'shut-off', 'other'), stray);
  assert.deepEqual(disksToDate(vm, stray), [{ target: 'vda', path: '/pool/web' }]);
  const words = knowledgeOf(vm, stray, { ...nothing, writtenAt: new Map([['/pool/web', 60]]) }).join(' ');
  assert.match(words, /name there is old.*does not know why.*vda is \/pool\/web, last written at 1970-01-01T00:01/);
  assert.match(knowledgeOf(vm, stray, { ...nothing, parked: true }).join(' '), /kept there on purpose/);
  assert.deepEqual(disksToDate(vmWith(stray), stray), [], 'alone it has nothing to be told apart from');
});
