import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { domainStates, type DomainState, type StateReason, type InstanceView } from '../model/vm.ts';
import { handoverOf, judge } from './judge.ts';

const at = (state: DomainState, reason: StateReason = 'other', migrating = false): InstanceView => ({
  kind: 'present',
  state,
  reason,
  persistent: true,
  migrating,
});
const absent: InstanceView = { kind: 'absent' };
const off = at('shut-off');
const half = at('paused', 'migration');

test('the table', () => {
  const rows: readonly (readonly [InstanceView, InstanceView, string])[] = [
    [at('running', 'booted', true), half, 'in-progress'],
    [absent, at('running', 'migrated'), 'moved'],
    [off, at('running', 'migrated'), 'moved'],
    [half, at('running', 'migrated'), 'stale-source'],
    [at('running'), absent, 'stayed'],
    [at('running', 'migration-canceled'), off, 'stayed'],
    [at('running'), half, 'leftover-target'],
    [at('paused', 'user'), absent, 'stayed'],
    [absent, at('paused', 'user'), 'moved'],
    [at('running', 'migration-canceled'), at('running', 'migrated'), 'two-copies'],
    [at('paused', 'user'), at('running', 'migrated'), 'two-copies'],
    [half, half, 'in-progress'],
    [half, absent, 'paused-on-source'],
    [off, absent, 'stopped-on-source'],
    [absent, absent, 'gone'],
    [at('paused', 'post-copy'), at('running', 'post-copy'), 'post-copy'],
    [at('paused', 'post-copy-failed'), at('paused', 'post-copy-failed'), 'post-copy-interrupted'],
    [at('paused', 'post-copy'), at('running', 'post-copy-failed'), 'post-copy-interrupted'],
    [at('paused', 'post-copy-failed'), absent, 'post-copy-interrupted'],
    [at('paused', 'post-copy-failed'), at('running', 'migrated'), 'post-copy-arrived'],
    [at('paused', 'post-copy-failed'), at('running', 'post-copy'), 'post-copy-interrupted'],
    [at('paused', 'post-copy-failed'), at('paused', 'user'), 'post-copy-interrupted'],
    [at('paused', 'post-copy'), at('running', 'migrated'), 'post-copy'],
    [{ kind: 'unreachable', message: 'x' }, at('running'), 'unknown'],
    [at('running'), { kind: 'unreachable', message: 'x' }, 'unknown'],
  ];
  for (const [source, target, verdict] of rows)
    assert.equal(judge(source, target).kind, verdict, JSON.stringify([source, target]));
});

test('safety: moved only when nothing of the source can run; post-copy and silence are never anything else', () => {
  const reasons: readonly StateReason[] = [
    'booted',
    'migrated',
    'migration',
    'migration-canceled',
    'post-copy',
    'post-copy-failed',
    'user',
    'saved',
    'other',
  ];
  const view = fc.oneof(
    fc.constant(absent),
    fc.constant<InstanceView>({ kind: 'unreachable', message: 'x' }),
    fc
      .record({ state: fc.constantFrom(...domainStates), reason: fc.constantFrom(...reasons), migrating: fc.boolean() })
      .map(({ state, reason, migrating }) => at(state, reason, migrating)),
  );
  fc.assert(
    fc.property(view, view, (source, target) => {
      const { kind } = judge(source, target);
      if (source.kind === 'unreachable' || target.kind === 'unreachable') return assert.equal(kind, 'unknown');
      const postCopy = [source, target].some((each) => each.kind === 'present' && each.reason.startsWith('post-copy'));
      if (postCopy) return assert.match(kind, /^post-copy/);
      if (kind === 'moved')
        assert.ok(
          source.kind === 'absent' ||
            (source.kind === 'present' &&
              !['running', 'blocked', 'shutting-down', 'pm-suspended'].includes(source.state)),
        );
      if (kind === 'stale-source')
        assert.ok(source.kind === 'present' && source.state === 'paused' && source.reason === 'migration');
      return undefined;
    }),
    { numRuns: 2_000 },
  );
});

test('a target that is held has not run: it is released once the source is gone, and removed where the source goes on', () => {
  const held = at('paused', 'user');
  const verdict = (source: InstanceView): string => judge(source, held, { held: true }).kind;
  assert.deepEqual(
    [absent, off, at('running', 'migration-canceled'), half, at('running', 'booted', true)].map(verdict),
    ['arrived-held', 'arrived-held', 'leftover-target', 'leftover-target', 'in-progress'],
  );
  assert.equal(judge(absent, held).kind, 'moved', 'one that was paused before is not held');
});

test('the target of a direct move: the source goes on only if the target cannot have run', () => {
  const of = (target: InstanceView, answered: boolean, keepsDefinition = true): string =>
    handoverOf(target, { answered, keepsDefinition });
  assert.deepEqual(
    [
      of(at('running', 'migrated'), false),
      of(at('paused', 'user'), false),
      of(half, false),
      of({ kind: 'unreachable', message: '' }, false),
    ],
    ['arrived', 'arrived', 'waits', 'waits'],
  );
  assert.deepEqual(
    [of(absent, true), of(off, true), of(absent, false), of(absent, false, false), of(off, false)],
    ['stayed', 'stayed', 'stayed', 'unclear', 'unclear'],
  );
});
