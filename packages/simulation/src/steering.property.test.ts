import assert from 'node:assert/strict';
import { test } from 'node:test';
import { presets, type Decision, type MeasureName, type Policy } from '@ferry/core';
import * as fc from 'fast-check';
import { anySituation, onceAndAgainMs } from './arbitraries.ts';
import { capacityAt, steadyLink, type Link } from './link.ts';
import { run, type Run } from './run.ts';

const runs = { numRuns: 150, seed: 20_261_121 };
const anyPolicy = fc.constantFrom(...presets.values());
const ferry = presets.get('default') ?? assert.fail('no default');
const mib = 1_048_576;
const watchMs = 2 * 3_600_000;

/** Names of the measures that may cause an action. */
const behind: Readonly<Record<Exclude<Decision['action']['do'], 'note' | 'release-throttle'>, readonly MeasureName[]>> =
  {
    'set-downtime': ['raise-downtime', 'double-downtime', 'fit-downtime'],
    'post-copy': ['post-copy'],
    pause: ['pause'],
    'power-off': ['power-off'],
    abort: ['abort'],
  };

function assertNamed({ action, step }: Decision, policy: Policy): void {
  if (action.do === 'note') return;
  if (action.do === 'release-throttle')
    return assert.ok(policy.throttle !== undefined, 'released what was never allowed');
  const measure = policy.steps[step ?? -1]?.do;
  assert.ok(measure !== undefined && behind[action.do].includes(measure), `${action.do} without a step for it`);
}

/** The most that the link has carried for the last `ms`, bytes per second. */
const bestOf = (link: Link, atMs: number, ms: number): number =>
  Math.max(...Array.from({ length: 11 }, (_, index) => capacityAt(link, Math.max(0, atMs - (index * ms) / 10))));
const sentence = ({ end, totalMs, downtimeMs, decisions }: Run): string =>
  `${end} after ${Math.round(totalMs)} ms, ${Math.round(downtimeMs)} ms ` +
  `paused\n${decisions.map(({ at, text }) => `${at}: ${text}`).join('\n')}`;

test('property: the pause budget stays within its limit, and nothing is done that the policy does not name', () => {
  fc.assert(
    fc.property(
      anySituation,
      anyPolicy,
      fc.boolean(),
      fc.boolean(),
      ({ guest, steady, dropping }, policy, drops, recoverable) => {
        const { decisions, highestThrottle } = run({
          guest,
          link: drops ? dropping : steady,
          policy,
          recoverable,
          watchMs,
        });
        for (const decision of decisions) {
          assertNamed(decision, policy);
          if (decision.action.do === 'set-downtime')
            assert.ok(decision.action.toMs <= policy.downtime.limitMs, decision.text);
          if (decision.action.do === 'post-copy')
            assert.ok(policy.postCopy === 'allowed' || (policy.postCopy === 'if-recoverable' && recoverable));
        }
        if (policy.throttle === undefined) assert.equal(highestThrottle, 0);
        assert.ok(decisions.length <= 16, `${decisions.length} decisions`);
      },
    ),
    runs,
  );
});

test('property: neither post-copy nor a pause begins on a link that is down, or gives half of what it gave', () => {
  fc.assert(
    fc.property(anySituation, anyPolicy, ({ rate, guest, dropping }, policy) => {
      const result = run({ guest, link: dropping, policy, recoverable: true, watchMs });
      for (const { at, action } of result.decisions) {
        if (action.do !== 'post-copy' && action.do !== 'pause') continue;
        // a drop that has only just begun cannot be seen
        assert.ok(bestOf(dropping, at, 2_000) > 0.5 * rate, `${action.do} at ${at} ms\n${sentence(result)}`);
      }
    }),
    runs,
  );
});

test(
  'property: a link that drops and returns leads to nothing that cannot be taken back, for a guest that ' +
    'converges on the whole link',
  () => {
    fc.assert(
      fc.property(anySituation, anyPolicy, ({ guest, steady, dropping }, policy) => {
        const undisturbed = run({ guest, link: steady, policy, recoverable: true, watchMs });
        fc.pre(undisturbed.end === 'pre-copy' && undisturbed.decisions.length === 0);
        const result = run({ guest, link: dropping, policy, recoverable: true, watchMs });
        for (const { action, step } of result.decisions) {
          const trigger = policy.steps[step ?? -1]?.when;
          if (trigger === 'forecast' || trigger === 'stalled')
            assert.equal(action.do, 'set-downtime', sentence(result));
        }
      }),
      runs,
    );
  },
);

/**
 * Share of the looks since the second pass whose interval holds the real end: 93 % were measured; the rest is before
 * a measure that nobody predicts.
 */
const shareHeld = 0.85;
/**
 * Of 20,000 guests none took longer than 1.34 times what it takes to send everything and each working set once more,
 * and ten seconds.
 */
const worstMultiple = 1.5;
/** For the looks that a policy needs to see short passes at all, ms. */
const looksMs = 10_000;

test("property: Ferry's default ends every guest on a steady link, in time and within its pause", () => {
  fc.assert(
    fc.property(anySituation, ({ rate, guest, steady }) => {
      const result = run({ guest, link: steady, policy: ferry, recoverable: true, watchMs });
      assert.ok(result.end === 'pre-copy' || result.end === 'post-copy', sentence(result));
      const multiple = (result.totalMs - looksMs) / onceAndAgainMs(guest, rate);
      assert.ok(multiple < worstMultiple, `${multiple}\n${sentence(result)}`);
      const fixedMs = 20 + 2 * steady.latencyMs;
      // the rest fits into the budget by what the link gave in the last window; the next may give less
      assert.ok(
        result.downtimeMs <= (result.end === 'post-copy' ? 0 : ferry.downtime.limitMs * 1.12) + fixedMs + 1,
        sentence(result),
      );
    }),
    runs,
  );
});

test('property: throttling without effect is removed and stays off', () => {
  // written so fast that even one percent of the guest's speed dirties its set in every pass
  const hopeless = fc.record({
    seconds: fc.double({ min: 20, max: 120, noNaN: true }),
    share: fc.double({ min: 0.2, max: 0.9, noNaN: true }),
    speed: fc.integer({ min: 150, max: 1_000 }),
  });
  // the other presets that throttle end before two steps of it are over
  const patient = fc.constantFrom(
    ...[...presets.values()].filter(
      ({ throttle, steps }) =>
        throttle !== undefined && !steps.some((step) => step.do === 'abort' || step.do === 'pause'),
    ),
  );
  fc.assert(
    fc.property(hopeless, patient, ({ seconds, share, speed }, policy) => {
      const rate = 100 * mib;
      const memory = {
        totalBytes: rate * seconds,
        sets: [{ bytes: rate * seconds * share, dirtyBytesPerSecond: rate * speed }],
      };
      const { decisions, looks } = run({
        guest: { memory },
        link: steadyLink(rate),
        policy,
        recoverable: true,
        watchMs,
      });
      const releases = decisions.filter(({ action }) => action.do === 'release-throttle');
      assert.equal(releases.length, 1);
      const at = releases[0]?.at ?? 0;
      const seen = (after: boolean): ReadonlySet<number> =>
        new Set(
          looks.filter(({ atMs }) => (after ? atMs > at : atMs <= at)).map(({ sample }) => sample.throttlePercent ?? 0),
        );
      assert.deepEqual(seen(true), new Set([0]));
      assert.ok(Math.max(...seen(false)) <= 80, `what proves it, and no more: ${[...seen(false)].join()}`);
    }),
    { ...runs, numRuns: 20 },
  );
});

test('property: throttling that helps is left alone', () => {
  const busy = fc.record({
    seconds: fc.double({ min: 20, max: 120, noNaN: true }),
    share: fc.double({ min: 0.3, max: 0.9, noNaN: true }),
    speed: fc.double({ min: 0.75, max: 1.15, noNaN: true }),
  });
  fc.assert(
    fc.property(
      busy,
      fc.constantFrom(...[...presets.values()].filter(({ throttle }) => throttle !== undefined)),
      ({ seconds, share, speed }, policy) => {
        const rate = 100 * mib;
        const memory = {
          totalBytes: rate * seconds,
          sets: [{ bytes: rate * seconds * share, dirtyBytesPerSecond: rate * speed }],
        };
        const { decisions } = run({ guest: { memory }, link: steadyLink(rate), policy, recoverable: true, watchMs });
        assert.equal(
          decisions.some(({ action }) => action.do === 'release-throttle'),
          false,
          decisions.map(({ text }) => text).join('\n'),
        );
      },
    ),
    { ...runs, numRuns: 60 },
  );
});

test('property: progress never falls, and the predicted time left is near the real end', () => {
  let told = 0;
  let held = 0;
  fc.assert(
    fc.property(anySituation, ({ guest, steady }) => {
      const { looks, totalMs } = run({ guest, link: steady, policy: ferry, recoverable: true, watchMs });
      let percent = 0;
      for (const { atMs, sample, progress } of looks) {
        assert.ok(progress.percent >= percent && progress.percent <= 99);
        percent = progress.percent;
        const { etaMs, etaEarliestMs, etaLatestMs } = progress;
        if (etaMs === undefined || etaEarliestMs === undefined || etaLatestMs === undefined) continue;
        assert.ok(etaEarliestMs <= etaMs && etaMs <= etaLatestMs, `${etaEarliestMs} ${etaMs} ${etaLatestMs}`);
        if (sample.iteration < 2) continue;
        told += 1;
        held += atMs + etaEarliestMs <= totalMs + 250 && totalMs <= atMs + etaLatestMs ? 1 : 0;
      }
    }),
    { ...runs, numRuns: 400 },
  );
  assert.ok(told > 1_000 && held >= shareHeld * told, `${held} of ${told}`);
});
