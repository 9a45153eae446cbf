import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Policy, PolicyStep } from '../model/policy.ts';
import type { DirtyCurve, DirtyReading, Prediction, PredictionKind } from '../model/prediction.ts';
import { presets } from '../policy/presets.ts';
import { predict, type PredictionInput } from './prediction.ts';
import { endsAnyGuest } from './remedies.ts';

const mib = 1_048_576;
const preset = (name: string): Policy => presets.get(name) ?? assert.fail(name);
/** A guest of 1 GiB and the MiB that it writes within one and within three seconds; a link in MiB/s. */
const told = (
  one: number,
  three: number,
  link: number | undefined,
  policy: Policy,
  changes: Partial<PredictionInput> = {},
): Prediction =>
  predict(
    {
      curve: read({ seconds: 1, bytesPerSecond: one * mib }, { seconds: 3, bytesPerSecond: (three / 3) * mib }),
      memoryBytes: 1_024 * mib,
      diskBytes: 0,
      ...(link === undefined ? {} : { bandwidthBytesPerSecond: link * mib }),
      policy,
      mayPostCopy: false,
      ...changes,
    },
    0,
  );
const read = (...readings: DirtyReading[]): DirtyCurve => ({ at: 0, readings });

test('a guest that writes a fraction of what the link carries: it ends, and about when', () => {
  const { kind, text, totalMs, downtimeMs, remedies } = told(20, 60, 100, preset('default'));
  assert.deepEqual([kind, remedies], ['converges', []]);
  assert.ok(totalMs?.high !== undefined && totalMs.low < totalMs.expected && totalMs.expected < totalMs.high);
  // 10.24 s, then passes a fifth as long each, down to 100 ms; and half a second for what is around it
  assert.equal(Math.round(totalMs.expected / 100), 133);
  assert.ok(downtimeMs?.high !== undefined && downtimeMs.expected < 100 && downtimeMs.high > 100);
  assert.match(
    text,
    /^the guest writes 20 MiB\/s, the migration has 100: pre-copy would end after about 13 s \(0.8 s to 18 s\)$/,
  );
});

test('disks that are copied come before the memory', () => {
  const expected = (changes: Partial<PredictionInput>): number =>
    told(20, 60, 100, preset('default'), changes).totalMs?.expected ?? assert.fail('nothing was predicted');
  assert.equal(Math.round(expected({ diskBytes: 500 * mib }) - expected({})), 5_000);
  assert.equal(
    Math.round(expected({ diskBytes: 500 * mib, countedDiskBytes: 2_000 * mib }) - expected({})),
    20_000,
    'under a limit, what they do not hold takes its time too',
  );
});

test('pages that its QEMU does not have are not sent', () => {
  const readings = [{ seconds: 1, bytesPerSecond: 10 * mib }];
  const { totalMs } = told(0, 0, 100, preset('default'), {
    curve: { at: 0, readings, residentBytes: 364 * mib },
  });
  assert.ok(totalMs?.high !== undefined);
  assert.ok(totalMs.expected > 3_000 && totalMs.expected < 4_500, `${totalMs.expected} ms`);
  assert.ok(totalMs.high < 8_000, 'all of its memory would take 10 s');
});

test('a guest that pre-copy does not bring over: when the step of the policy ends it, and the pause of that', () => {
  // a first pass of 64 s, and 64 MiB that follow in post-copy
  const post = told(64, 64, 16, preset('default'), { mayPostCopy: true });
  assert.deepEqual([post.kind, Math.round((post.totalMs?.expected ?? 0) / 1_000)], ['does-not-converge', 69]);
  assert.ok((post.downtimeMs?.expected ?? Infinity) < 100);
  const paused = told(64, 64, 16, {
    ...preset('harvester'),
    steps: [{ when: 'elapsed', ms: 100_000, do: 'pause' }],
  });
  assert.equal(Math.round((paused.totalMs?.expected ?? 0) / 1_000), 105);
  assert.equal(Math.round((paused.downtimeMs?.expected ?? 0) / 1_000), 4);
  const { totalMs, downtimeMs } = told(64, 64, 16, preset('harvester'));
  assert.deepEqual([totalMs, downtimeMs], [undefined, undefined], 'nothing ends it');
});

test('a policy that does not wait as long as pre-copy would take', () => {
  // passes 0.7 of the one before: 24 s after the first of 10 s, of which the default waits for 0.75
  const { kind, remedies, totalMs, text } = told(70, 210, 100, preset('default'), { mayPostCopy: true });
  assert.deepEqual([kind, remedies.map((each) => each.do)], ['converges', ['post-copy']]);
  assert.equal(Math.round((totalMs?.expected ?? 0) / 1_000), 18);
  assert.match(text, /pre-copy alone would take longer than the policy waits; .* switches to post-copy/);
});

test('a measurement that is not new is told with its age', () => {
  const text = (now: number): string =>
    predict(
      {
        curve: read({ seconds: 1, bytesPerSecond: 20 * mib }),
        memoryBytes: 1_024 * mib,
        diskBytes: 0,
        bandwidthBytesPerSecond: 100 * mib,
        policy: preset('default'),
        mayPostCopy: false,
      },
      now,
    ).text;
  assert.match(text(5_000), /^the guest writes 20 MiB\/s, /);
  assert.match(text(120_000), /^the guest writes 20 MiB\/s \(measured 120 s ago\), /);
});

test('a hot set that is written over and over: the pause is the time that it takes', () => {
  const { kind, pauseMs, text, remedies } = told(64, 64, 16, preset('harvester'));
  assert.deepEqual([kind, Math.round(pauseMs ?? 0), remedies], ['does-not-converge', 4_000, []]);
  assert.equal(
    text,
    'the guest writes 64 MiB/s, 4.0 times the 16 of this migration: pre-copy will not end by itself, it ' +
      'would take a pause of 4000 ms or more and may take 300 ms; the policy "harvester" has no step ' +
      'that would help: it would be aborted after 13 min, or after 150 s without progress',
  );
});

test('a small hot set hides behind its rate: seen by what three seconds add to one', () => {
  // 40 MiB at once and hardly more: a rate of 0.4 of the link, and 400 ms that no pass goes below
  const { kind, remedies } = told(40, 42, 100, preset('default'));
  assert.equal(kind, 'at-risk');
  assert.deepEqual(
    [0.9, 1.05].map((share) => {
      const {
        kind: risky,
        endsByItself,
        totalMs,
      } = told(share * 100, share * 300, 100, {
        ...preset('harvester'),
        steps: [{ when: 'elapsed', ms: 200_000, do: 'abort' }],
      });
      return [risky, endsByItself, totalMs?.high];
    }),
    [
      ['at-risk', true, 202_000],
      ['at-risk', false, undefined],
    ],
    'what is likelier, and when it is given up at the latest',
  );
  assert.deepEqual(told(10, 30, 100, preset('default')).kind, 'converges');
  assert.deepEqual(remedies, []);
  assert.match(
    told(40, 42, 100, preset('default'), { mayPostCopy: true }).text,
    /it could take a pause of up to \d+ ms and may take 100 ms; if so, the policy "default" switches to post-copy after the first pass$/,
  );
});

test('readings that contradict each other are brought together: less in a longer time, or more than the shorter one allows', () => {
  assert.equal(told(64, 30, 100, preset('harvester')).dirtyBytesPerSecond, 30 * mib);
  assert.equal(told(10, 60, 100, preset('harvester')).dirtyBytesPerSecond, 17.5 * mib, 'all that was seen counts');
});

test('one reading is enough where it is clear', () => {
  const one = (bytesPerSecond: number): PredictionKind =>
    told(0, 0, 100, preset('harvester'), { curve: read({ seconds: 1, bytesPerSecond: bytesPerSecond * mib }) }).kind;
  assert.deepEqual([one(8), one(60), one(400)], ['converges', 'at-risk', 'does-not-converge']);
});

test('what cannot be predicted says why', () => {
  const none = { curve: read() };
  assert.equal(
    told(0, 0, 100, preset('default'), none).text,
    'Ferry cannot tell whether pre-copy will end: the host cannot measure what the guest writes',
  );
  assert.equal(
    told(0, 0, 100, preset('default'), { ...none, problem: 'connection lost' }).text,
    'Ferry cannot tell whether pre-copy will end: connection lost',
  );
  const { kind, text } = told(20, 60, undefined, preset('default'));
  assert.deepEqual(
    [kind, text],
    [
      'unknown',
      'the guest writes 20 MiB/s; Ferry cannot tell whether pre-copy will end: this migration has no bandwidth ' +
        'limit, and the speed of the link is unknown',
    ],
  );
});

test('what a policy will do: its measures in their order, up to the one that ends it', () => {
  const says = (name: string, mayPostCopy = false): string =>
    told(64, 64, 16, preset(name), { mayPostCopy }).text.split('; ').slice(1).join('; ');
  assert.equal(says('default', true), 'the policy "default" switches to post-copy after the first pass');
  assert.equal(
    says('default'),
    'the policy "default" has no step that would help: it would be aborted after 5 min without progress',
  );
  assert.equal(
    says('vmmanager'),
    'the policy "vmmanager" shuts the guest down after 5 passes without gain and moves it cold',
  );
  assert.equal(says('rhel-postcopy', true), 'the policy "rhel-postcopy" switches to post-copy after 60 s');
  assert.equal(
    says('rhel-postcopy'),
    'the policy "rhel-postcopy" has no step that would help: it would never be aborted',
  );
  assert.equal(
    says('cloudpods'),
    'the policy "cloudpods" slows the guest down, then raises the pause budget to 4600 ms once it is ' +
      'slowed down by 99 % if that is enough, then pauses the guest after 32 s until it has arrived',
  );
  assert.equal(
    says('proxmox'),
    'the policy "proxmox" slows the guest down, then raises the pause budget to 6400 ms after 5 passes ' +
      'without gain if that is enough; if that is not enough, it would never be aborted',
  );
  assert.equal(
    says('ovirt-suspend'),
    'the policy "ovirt-suspend" slows the guest down, then raises the pause budget to 5000 ms after 7 ' +
      'passes if that is enough; if that is not enough, it would be aborted after 8 passes',
  );
});

test('a rest that fits into the longest pause that the policy may make', () => {
  const fits: Policy = { ...preset('default'), downtime: { initialMs: 100, limitMs: 5_000 } };
  assert.deepEqual(told(64, 64, 16, fits, { mayPostCopy: true }).remedies, [
    { do: 'set-downtime', toMs: 4_600, when: 'after the first pass' },
    { do: 'post-copy', when: 'after the first pass' },
  ]);
});

test('one that would end, but later than it is given up, is at risk', () => {
  const { kind, text, pauseMs } = told(2, 6, 10, {
    ...preset('harvester'),
    deadlineMs: 60_000,
    steps: [...preset('harvester').steps, { when: 'deadline', do: 'abort' }],
  });
  assert.deepEqual([kind, pauseMs], ['at-risk', undefined]);
  assert.match(
    text,
    /would end after about 128 s \(.*\), too late; the policy "harvester" has no step that would help: .* or at the deadline$/,
  );
  assert.equal(told(2, 6, 10, preset('harvester')).kind, 'converges', 'no deadline');
});

test('policies that end any guest need no warning', () => {
  const sure = [...presets.values()].filter((policy) => endsAnyGuest(policy)).map(({ name }) => name);
  assert.deepEqual(sure, ['default', 'ovirt-post-copy', 'cloudpods', 'vmmanager', 'rhel-postcopy']);
});

const rank: Readonly<Record<Exclude<PredictionKind, 'unknown'>, number>> = {
  converges: 0,
  'at-risk': 1,
  'does-not-converge': 2,
};
const rankOf = ({ kind }: Prediction): number => (kind === 'unknown' ? assert.fail('figures were given') : rank[kind]);

test('property: a faster link, or a longer pause, never makes it worse; times and figures are in order', () => {
  const figures = fc.record({
    one: fc.double({ min: 0, max: 2_000, noNaN: true }),
    three: fc.double({ min: 0, max: 4_000, noNaN: true }),
    link: fc.double({ min: 1, max: 2_000, noNaN: true }),
    faster: fc.double({ min: 1, max: 10, noNaN: true }),
    budget: fc.integer({ min: 1, max: 5_000 }),
    longer: fc.integer({ min: 0, max: 5_000 }),
    single: fc.boolean(),
  });
  const withBudget = (initialMs: number): Policy => ({
    ...preset('harvester'),
    steps: [] as readonly PolicyStep[],
    downtime: { initialMs, limitMs: 20_000 },
  });
  fc.assert(
    fc.property(figures, ({ one, three, link, faster, budget, longer, single }) => {
      const readings = single ? { curve: read({ seconds: 1, bytesPerSecond: one * mib }) } : {};
      const base = told(one, three, link, withBudget(budget), readings);
      assert.ok(rankOf(told(one, three, link * faster, withBudget(budget), readings)) <= rankOf(base), 'a faster link');
      assert.ok(
        rankOf(told(one, three, link, withBudget(budget + longer), readings)) <= rankOf(base),
        'a longer pause',
      );
      const { kind, pauseMs = 0, totalMs, downtimeMs } = base;
      for (const { low, expected, high = Infinity } of [totalMs, downtimeMs].flatMap((each) => each ?? []))
        assert.ok(0 <= low && low <= expected && expected <= high, base.text);
      if (kind === 'converges') assert.ok(Number.isFinite(totalMs?.high), base.text);
      else assert.ok(pauseMs > budget, base.text);
    }),
    { numRuns: 2_000, seed: 20_261_121 },
  );
});
