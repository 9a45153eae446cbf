import assert from 'node:assert/strict';
import { test } from 'node:test';
import { follow, withNewRate } from './transfer-history.ts';
import { look, mib, watched, type ExamplePass } from './example-history.ts';
import {
  canCarry,
  forecast,
  honestRests,
  isLinkSlow,
  linkRate,
  neededPauseMs,
  patientSince,
  stalledPasses,
} from './forecast.ts';

const ahead = (passes: readonly ExamplePass[], budgetMs = 300) => {
  const { history, now } = watched(passes);
  return forecast(history, budgetMs, now);
};

test('the first pass predicts nothing', () => {
  assert.deepEqual(ahead([{ rest: 4_000 }]), { kind: 'unknown', because: 'first-pass' });
});

test('passes that halve end: after 100 and 50 MiB more, 25 fit into the pause', () => {
  assert.deepEqual(ahead([{ rest: 400 }, { rest: 200 }, { rest: 100, seconds: 0 }]), { kind: 'ends', inMs: 1_500 });
});

test('a guest that writes as fast as the link carries never ends, and the first pass already shows it', () => {
  assert.deepEqual(ahead([{ rest: 4_000 }, { rest: 3_980, seconds: 0 }]), { kind: 'never' });
});

test('a link whose rate is read a little too high at times does not hide that nothing is gained', () => {
  assert.equal(ahead([{ rest: 500, link: 105 }, { rest: 400 }, { rest: 398, seconds: 0 }]).kind, 'never');
});

test('a hot set that no pass makes smaller is not hidden by a large first pass', () => {
  assert.deepEqual(ahead([{ rest: 4_000 }, { rest: 800 }, { rest: 800, seconds: 0 }]), { kind: 'never' });
});

test('what fits into the pause ends at once', () => {
  assert.deepEqual(ahead([{ rest: 400 }, { rest: 20, seconds: 0 }]), { kind: 'ends', inMs: 200 });
});

test('short passes that gain nothing for seconds do not end, whatever their figures promise', () => {
  const short = (count: number): ExamplePass[] =>
    Array.from({ length: count }, () => ({ rest: 25, seconds: 1, link: 100 }));
  assert.equal(ahead([{ rest: 400 }, ...short(3)]).kind, 'ends');
  assert.equal(ahead([{ rest: 400 }, ...short(8)]).kind, 'ends', 'QEMU counts a gain: looked at for longer');
  assert.equal(ahead([{ rest: 400 }, ...short(12)]).kind, 'never', 'QEMU would have switched');
});

test('a pass on a slow link does not count for the guest', () => {
  const slow = [{ rest: 1_000 }, { rest: 300, link: 20 }, { rest: 450, seconds: 2 }];
  const { history, now } = watched(slow);
  assert.deepEqual(
    honestRests(history, now).map(({ pass }) => pass.iteration),
    [2],
    'the rest after pass 2 is left out',
  );
  assert.deepEqual(forecast(history, 300, now), { kind: 'unknown', because: 'link' });
});

test('a link at two thirds is not mistaken for a busier guest', () => {
  // 60 MiB/s written; at 70 MiB/s passes hardly shrink, at 100 they would
  assert.equal(ahead([{ rest: 1_000 }, { rest: 600, link: 70 }, { rest: 514, link: 70, seconds: 3 }]).kind, 'ends');
});

test('the link is slow when it carries much less than before, and the old rate counts for a minute', () => {
  const { history, now } = watched([
    { rest: 4_000, seconds: 10 },
    { rest: 3_000, link: 30, seconds: 20 },
  ]);
  assert.equal(isLinkSlow(history, now), true);
  assert.equal(Math.round(linkRate(history, now) / mib), 100);
  const { history: later, now: then } = watched([
    { rest: 4_000, seconds: 10 },
    { rest: 9_000, link: 30, seconds: 90 },
    { rest: 100, link: 30 },
    { rest: 100, link: 30 },
  ]);
  assert.equal(isLinkSlow(later, then), false);
  assert.equal(Math.round(linkRate(later, then) / mib), 30);
});

test(
  'nothing irreversible on a link that is down or has just slowed down; after two minutes it is taken as ' +
    'it is, unless it gives next to nothing',
  () => {
    const carries = (link: number, seconds: number): boolean => {
      const { history, now } = watched([
        { rest: 4_000, seconds: 10 },
        { rest: 100_000, link, seconds },
      ]);
      return canCarry(history, now);
    };
    assert.deepEqual(
      [100, 70, 40, 10, 0].map((link) => carries(link, 20)),
      [true, true, false, false, false],
    );
    assert.deepEqual(
      [100, 70, 40, 10, 0].map((link) => carries(link, 150)),
      [true, true, true, false, false],
    );
  },
);

test('time on a slow link does not count against the guest', () => {
  const since = (...passes: readonly ExamplePass[]) => {
    const { history, now } = watched(passes);
    return patientSince(history, now);
  };
  assert.equal(since({ rest: 1_000 }, { rest: 500 }, { rest: 250 }), 10_000, 'the end of the first pass');
  assert.equal(
    since({ rest: 1_000 }, { rest: 500, link: 50 }, { rest: 500 }, { rest: 250 }),
    20_000,
    'the end of the slow one',
  );
});

test('a rate that the operator lowered is no slow link', () => {
  const { history, now } = watched([{ rest: 4_000, seconds: 30 }]);
  const lowered = withNewRate(history, now);
  let next = lowered;
  for (let second = 1; second <= 3; second += 1)
    next = follow(
      next,
      look({ iteration: 1, rest: 1_000 - second * 5, sent: 3_000 + second * 5, link: 5 }),
      now + second * 1_000,
    );
  assert.deepEqual(
    [isLinkSlow(next, now + 3_000), canCarry(next, now + 3_000), Math.round(linkRate(next, now + 3_000) / mib)],
    [false, true, 5],
  );
});

test('a link that went down a moment ago does not carry, though its last five seconds were good on the whole', () => {
  const { history, now } = watched([{ rest: 4_000, seconds: 10 }]);
  const down = [1, 2].reduce(
    (each, second) => follow(each, look({ iteration: 1, rest: 3_000, sent: 1_000 }), now + second * 1_000),
    history,
  );
  assert.equal(canCarry(down, now + 2_000), false);
});

test('the pause that is needed is that of the smallest of the last rests', () => {
  const { history, now } = watched([{ rest: 4_000 }, { rest: 300 }, { rest: 80 }, { rest: 90 }]);
  assert.equal(Math.round(neededPauseMs(history, now, 100) ?? 0), 800);
  const { history: first, now: then } = watched([{ rest: 4_000 }]);
  assert.equal(neededPauseMs(first, then, 100), undefined);
});

test('stalled passes are counted from the best one; those on a slowed link are not', () => {
  const count = (passes: readonly ExamplePass[]): number => {
    const { history, now } = watched(passes);
    return stalledPasses(history, now);
  };
  assert.equal(
    count([{ rest: 1_000 }, { rest: 500 }, { rest: 490 }, { rest: 510 }, { rest: 500 }]),
    3,
    '490 is no gain',
  );
  assert.equal(count([{ rest: 1_000 }, { rest: 500 }, { rest: 500 }, { rest: 400 }]), 0);
  assert.equal(
    count([
      { rest: 1_000 },
      { rest: 50 },
      { rest: 30 },
      { rest: 20, link: 2 },
      { rest: 300 },
      { rest: 250 },
      { rest: 200 },
    ]),
    0,
    'what a break of the link left is no loss',
  );
  assert.equal(
    count([
      { rest: 1_000 },
      { rest: 500, link: 50 },
      { rest: 800, link: 50 },
      { rest: 700, link: 50 },
      { rest: 700, link: 50, seconds: 1 },
    ]),
    0,
  );
});
