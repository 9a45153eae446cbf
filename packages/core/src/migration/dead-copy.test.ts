import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskLook } from '../convergence/example-history.ts';
import type { Migration } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import { vmUuid } from '../model/ids.ts';
import type { InstanceView } from '../model/vm.ts';
import { abortPatienceMs, silentCopyMs } from './dead-copy.ts';
import {
  absent,
  half,
  observed,
  plan,
  play,
  present,
  running,
  sending,
  silent,
  toTransfer,
  type At,
} from './step-fixture.ts';

const copying: MigrationPlan = { ...plan, disks: [{ target: 'vda', how: 'copy' as const }] };
/** A look at the figures each second, from this second to that; the rest in MiB. */
const looks = (from: number, to: number, rest: (second: number) => number): readonly At[] =>
  Array.from({ length: to - from }, (_, index): At => [
    (from + index) * 1_000,
    { type: 'sampled', sample: diskLook(rest(from + index)) },
  ]);
const seen = (at: number, target: InstanceView, source = sending): At => [at, observed(source, target)];
/** 10 MiB/s until second 10, nothing from then on. */
const stalled = (until: number): readonly At[] => looks(1, until + 1, (second) => Math.max(900, 1_000 - second * 10));
const at = 10_000 + silentCopyMs;
const done = (
  events: readonly At[],
  chosen = copying,
): { readonly effects: readonly string[]; readonly migration: Migration } => {
  const { effects, migration } = play([...toTransfer(chosen), ...events]);
  return { effects: effects.filter((each) => ['abort-job', 'cut-copies', 'end-helper'].includes(each)), migration };
};

test('a copy that stands still while its target does not answer is cut, and the move ends where it was', () => {
  const { effects, migration } = done([
    ...stalled(28),
    seen(at, silent),
    seen(at + abortPatienceMs - 1, silent),
    seen(at + abortPatienceMs, silent),
  ]);
  assert.deepEqual(effects, ['cut-copies', 'cut-copies'], 'again where it did not help');
  assert.equal(migration.decisions?.at(-1)?.text, 'nothing has moved for 18 s and host2 does not answer, aborting');
  const ended = done([
    ...stalled(28),
    seen(at, silent),
    [at + 1_000, { type: 'perform-ended', failure: { outcome: 'refused', message: 'client socket is closed' } }],
    seen(at + 2_000, silent, running),
    seen(at + 3_000, absent, running),
    seen(at + 6_000, absent, running),
  ]).migration;
  assert.equal(ended.evidence.ending?.error?.code, 'migration-failed');
});

const off = present('shut-off', 'other');
const moving = looks(1, 10, (second) => 1_000 - second * 10);
const waiting = present('paused', 'user', true);
const stuck = { ...waiting, stuck: true } as InstanceView;

test('a copy whose target answers without the incoming half is cut after a second: that host was restarted', () => {
  for (const without of [absent, off, { ...off, state: 'crashed' as const }]) {
    const { effects, migration } = done([...moving, seen(9_500, without), seen(10_500, without)]);
    assert.deepEqual(effects, ['cut-copies']);
    assert.equal(migration.decisions?.at(-1)?.text, 'host2 no longer holds the incoming half, aborting');
  }
  assert.deepEqual(
    done([...moving, seen(9_500, absent), seen(10_400, absent)]).effects,
    [],
    'libvirt may end it itself',
  );
  assert.deepEqual(done([...moving, seen(9_500, absent), seen(10_000, half), seen(10_600, absent)]).effects, []);
  assert.deepEqual(done([seen(5_500, absent), seen(9_500, absent)]).effects, [], 'before libvirt has begun');
});

test('where libvirt waits inside QEMU, the helper is ended; of a guest it is told that only its host can do it', () => {
  const at = 10_000 + silentCopyMs;
  const lost = [...moving, seen(10_000, silent, stuck), seen(at, silent, stuck)];
  const helped = { ...copying, how: 'helper' as const, helper: { uuid: vmUuid('h'), name: 'ferry-h' } };
  const later = [seen(at + abortPatienceMs - 1, silent, stuck), seen(at + abortPatienceMs, silent, stuck)];
  assert.deepEqual(done([...lost, ...later], helped).effects, ['cut-copies', 'end-helper']);
  const guest = done([...lost, ...later]);
  assert.deepEqual(guest.effects, ['cut-copies', 'cut-copies']);
  assert.match(
    guest.migration.attention ?? '',
    /To end it now, on host1: ss -K dst ADDRESS, with the migration address of host2/,
  );
  const freed = done([...lost, ...later, seen(at + 2 * abortPatienceMs, silent, waiting)]);
  assert.equal(freed.migration.attention, undefined, 'it stands still no longer');
  assert.deepEqual(done([...lost, seen(at + abortPatienceMs, silent, waiting)], helped).effects, [
    'cut-copies',
    'cut-copies',
  ]);
});

test('the target is checked as soon as the copy has made no progress for the given time', () => {
  const looked = (until: number): number =>
    play([...toTransfer(copying), ...stalled(until)]).last.filter(({ type }) => type === 'observe').length;
  assert.deepEqual([looked(27), looked(28), looked(29)], [0, 1, 0]);
});

test('it is left alone while it moves, while the target answers, for a shorter cut, where nothing is copied, and at the switchover', () => {
  assert.deepEqual(done([...looks(1, 29, (second) => 1_000 - second * 10), seen(at, silent)]).effects, []);
  assert.deepEqual(done([...stalled(28), seen(at, half)]).effects, []);
  assert.deepEqual(done([...stalled(27), seen(at, silent)]).effects, []);
  assert.deepEqual(done([...stalled(28), seen(at, silent)], plan).effects, []);
  assert.deepEqual(done([...stalled(28), [at - 10, { type: 'switching' }], seen(at, silent)]).effects, []);
});

test("a time without samples of Ferry's own does not count against the copy", () => {
  assert.deepEqual(done([...looks(1, 3, (second) => 1_000 - second * 10), seen(at, silent)]).effects, []);
});

test('an abort: by libvirt for a copy that progresses, by cutting it first for one that hangs or that libvirt does not end', () => {
  const abort = (when: number): At => [when, { type: 'abort-requested' }];
  assert.deepEqual(done([...moving, abort(9_500)]).effects, ['abort-job']);
  assert.deepEqual(done([...stalled(13), abort(13_500)]).effects, ['cut-copies']);
  assert.deepEqual(done([...moving, abort(9_500), seen(9_500 + abortPatienceMs, silent)]).effects, [
    'abort-job',
    'cut-copies',
  ]);
});

test('a control plane that comes back to a copy it has aborted cuts it first, too', () => {
  const { effects } = done([
    ...stalled(13),
    [13_500, { type: 'abort-requested' }],
    [14_000, { type: 'recovered' }],
    seen(14_500, half),
  ]);
  assert.deepEqual(effects, ['cut-copies', 'cut-copies', 'cut-copies']);
});
