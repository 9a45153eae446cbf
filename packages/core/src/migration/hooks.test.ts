/** Hooks around a migration: when each is called, what a veto keeps from happening, and what no answer can undo. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultHookTimeoutMs, type Hook, type HookAnswer } from '../model/hook.ts';
import type { Migration } from '../model/migration.ts';
import { presets } from '../policy/presets.ts';
import { hookProblems, hookTargetProblems } from '../policy/hook-problems.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import { awaitedHook, hookDocument } from './hooks.ts';
import type { MigrationEvent } from './protocol.ts';
import {
  absent,
  arrived,
  fresh,
  observed,
  plan,
  play,
  refused,
  running,
  to,
  toTransfer,
  type At,
} from './step-fixture.ts';
import { step } from './step.ts';

const hook = (name: string, stage: Hook['stage']): Hook => ({ name, stage, program: `/etc/ferry/hooks/${name}` });
const before = hook('backup', 'before');
const second = hook('change', 'before');
const told = hook('cmdb', 'after');
const page = hook('page', 'failed');
const preset = presets.get('default');
assert.ok(preset !== undefined);
const base = preset;
const going = (...hooks: readonly Hook[]): Migration => ({
  ...fresh,
  policy: resolvePolicy({ ...base, name: 'night', hooks }, 'cluster'),
  vmIsNow: { host: 'host1', state: 'running' },
});
const answered = (each: Hook, answer: HookAnswer = { result: 'ok' }): MigrationEvent => ({
  type: 'hook-answered',
  hook: each,
  answer,
  tookMs: 5,
});
const [admitted, chosen] = toTransfer();
assert.ok(admitted !== undefined && chosen !== undefined);
const toChoice: readonly At[] = [admitted, chosen];
const moved: readonly At[] = [
  [20, { type: 'prepared' }],
  [300, { type: 'perform-ended' }],
  [310, observed(absent, arrived)],
  [320, { type: 'cleaned' }],
];

test('nothing is prepared until each hook of "before" has agreed, one after the other', () => {
  const start = going(before, told, second);
  const first = play(toChoice, start);
  assert.deepEqual([first.migration.phase, first.last], ['preparing', [{ type: 'call-hook', hook: before }]]);
  assert.match(first.migration.attention ?? '', /hook "backup"/);
  const next = play([[5, answered(before)]], first.migration);
  assert.deepEqual(next.last, [{ type: 'call-hook', hook: second }]);
  const last = play([[6, answered(second)]], next.migration);
  assert.deepEqual([last.last, last.migration.attention], [[{ type: 'look-again' }], undefined]);
  assert.deepEqual(play([[7, { type: 'recovered' }]], last.migration).last, [{ type: 'look-again' }]);
  const nothing = play([[7, { type: 'looked-again', reasons: [] }]], last.migration);
  assert.deepEqual(nothing.last, [{ type: 'prepare' }]);
  assert.deepEqual(play(toChoice, going(told)).last, [{ type: 'prepare' }], 'no hook took its time');
});

test('what has changed while the hooks were asked ends the migration before anything was done', () => {
  const asked = play([...toChoice, [5, answered(before)]], going(before));
  const reason = { code: 'rescue-source-answers', message: 'host1 answers.', remedy: 'Omit it.' } as const;
  const { migration, effects } = play([[6, { type: 'looked-again', reasons: [reason] }]], asked.migration);
  assert.deepEqual([migration.outcome, migration.error?.code, effects], ['failed', 'migration-refused', []]);
  const aborted = play([[6, { type: 'abort-requested' }]], asked.migration).migration;
  assert.equal(step(aborted, { type: 'looked-again', reasons: [] }, 7).migration, aborted);
});

test('a veto, a hook that hangs and one that cannot be called end the migration before anything was done', () => {
  const cases: readonly [HookAnswer, string, RegExp][] = [
    [
      { result: 'refused', message: 'no backup yet' },
      'hook-refused',
      /"backup" of the policy "night" refused .*no backup yet\.$/,
    ],
    [{ result: 'timed-out' }, 'hook-failed', /did not answer in time, so web stays/],
    [
      { result: 'failed', message: 'x is not executable.' },
      'hook-failed',
      /could not be asked.*x is not executable\.$/,
    ],
  ];
  for (const [answer, code, says] of cases) {
    const { migration, effects } = play([...toChoice, [5, answered(before, answer)]], going(before));
    assert.deepEqual([migration.outcome, migration.error?.code], ['failed', code]);
    assert.match(migration.error?.message ?? '', says);
    assert.ok(!effects.some((effect) => effect === 'prepare' || effect === 'perform'), effects.join());
    assert.deepEqual(
      migration.hooks?.map((each) => each.result),
      [answer.result],
    );
  }
});

test('a policy that tries again does not ask again after a veto', () => {
  const start = going(before);
  const retries = { ...start, policy: { ...start.policy, retry: { attempts: 3, delayMs: 0 } } } as Migration;
  const { migration } = play([...toChoice, [5, answered(before, { result: 'refused' })]], retries);
  assert.equal(migration.outcome, 'failed');
});

test('a failed hook of "after" is shown, and undoes nothing', () => {
  const start = going(told, page);
  const done = play([...toChoice, ...moved], start);
  assert.deepEqual(
    [done.migration.phase, done.migration.outcome, done.last],
    ['cleaning', undefined, [{ type: 'call-hook', hook: told }]],
  );
  const { migration } = play([[9_000, answered(told, { result: 'failed', message: 'gone' })]], done.migration);
  assert.deepEqual(
    [migration.outcome, migration.totalMs, migration.vmIsNow],
    ['succeeded', 320, { host: 'host2', state: 'running' }],
  );
  assert.deepEqual(
    migration.hooks?.map((each) => [each.hook, each.result, each.at]),
    [['cmdb', 'failed', 9_000]],
  );
});

test('who heard of the beginning hears of the failure too; a migration that was refused at once calls nothing', () => {
  const start = going(before, page);
  const failing = play(
    [...toChoice, [5, answered(before)], [20, { type: 'prepared' }], [300, refused], [310, observed(running, absent)]],
    { ...start, request: { to: 'host2' } },
  );
  assert.deepEqual(failing.last, [{ type: 'call-hook', hook: page }]);
  assert.equal(play([[400, answered(page)]], failing.migration).migration.outcome, 'failed');

  const none = play([admitted, [3, { type: 'checked', result: { kind: 'refused', reasons: [] } }]], start);
  assert.equal(none.migration.outcome, 'failed');
});

test('an abort while a hook is asked ends it; the late answer changes nothing', () => {
  const asked = play(toChoice, going(before));
  const { migration } = play([[5, { type: 'abort-requested' }]], asked.migration);
  assert.equal(migration.outcome, 'cancelled');
  assert.equal(step(migration, answered(before), 9).migration, migration);
  const told2 = play(
    [
      [5, { type: 'abort-requested' }],
      [6, answered(before)],
    ],
    play(toChoice, going(before, page)).migration,
  );
  assert.deepEqual([told2.migration.outcome, awaitedHook(told2.migration)], [undefined, page]);
});

test('after a restart only the hook whose answer was not stored is called again', () => {
  const asked = play([...toChoice, [5, answered(before)]], going(before, second, told));
  assert.deepEqual(play([[9, { type: 'recovered' }]], asked.migration).last, [{ type: 'call-hook', hook: second }]);
  const over = play([[10, answered(second)], ...moved], asked.migration);
  assert.deepEqual(play([[500, { type: 'recovered' }]], over.migration).last, [{ type: 'call-hook', hook: told }]);
  const again = play(
    [
      [500, { type: 'recovered' }],
      [600, answered(told)],
    ],
    over.migration,
  );
  assert.equal(again.migration.outcome, 'succeeded');
});

test('each attempt asks again, since its target may be another', () => {
  const start = going(before);
  const retries = { ...start, policy: { ...start.policy, retry: { attempts: 1, delayMs: 0 } } } as Migration;
  const failure = { outcome: 'refused' as const, message: 'no space' };
  const first = play([...toChoice, [2, answered(before)], [2, { type: 'prepared', failure }]], retries);
  assert.equal(first.migration.phase, 'queued');
  const second2 = play(
    [
      [2, { type: 'admitted' }],
      [2, { type: 'checked', result: { kind: 'chosen', to, move: 'live', plan } }],
    ],
    first.migration,
  );
  assert.deepEqual(second2.last, [{ type: 'call-hook', hook: before }]);
});

test('two copies are an alarm that no hook holds up', () => {
  const { migration } = play(
    [
      ...toChoice,
      [20, { type: 'prepared' }],
      [300, { type: 'perform-ended' }],
      [310, observed(running, running)],
      [9_000, observed(running, running)],
      [18_000, observed(running, running)],
    ],
    going(page),
  );
  assert.deepEqual([migration.outcome, migration.error?.code], ['failed', 'vm-two-copies']);
});

test('the document names the VM as data, and what became of it at the end', () => {
  const guest = { ...going(before), vm: { ...fresh.vm, name: '$(reboot)"' } };
  const asked = play(toChoice, guest).migration;
  const first = JSON.parse(hookDocument(asked, before, 7)) as Record<string, unknown>;
  assert.deepEqual(
    [first['stage'], first['vm'], first['to'], first['outcome']],
    ['before', { uuid: 'a', name: '$(reboot)"' }, 'host2', undefined],
  );
  const done = play([...toChoice, ...moved], going(told)).migration;
  const last = JSON.parse(hookDocument(done, told, 8)) as Record<string, unknown>;
  assert.deepEqual([last['outcome'], last['vmIsNow']], ['succeeded', { host: 'host2', state: 'running' }]);
});

test('what is wrong with a hook is said in a sentence', () => {
  assert.deepEqual(hookProblems([before, told]), []);
  assert.match(hookProblems([before, before])[0] ?? '', /Two hooks are named "backup"/);
  const long = { ...before, timeoutMs: 560_000 };
  assert.match(hookProblems([long, second])[0] ?? '', /"before" may take 620 s together, and 600 s at most/);
  assert.deepEqual(hookProblems([long, told]), []);
  assert.match(hookProblems(Array.from({ length: 9 }, (_, at) => hook(`h${at}`, 'after')))[0] ?? '', /at most 8/);
  const targets: readonly [Parameters<typeof hookTargetProblems>[0], RegExp][] = [
    [{}, /either a program or a URL/],
    [{ program: '/a', url: 'https://x', secretFile: '/k' }, /either a program or a URL/],
    [{ program: 'check' }, /"check" is not an absolute path/],
    [{ program: '/etc/ferry/hooks/../../bin/sh' }, /is not an absolute path/],
    [{ url: 'ftp://x', secretFile: '/k' }, /not an http or https URL/],
    [{ url: 'https://me:secret@x', secretFile: '/k' }, /without user and password/],
    [{ url: 'https://x' }, /needs a "secretFile"/],
    [{ program: '/a', secretFile: '/k' }, /Only requests to a URL are signed/],
    [{ program: '/a', timeoutMs: 0 }, /from 1 to 600000 ms, not 0/],
  ];
  for (const [target, says] of targets) assert.match(hookTargetProblems(target).join(' '), says);
  assert.deepEqual(hookTargetProblems({ program: '/a', timeoutMs: defaultHookTimeoutMs }), []);
});
