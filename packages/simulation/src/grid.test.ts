import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  contenders,
  dirtyRates,
  gridCells,
  isEqual,
  judgeGrid,
  ours,
  runGrid,
  type Grid,
  type Outcome,
} from './grid.ts';

/** Every other size and rate. */
const some = gridCells.filter(
  (_, index) => Math.floor(index / dirtyRates.length) % 2 === 0 && (index % dirtyRates.length) % 2 === 1,
);

test('who may do as much as the default: what neither throttles, pauses nor powers off', () => {
  assert.deepEqual(
    [...contenders].filter(([, content]) => isEqual(content)).map(([name]) => name),
    [
      'virsh',
      'virsh-post-copy',
      'ferry',
      'ferry:harvester',
      'ferry:kubevirt',
      'ferry:nova',
      'ferry:pcd',
      'ferry:rhel',
      'ferry:rhel-postcopy',
    ],
  );
});

test("Ferry's default finishes every cell, and no equal is 5 % better in time and downtime at once", () => {
  const grid = runGrid(some, [ours, 'virsh-post-copy', 'ferry:kubevirt', 'ferry:rhel-postcopy']);
  assert.deepEqual(judgeGrid(grid), { unfinished: [], better: [] });
  const finished = (name: string): number => grid.get(name)?.filter(({ outcome }) => outcome.finished).length ?? 0;
  assert.ok(finished('ferry:kubevirt') < some.length, 'there are cells that plain pre-copy does not finish');
});

test('the verdict sees a cell that is not finished, and an equal that is better in both', () => {
  const cell = { setSeconds: 1, dirty: 1 };
  const outcome = (changes: Partial<Outcome>): Outcome => ({
    end: 'pre-copy',
    totalMs: 1_000,
    downtimeMs: 100,
    highestThrottle: 0,
    finished: true,
    ...changes,
  });
  const grid = (mine: Partial<Outcome>, theirs: Partial<Outcome>, name = 'virsh'): Grid =>
    new Map([
      [ours, [{ cell, outcome: outcome(mine) }]],
      [name, [{ cell, outcome: outcome(theirs) }]],
    ]);
  assert.deepEqual(judgeGrid(grid({ finished: false }, {})).unfinished, [cell]);
  assert.equal(judgeGrid(grid({}, { totalMs: 900, downtimeMs: 90 })).better.length, 1);
  assert.equal(judgeGrid(grid({}, { totalMs: 960, downtimeMs: 90 })).better.length, 0);
  assert.equal(judgeGrid(grid({}, { totalMs: 900, downtimeMs: 99 })).better.length, 0);
  assert.equal(judgeGrid(grid({}, { totalMs: 900, downtimeMs: 90 }, 'ferry:proxmox')).better.length, 0, 'it throttles');
});
