/**
 * What the default policy makes of real migrations: libvirt's figures as they were recorded from lab guests by
 * "script/bench converge --traces", fed to the engine as if they came now. The first line of each file says what it is.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  decide,
  follow,
  presets,
  progressOf,
  type TransferHistory,
  type Decision,
  type JobSample,
  type MigrationProgress,
} from '@ferry/core';

const folder = join(import.meta.dirname, 'traces');
const samplesOf = (name: string): readonly JobSample[] =>
  readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as JobSample);

/** Replays the trace. Measures do not act on it, so only what is decided first means something. */
function replay(
  name: string,
  policyName = 'default',
): { readonly decisions: readonly Decision[]; readonly progress: readonly MigrationProgress[] } {
  const policy = presets.get(policyName);
  assert.ok(policy);
  let history: TransferHistory | undefined;
  let decisions: readonly Decision[] = [];
  const progress: MigrationProgress[] = [];
  for (const sample of samplesOf(name)) {
    const now = sample.elapsedMs;
    history = follow(history, sample, now);
    progress.push(progressOf(sample, progress.at(-1), { history, budgetMs: policy.downtime.initialMs, now }));
    const set = decisions.findLast(({ action }) => action.do === 'set-downtime')?.action;
    const decision = decide(
      policy,
      history,
      {
        downtimeMs: set?.do === 'set-downtime' ? set.toMs : policy.downtime.initialMs,
        sizeBytes: sample.totalBytes,
        mayPostCopy: policy.postCopy !== 'never',
        paused: false,
        decisions,
      },
      now,
    );
    if (decision !== undefined) decisions = [...decisions, decision];
  }
  return { decisions, progress };
}
const done = ({ decisions }: { readonly decisions: readonly Decision[] }): readonly string[] =>
  decisions.map(({ action }) => (action.do === 'note' ? `note ${action.what}` : action.do));

test('one that converges is left alone', () => {
  assert.deepEqual(done(replay('converging')), []);
});

test('one that dirties more than the link carries goes to post-copy, in the first place', () => {
  assert.deepEqual(done(replay('not-converging')).slice(0, 1), ['post-copy']);
});

test('a hot set that takes less than half a second gets the pause that it needs first, within the limit', () => {
  const { decisions } = replay('hot-set');
  assert.deepEqual(
    decisions.slice(0, 1).map(({ action }) => action.do),
    ['set-downtime'],
  );
  for (const { action } of decisions) if (action.do === 'set-downtime') assert.ok(action.toMs <= 500);
});

test('a migration waits for a link that slows down, and does nothing irreversible meanwhile', () => {
  const taken = done(replay('slow-link'));
  assert.ok(!taken.includes('post-copy') && !taken.includes('pause'), taken.join(', '));
});

test('disks that are never ready are reported, and a policy with a limit aborts', () => {
  assert.deepEqual(done(replay('disk-never-ready')), ['note disks-stalled']);
  assert.match(replay('disk-never-ready').decisions[0]?.text ?? '', /^disks: /);
});

test('disks that are copied in time are not reported', () => {
  assert.deepEqual(done(replay('disk-copy')), []);
});

test('no policy aborts a transfer that converges, or does more to its guest than allow a longer pause', () => {
  for (const name of ['converging', 'disk-copy'])
    for (const policyName of presets.keys()) {
      assert.deepEqual(
        done(replay(name, policyName)).filter((action) => action !== 'set-downtime'),
        [],
        `${name} under ${policyName}`,
      );
    }
});

test('throttling that ends a migration in the end is left alone', () => {
  assert.ok(!done(replay('throttled', 'proxmox')).includes('release-throttle'));
});

test('from the second pass on, the end is within the predicted time left', () => {
  let told = 0;
  let held = 0;
  for (const name of ['converging', 'disk-copy', 'slow-link', 'slowly-converging', 'post-copy']) {
    const samples = samplesOf(name);
    const endMs = samples.at(-1)?.elapsedMs ?? 0;
    // decisions of the default have no part in it: the budget was libvirt's own
    for (const [index, { etaEarliestMs, etaLatestMs }] of replay(name, 'kubevirt').progress.entries()) {
      const sample = samples[index];
      if (sample === undefined || sample.iteration < 2 || etaEarliestMs === undefined || etaLatestMs === undefined)
        continue;
      told += 1;
      held += sample.elapsedMs + etaEarliestMs <= endMs + 1_000 && endMs <= sample.elapsedMs + etaLatestMs ? 1 : 0;
    }
  }
  assert.ok(told > 30 && held >= 0.9 * told, `${held} of ${told}`);
});

test('progress of every trace never falls', () => {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .map((file) => file.replace('.jsonl', ''));
  assert.ok(names.length >= 8);
  for (const name of names) {
    const percents = replay(name).progress.map(({ percent }) => percent);
    assert.deepEqual(
      percents,
      percents.toSorted((a, b) => a - b),
      name,
    );
  }
});
