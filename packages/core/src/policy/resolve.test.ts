import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { policyProblems } from './policy.ts';
import { presets } from './presets.ts';
import { choosePolicy, quickPauseMs, resolvePolicy } from './resolve.ts';

const ferry = presets.get('default') ?? assert.fail('no default');

test('without wishes it is the policy itself, with where it comes from', () => {
  assert.deepEqual(resolvePolicy(ferry, 'cluster'), { ...ferry, from: 'cluster' });
});

test('a longest pause that is asked for is the budget from the start, and the limit', () => {
  assert.deepEqual(resolvePolicy(ferry, 'migration', { maxDowntimeMs: 50 }).downtime, { initialMs: 50, limitMs: 50 });
  assert.deepEqual(
    resolvePolicy(ferry, 'migration', { maxDowntimeMs: 50, quicklyFinish: true }).downtime,
    { initialMs: 50, limitMs: 50 },
    'the operator\'s word before "quickly"',
  );
});

test('"finish quickly" allows the pause that is needed, up to ten seconds, after two passes without gain', () => {
  const quick = resolvePolicy(ferry, 'migration', { quicklyFinish: true });
  assert.deepEqual(quick.downtime, { initialMs: 100, limitMs: quickPauseMs });
  assert.deepEqual(quick.steps.slice(ferry.steps.length), [{ when: 'stalled', passes: 2, do: 'fit-downtime' }]);
});

test('a deadline means that it is over then; a policy that says what to do about one is left as it is', () => {
  const nova = presets.get('nova') ?? assert.fail('no nova');
  assert.deepEqual(resolvePolicy(nova, 'migration', { deadlineMs: 60_000 }).steps.at(-1), {
    when: 'deadline',
    do: 'abort',
  });
  assert.deepEqual(resolvePolicy(ferry, 'migration', { deadlineMs: 60_000 }).steps, ferry.steps);
  assert.equal(resolvePolicy(ferry, 'migration', { deadlineMs: 60_000 }).deadlineMs, 60_000);
});

test('bandwidth and post-copy as asked', () => {
  const { bandwidthMiBPerSecond, postCopy } = resolvePolicy(presets.get('kubevirt') ?? assert.fail(), 'vm', {
    maxBandwidthMiBPerSecond: 64,
    postCopy: true,
  });
  assert.deepEqual([bandwidthMiBPerSecond, postCopy], [64, 'allowed']);
});

test('property: wishes keep the steps in their places, and make no policy unusable that did not raise its pause by name', () => {
  const wishes = fc.record(
    {
      maxDowntimeMs: fc.integer({ min: 1, max: 2_000_000 }),
      maxBandwidthMiBPerSecond: fc.integer({ min: 1, max: 10_000 }),
      deadlineMs: fc.integer({ min: 1 }),
      quicklyFinish: fc.boolean(),
      postCopy: fc.boolean(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.constantFrom(...presets.values()), wishes, (policy, wanted) => {
      const resolved = resolvePolicy(policy, 'migration', wanted);
      assert.deepEqual(resolved.steps.slice(0, policy.steps.length), policy.steps);
      if (!policy.steps.some((step) => step.do === 'raise-downtime')) assert.deepEqual(policyProblems(resolved), []);
    }),
  );
});

test("which one: the migration's own before the label's, before the cluster's, before Ferry's", () => {
  const all = {
    requested: 'kubevirt',
    labels: ['tier=db', 'app=shop'],
    bindings: [
      { label: 'tier=db', policy: 'nova' },
      { label: 'app=shop', policy: 'proxmox' },
    ],
    cluster: 'harvester',
  };
  const { requested: _, ...labelled } = all;
  assert.deepEqual(choosePolicy(all), { name: 'kubevirt', from: 'migration' });
  assert.deepEqual(choosePolicy(labelled), { name: 'proxmox', from: 'vm' }, 'of two labels the first by name');
  assert.deepEqual(choosePolicy({ ...labelled, labels: ['tier=web'] }), { name: 'harvester', from: 'cluster' });
  assert.deepEqual(choosePolicy({ labels: [], bindings: [] }), { name: 'default', from: 'default' });
});
