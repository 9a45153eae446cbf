import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyContent, PolicyStep } from '../model/policy.ts';
import { allows, policyProblems, policyText } from './policy.ts';
import { defaultPolicyName, presets } from './presets.ts';

const ferry = presets.get(defaultPolicyName) ?? assert.fail('no default');
const problems = (changes: Partial<PolicyContent>): readonly string[] => policyProblems({ ...ferry, ...changes });
const kinds = (step: PolicyStep): string => step.do;

test('every preset can be used, says what it does and where its limits are', () => {
  for (const [name, preset] of presets) {
    assert.deepEqual(policyProblems(preset), [], name);
    assert.deepEqual([preset.name, preset.version], [name, 0]);
    assert.match(preset.description, /^[A-Z].*\.$/, name);
  }
});

test("Ferry's default never pauses, throttles nor powers off, and its pause stays at half a second", () => {
  for (const never of ['pause', 'power-off'] as const) assert.equal(allows(ferry, never), false);
  assert.deepEqual([ferry.throttle, ferry.downtime.limitMs, ferry.postCopy], [undefined, 500, 'if-recoverable']);
});

test('what the presets may do to a guest', () => {
  const may = (measure: Parameters<typeof allows>[1]): readonly string[] =>
    [...presets.values()].filter((preset) => allows(preset, measure)).map(({ name }) => name);
  assert.deepEqual(may('power-off'), ['vmmanager']);
  assert.deepEqual(may('pause'), ['cloudpods']);
  assert.deepEqual(may('post-copy'), ['default', 'ovirt-post-copy', 'rhel-postcopy']);
  assert.deepEqual(
    [...presets.values()].filter(({ throttle }) => throttle !== undefined).map(({ name }) => name),
    ['ovirt-minimal-downtime', 'ovirt-post-copy', 'ovirt-suspend', 'ovirt-very-large', 'cloudpods', 'proxmox'],
  );
});

test("Nova's ramp: eleven steps at most, even, from a tenth to the limit, each 75 s per GiB and counted from two GiB", () => {
  const steps = presets.get('nova')?.steps ?? [];
  assert.deepEqual(steps.map(kinds), [...Array.from({ length: 10 }, () => 'raise-downtime'), 'abort']);
  const raised = steps.flatMap((step) =>
    step.do === 'raise-downtime' && step.when === 'elapsed' ? [[step.ms, step.msPerGib, step.toMs]] : [],
  );
  assert.deepEqual(
    [raised[0], raised[9]],
    [
      [150_000, 75_000, 95],
      [1_500_000, 750_000, 500],
    ],
  );
});

test('what cannot be meant is said, each in a sentence of its own', () => {
  assert.deepEqual(problems({ downtime: { initialMs: 600, limitMs: 500 } }), [
    'The pause budget begins with 600 ms, above its limit of 500 ms.',
  ]);
  assert.deepEqual(problems({ downtime: { initialMs: 1, limitMs: 2_000_001 } }), [
    'QEMU takes a pause budget of 2000000 ms at most.',
  ]);
  assert.deepEqual(problems({ steps: [{ when: 'passes', count: 1, do: 'raise-downtime', toMs: 900 }] }), [
    'A step raises the pause budget to 900 ms, above its limit of 500 ms.',
  ]);
  assert.deepEqual(problems({ steps: [{ when: 'elapsed', do: 'abort' }] }), [
    'A step with "elapsed" needs "ms" or "msPerGib".',
  ]);
  assert.deepEqual(problems({ steps: [{ when: 'throttled', percent: 99, passes: 2, do: 'abort' }] }), [
    'A step waits for throttling, which the policy does not allow.',
  ]);
  assert.deepEqual(problems({ postCopy: 'never' }), ['A step switches to post-copy, which "postCopy" forbids.']);
  assert.deepEqual(problems({ connections: 4 }), ['QEMU does not do post-copy over several connections.']);
  assert.deepEqual(problems({ compression: 'zstd' }), ['zstd needs several connections.']);
  assert.deepEqual(problems({ linkShare: 1.5 }), ['The share of the link is above 0 and at most 1.']);
  assert.deepEqual(problems({ deadlineMs: 0 }), ['A deadline lies ahead.']);
  assert.equal(problems({ downtime: { initialMs: 600, limitMs: 500 }, linkShare: 0, deadlineMs: -1 }).length, 3);
});

test('in words: the pause, the bandwidth, and each measure once', () => {
  assert.equal(
    policyText(ferry),
    "pauses of 100 to 500 ms; 90 % of the slower host's link; raises the pause budget to what is needed; switches to post-copy; aborts",
  );
  assert.equal(
    policyText({
      ...ferry,
      downtime: { initialMs: 300, limitMs: 300 },
      bandwidthMiBPerSecond: 200,
      throttle: { initialPercent: 20, incrementPercent: 10 },
      steps: [],
    }),
    'pauses of 300 ms; 200 MiB/s; throttles the guest',
  );
});
