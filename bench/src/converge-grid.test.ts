import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contenderNames, howOf, judge, summaryOf, type Run } from './converge-grid.ts';

const run = (totalMs: number, silenceMs: number, finished = true): Run => ({
  finished,
  totalMs,
  silenceMs,
  downtimeMs: silenceMs,
  slowdown: 0.1,
  restarted: false,
  damagedPages: 0,
});

test('a summary takes its times from runs that finished', () => {
  const { share, totalMs, silenceMs } = summaryOf([run(10_000, 100), run(90_000, 9_000, false), run(12_000, 120)]);
  assert.deepEqual({ share, totalMs, silenceMs }, { share: 2 / 3, totalMs: 11_000, silenceMs: 110 });
  assert.ok(Number.isNaN(summaryOf([run(1, 1, false)]).totalMs));
});

test('a contender that finishes what the default does not, or is better in both, is found', () => {
  const verdict = (equal: readonly Run[], own: readonly Run[], name = 'virsh') =>
    judge(
      new Map([
        [
          'calm',
          new Map([
            [name, equal],
            ['ferry', own],
          ]),
        ],
      ]),
    );
  assert.deepEqual(verdict([run(10_000, 100)], [run(10_000, 100)]), { unfinished: [], better: [] });
  assert.equal(verdict([run(10_000, 100)], [run(90_000, 100, false)])?.unfinished.length, 1);
  assert.equal(verdict([run(9_000, 90)], [run(10_000, 100)])?.better.length, 1);
  // in one of both only
  assert.equal(verdict([run(9_000, 99)], [run(10_000, 100)])?.better.length, 0);
  // it throttles, which the default may not
  assert.equal(verdict([run(9_000, 90)], [run(10_000, 100)], 'virsh-auto-converge'), undefined);
});

test('each contender says how it moves a guest', () => {
  assert.deepEqual(howOf('virsh-auto-converge'), { tool: 'virsh', flags: ['--auto-converge'] });
  assert.deepEqual(howOf('ferry'), { tool: 'ferry' });
  assert.deepEqual(howOf('ferry:nova'), { tool: 'ferry', policy: 'nova' });
  assert.equal(new Set(contenderNames).size, contenderNames.length);
});
