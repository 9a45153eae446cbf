import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '../model/decision.ts';
import type { PolicyContent, PolicyStep } from '../model/policy.ts';
import { presets } from '../policy/presets.ts';
import { decide, type Situation } from './decide.ts';
import { diskLook, look, mib, watched, type ExamplePass } from './example-history.ts';
import { follow } from './transfer-history.ts';

const ferry = presets.get('default') ?? assert.fail('no default');
const policy = (...steps: readonly PolicyStep[]): PolicyContent => ({ ...ferry, steps });
const situation = (changes: Partial<Situation> = {}): Situation => ({
  downtimeMs: 100,
  sizeBytes: 4_096 * mib,
  mayPostCopy: true,
  paused: false,
  decisions: [],
  ...changes,
});
const decided = (
  content: PolicyContent,
  passes: readonly ExamplePass[],
  changes: Partial<Situation> = {},
): Decision | undefined => {
  const { history, now } = watched(passes);
  return decide(content, history, situation(changes), now);
};
/** Passes that leave 35 MiB each time: a pause of 350 ms. */
const hotSet: readonly ExamplePass[] = [
  { rest: 4_000 },
  ...Array.from({ length: 8 }, () => ({ rest: 35 })),
  { rest: 35, seconds: 0 },
];
const busy: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 3_900, seconds: 1 }];

test('a transfer that will end is left alone', () => {
  assert.equal(decided(ferry, [{ rest: 4_000 }, { rest: 400 }]), undefined);
  assert.equal(decided(ferry, [{ rest: 4_000, seconds: 20 }]), undefined, 'nothing is known in the first pass');
});

test("a hot set that fits into the default's longest pause: the budget becomes what it needs, and some", () => {
  const decision = decided(ferry, hotSet);
  assert.deepEqual([decision?.action, decision?.step], [{ do: 'set-downtime', toMs: 410 }, 0]);
  assert.equal(
    decision?.text,
    'iteration 10: 35 MiB left, guest writes 100 MiB/s, link gives 100: the smallest rest would ' +
      'take a pause of 350 ms, raising the pause budget from 100 ms to 410 ms',
  );
});

test('a guest that writes as fast as the link carries: post-copy, as soon as the first pass is over', () => {
  const decision = decided(ferry, busy);
  assert.deepEqual([decision?.action, decision?.step], [{ do: 'post-copy' }, 1]);
  assert.equal(
    decision?.text,
    'iteration 2: 3800 MiB left, guest writes 98 MiB/s, link gives 100: the smallest rest would ' +
      'take a pause of 39 s, switching to post-copy',
  );
});

test('the same without post-copy: it says once that no step helps', () => {
  const first = decided(ferry, busy, { mayPostCopy: false });
  assert.deepEqual([first?.action, first?.step], [{ do: 'note', what: 'no-way' }, undefined]);
  assert.ok(first !== undefined);
  assert.equal(decided(ferry, busy, { mayPostCopy: false, decisions: [first] }), undefined);
});

test('it would end, but later than the policy waits: post-copy', () => {
  const slowly: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 3_600, seconds: 1 }];
  assert.equal(decided(ferry, slowly)?.action.do, 'post-copy');
  assert.equal(
    decided(ferry, slowly)?.text,
    'iteration 2: 3500 MiB left, guest writes 90 MiB/s, link gives 100: by itself it would take 358 s more, switching to post-copy',
  );
  assert.equal(decided({ ...ferry, patience: 20 }, slowly), undefined);
});

test('it would end, but not before the deadline: post-copy', () => {
  const passes: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 1_000, seconds: 1 }];
  assert.equal(decided(ferry, passes), undefined);
  assert.equal(decided(ferry, passes, { deadlineAt: 50_000 })?.action.do, 'post-copy');
});

test('the same where the policy has no step that would help: it says so, once, and gives up when the deadline has come', () => {
  const until = policy({ when: 'deadline', do: 'abort' });
  const passes: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 1_000, seconds: 1 }];
  const note = decided(until, passes, { deadlineAt: 50_000 }) ?? assert.fail('nothing was said');
  assert.equal(
    note.text,
    'iteration 2: 900 MiB left, guest writes 25 MiB/s, link gives 100: by itself it would take 12 s ' +
      'more, past its deadline, and no step of the policy helps now',
  );
  assert.equal(decided(until, passes, { deadlineAt: 50_000, decisions: [note] }), undefined);
  assert.equal(decided(until, passes, { deadlineAt: 60_000 }), undefined);
  assert.equal(decided(until, passes, { deadlineAt: 41_000, decisions: [note] })?.action.do, 'abort');
});

test('after a measure the next pass is waited for, so that its effect is seen', () => {
  const first = decided(ferry, hotSet) ?? assert.fail('nothing was decided');
  const { history, now } = watched(hotSet);
  const raised = situation({ downtimeMs: 410, decisions: [first] });
  assert.equal(decide(ferry, history, raised, now + 500), undefined);
  const { history: next, now: then } = watched(
    [...Array.from({ length: 6 }, () => ({ rest: 35 })), { rest: 35, seconds: 0 }],
    { history, now },
  );
  assert.deepEqual(
    decide(ferry, next, raised, then)?.action,
    { do: 'set-downtime', toMs: 500 },
    'QEMU did not switch: somewhat more, up to the limit',
  );
});

test('a slow link is distinguished from a busy guest: nothing is done, one note', () => {
  const slow: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 400, link: 10, seconds: 20 }];
  const note = decided(ferry, slow) ?? assert.fail('nothing was said');
  assert.deepEqual(note.action, { do: 'note', what: 'link-slow' });
  assert.equal(
    note.text,
    'iteration 2: 200 MiB left, guest writes 10 MiB/s, link gives 100: the link gives 10 MiB/s now, it ' +
      'gave 100; waiting for the link; the guest is not the cause',
  );
  assert.equal(decided(ferry, slow, { decisions: [note] }), undefined);
});

test('post-copy and a pause wait for the link, whatever asks for them; giving up does not', () => {
  const down: readonly ExamplePass[] = [{ rest: 4_000 }, { rest: 3_000, link: 0, seconds: 400 }];
  for (const measure of ['post-copy', 'pause'] as const)
    assert.equal(decided(policy({ when: 'elapsed', ms: 1_000, do: measure }), down)?.action.do, 'note', measure);
  assert.equal(decided(policy({ when: 'no-progress', ms: 300_000, do: 'abort' }), down)?.action.do, 'abort');
});

test('each trigger, just before and just after it is due', () => {
  const cases: readonly (readonly [PolicyStep, readonly ExamplePass[], readonly ExamplePass[]])[] = [
    [
      { when: 'passes', count: 2, do: 'abort' },
      [{ rest: 4_000 }, { rest: 400 }, { rest: 40 }],
      [{ rest: 4_000 }, { rest: 400 }, { rest: 40 }, { rest: 4, seconds: 0 }],
    ],
    [
      { when: 'stalled', passes: 2, do: 'abort' },
      [{ rest: 1_000 }, { rest: 500 }, { rest: 500 }],
      [{ rest: 1_000 }, { rest: 500 }, { rest: 500 }, { rest: 500 }],
    ],
    [
      { when: 'elapsed', msPerGib: 10_000, do: 'abort' },
      [{ rest: 10_000, seconds: 39 }],
      [{ rest: 10_000, seconds: 40 }],
    ],
    [
      { when: 'elapsed', ms: 50_000, msPerGib: 10_000, do: 'abort' },
      [{ rest: 10_000, seconds: 49 }],
      [{ rest: 10_000, seconds: 50 }],
    ],
    [
      { when: 'no-progress', ms: 20_000, do: 'abort' },
      [{ rest: 1_000, link: 0, seconds: 19 }],
      [{ rest: 1_000, link: 0, seconds: 20 }],
    ],
    [
      { when: 'throttled', percent: 99, passes: 2, do: 'abort' },
      [{ rest: 800 }, { rest: 400, throttle: 99 }, { rest: 200, throttle: 99 }],
      [
        { rest: 800 },
        { rest: 400, throttle: 99 },
        { rest: 200, throttle: 99 },
        { rest: 100, throttle: 99, seconds: 0.5 },
      ],
    ],
  ];
  for (const [step, before, after] of cases) {
    assert.notEqual(decided(policy(step), before)?.action.do, 'abort', `${step.when} too early`);
    assert.equal(decided(policy(step), after)?.action.do, 'abort', step.when);
  }
  const deadline: PolicyStep = { when: 'deadline', do: 'abort' };
  assert.equal(decided(policy(deadline), [{ rest: 1_000, seconds: 5 }], { deadlineAt: 5_001 }), undefined);
  assert.equal(decided(policy(deadline), [{ rest: 1_000, seconds: 5 }], { deadlineAt: 5_000 })?.action.do, 'abort');
  assert.equal(decided(policy(deadline), [{ rest: 1_000, seconds: 5 }]), undefined, 'no deadline');
});

test('before QEMU has begun a time per GiB is not over, and what is smallest begins with the first rest', () => {
  const zeros = look({ iteration: 0, rest: 0, sent: 0, link: 0, total: 0 });
  const waiting = follow(undefined, zeros, 0);
  const perGib = policy(
    { when: 'elapsed', msPerGib: 150_000, do: 'abort' },
    { when: 'no-progress', ms: 150_000, do: 'abort' },
  );
  assert.equal(decide(perGib, waiting, situation({ sizeBytes: 0 }), 400), undefined);
  const { history, now } = watched([{ rest: 4_000, link: 10, seconds: 200 }], { history: waiting });
  assert.equal(decide(perGib, history, situation(), now), undefined, 'it has become less all the time');
});

test('the pause budget: never above the limit, never lowered, doubled as often as it takes', () => {
  const raise = (toMs: number, downtimeMs: number) =>
    decided(
      policy({ when: 'passes', count: 0, do: 'raise-downtime', toMs }),
      [{ rest: 1_000 }, { rest: 100, seconds: 0 }],
      { downtimeMs },
    )?.action;
  assert.deepEqual(
    [raise(300, 100), raise(900, 100), raise(300, 400)],
    [{ do: 'set-downtime', toMs: 300 }, { do: 'set-downtime', toMs: 500 }, undefined],
  );
  assert.deepEqual(
    decided(
      {
        ...policy({ when: 'passes', count: 0, do: 'raise-downtime', toMs: 300 }),
        downtime: { initialMs: 50, limitMs: 50 },
      },
      [{ rest: 1_000 }, { rest: 100, seconds: 0 }],
      { downtimeMs: 50 },
    ),
    undefined,
    'at the limit nothing is raised',
  );
  const double = (downtimeMs: number, decisions: readonly Decision[] = []) =>
    decided(policy({ when: 'passes', count: 0, do: 'double-downtime' }), [{ rest: 1_000 }, { rest: 100, seconds: 0 }], {
      downtimeMs,
      decisions,
    })?.action;
  assert.deepEqual(
    [double(100), double(400), double(500)],
    [{ do: 'set-downtime', toMs: 200 }, { do: 'set-downtime', toMs: 500 }, undefined],
  );
  assert.ok(
    double(200, [
      decided(policy({ when: 'passes', count: 0, do: 'double-downtime' }), [{ rest: 1_000 }, { rest: 100 }]) ??
        assert.fail(),
    ]) !== undefined,
    'again',
  );
});

test('a measure for stalled passes that is repeated gets as many passes again', () => {
  const doubling = policy({ when: 'stalled', passes: 3, do: 'double-downtime' });
  const stalling = (count: number): readonly ExamplePass[] => [
    { rest: 500 },
    ...Array.from({ length: count }, () => ({ rest: 200 })),
    { rest: 200, seconds: 0 },
  ];
  const { history, now } = watched(stalling(3));
  const first = decide(doubling, history, situation(), now) ?? assert.fail('not doubled');
  assert.deepEqual(first.action, { do: 'set-downtime', toMs: 200 });
  const next = (count: number) => {
    const { history: later, now: then } = watched(
      Array.from({ length: count }, () => ({ rest: 200 })),
      { history, now },
    );
    return decide(doubling, later, situation({ downtimeMs: 200, decisions: [first] }), then)?.action;
  };
  assert.notEqual(next(2)?.do, 'set-downtime');
  assert.deepEqual(next(4), { do: 'set-downtime', toMs: 400 });
});

test('a step is taken once; a paused guest is not paused again nor moved by post-copy', () => {
  const pause = policy({ when: 'elapsed', ms: 1_000, do: 'pause' }, { when: 'elapsed', ms: 1_000, do: 'post-copy' });
  const first = decided(pause, [{ rest: 1_000, seconds: 5 }]) ?? assert.fail('not paused');
  assert.equal(first.action.do, 'pause');
  assert.equal(decided(pause, [{ rest: 1_000, seconds: 6 }], { decisions: [first], paused: true }), undefined);
});

const throttled = (rests: readonly number[]): readonly ExamplePass[] =>
  rests.map((rest, index) => ({ rest, throttle: [0, 50, 60, 70][index] ?? 70 }));

test('throttling without effect in two steps is removed; throttling that helps goes on', () => {
  const mild: PolicyContent = { ...policy(), throttle: { initialPercent: 20, incrementPercent: 10 } };
  const release = decided(mild, throttled([1_000, 1_000, 1_000, 1_000, 1_000]));
  assert.deepEqual(release?.action, { do: 'release-throttle' });
  assert.match(
    release?.text ?? '',
    /slowed down by 70 %, link gives 100: two steps of throttling changed nothing, undoing it$/,
  );
  assert.ok(release !== undefined);
  assert.notEqual(
    decided(mild, throttled([1_000, 1_000, 1_000, 1_000, 1_000]), { decisions: [release] })?.action.do,
    'release-throttle',
  );
  assert.notEqual(decided(mild, throttled([1_000, 900, 700, 500, 300]))?.action.do, 'release-throttle');
});

test('disks that never end: reported after 15 s without gain, with the rate of the link; memory measures wait', () => {
  const stuck = (copied: number) => {
    let history = follow(undefined, diskLook(500, 1_000), 0);
    for (let second = 1; second <= 20; second += 1)
      history = follow(history, diskLook(500, 1_000 + copied * second), second * 1_000);
    return decide(policy({ when: 'elapsed', ms: 1, do: 'post-copy' }), history, situation(), 20_000);
  };
  assert.deepEqual(stuck(40)?.action, { do: 'note', what: 'disks-stalled' });
  assert.equal(
    stuck(40)?.text,
    'disks: 500 MiB left, the link gives 40 MiB/s: no progress for 20 s, the guest writes as fast as its disks are copied',
  );
  assert.equal(stuck(0)?.text, 'disks: 500 MiB left, the link gives 0 MiB/s: nothing has moved for 20 s');
});
