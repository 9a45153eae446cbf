import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Action, Figures } from '../model/decision.ts';
import type { PolicyStep } from '../model/policy.ts';
import { decisionText } from './words.ts';

const mib = 1_048_576;
const figures: Figures = {
  part: 'memory',
  iteration: 7,
  restBytes: 212 * mib,
  dirtyBytesPerSecond: 48 * mib,
  linkBytesPerSecond: 44 * mib,
  presentBytesPerSecond: 43 * mib,
  downtimeMs: 100,
  throttlePercent: 0,
  unchangedMs: 150_400,
  elapsedMs: 61_000,
  neededPauseMs: 287,
};
const text = (action: Action, step?: PolicyStep, changes: Partial<Figures> = {}): string =>
  decisionText(action, { ...figures, ...changes }, step);

test('a decision says what was seen, why it is due and what is done', () => {
  const seen = 'iteration 7: 212 MiB left, guest writes 48 MiB/s, link gives 44: ';
  const cases: readonly (readonly [Action, PolicyStep | undefined, string])[] = [
    [
      { do: 'set-downtime', toMs: 300 },
      { when: 'passes', count: 6, do: 'raise-downtime', toMs: 300 },
      'raising the pause budget from 100 ms to 300 ms',
    ],
    [
      { do: 'set-downtime', toMs: 300 },
      { when: 'forecast', do: 'fit-downtime' },
      'the smallest rest would take a pause of 287 ms, raising the pause budget from 100 ms to 300 ms',
    ],
    [
      { do: 'set-downtime', toMs: 40_000 },
      { when: 'stalled', passes: 5, do: 'double-downtime' },
      '5 passes gained nothing, raising the pause budget from 100 ms to 40 s',
    ],
    [{ do: 'post-copy' }, { when: 'elapsed', ms: 60_000, do: 'post-copy' }, '61 s have passed, switching to post-copy'],
    [
      { do: 'pause' },
      { when: 'deadline', do: 'pause' },
      'the deadline has come, pausing the guest until it has arrived',
    ],
    [
      { do: 'power-off' },
      { when: 'throttled', percent: 99, passes: 2, do: 'power-off' },
      'shutting the guest down to move it cold',
    ],
    [
      { do: 'abort' },
      { when: 'no-progress', ms: 150_000, do: 'abort' },
      'no progress for 150 s, aborting; the guest stays where it is',
    ],
    [{ do: 'release-throttle' }, undefined, 'two steps of throttling changed nothing, undoing it'],
    [{ do: 'note', what: 'no-way' }, undefined, 'it does not end by itself, and no step of the policy helps now'],
  ];
  for (const [action, step, sentence] of cases) assert.equal(text(action, step), seen + sentence);
});

test('throttling is mentioned if there is some, and an unknown pause is omitted', () => {
  assert.match(
    text({ do: 'post-copy' }, undefined, { throttlePercent: 40 }),
    /guest writes 48 MiB\/s, slowed down by 40 %, link gives 44: switching/,
  );
  const { neededPauseMs: _, ...unknown } = figures;
  assert.equal(
    decisionText({ do: 'post-copy' }, unknown, { when: 'forecast', do: 'post-copy' }),
    'iteration 7: 212 MiB left, guest writes 48 MiB/s, link gives 44: switching to post-copy',
  );
});

test('for disks, no pass and no dirty rate is mentioned', () => {
  assert.equal(
    text({ do: 'abort' }, { when: 'no-progress', ms: 1, do: 'abort' }, { part: 'disks' }),
    'disks: 212 MiB left, the link gives 43 MiB/s: no progress for 150 s, aborting; the guest stays where it is',
  );
});
