import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, migrationId, vmUuid } from '../model/ids.ts';
import type { Vm } from '../model/vm.ts';
import { defaultPolicyName, presets } from '../policy/presets.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import { beginMigration, type Beginning } from './begin.ts';

const from = { id: hostId('h1'), name: 'host1' };
const vm: Vm = {
  uuid: vmUuid('a'),
  name: 'web',
  hostId: from.id,
  state: 'running',
  memoryBytes: 5,
  vcpus: 1,
  disks: [],
  instances: [],
};
const preset = presets.get(defaultPolicyName);
const begun = (request: Beginning['request']) => {
  assert.ok(preset !== undefined);
  const policy = resolvePolicy(preset, 'default', request);
  const by = { actor: 'ann', client: 'cli' };
  return beginMigration({ id: migrationId('0abcde'), vm, from, kind: 'live', request, policy, by }, 100);
};

test('a migration begins queued, with its VM where it is and the deadline counted from now', () => {
  const { name, phase, phases, vmIsNow, deadlineAt, proofOfDeath, actor } = begun({ deadlineMs: 1_000 });
  assert.deepEqual([name, phase, phases, actor], ['web-abcde', 'queued', [{ phase: 'queued', at: 100 }], 'ann']);
  assert.deepEqual([vmIsNow, deadlineAt, proofOfDeath], [{ host: 'host1', state: 'running' }, 1_100, undefined]);
});

test("a rescue keeps the operator's statement that the host is dead, and whose it is", () => {
  const proof = { host: 'host1', statement: 'burnt', at: 100 };
  assert.deepEqual(begun({ rescue: { statement: 'burnt' } }).proofOfDeath, { ...proof, actor: 'ann' });
  assert.deepEqual(begun({ rescue: { statement: 'burnt', by: 'bob' } }).proofOfDeath, { ...proof, actor: 'bob' });
});
