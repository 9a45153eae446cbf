import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration, Planned } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import {
  arrivalSteps,
  cleanUpSteps,
  definitionMove,
  definitionStays,
  definitionTakenBack,
  startStep,
  undoSteps,
  writesStored,
  type EndingStep,
} from './move-ending.ts';
import { absent, arrived, fresh, plan, present, running, silent, to } from './step-fixture.ts';

const planned = (more: Partial<MigrationPlan> = {}, rest: Partial<Migration> = {}): Planned => ({
  ...fresh,
  ...rest,
  to,
  plan: { ...plan, ...more },
});
const words = (steps: readonly EndingStep[]): readonly string[] =>
  steps.map((step) => ('at' in step ? `${step.do} at ${step.at}` : step.do));
const copy: MigrationPlan['disks'] = [{ target: 'vda', how: 'copy', path: '/pool/web' }];
const helper = { uuid: fresh.vm.uuid, name: 'ferry-a' };
const off = present('shut-off', 'other');

test('a guest that has moved: it is received first, then what is its own now is kept', () => {
  assert.deepEqual(words(cleanUpSteps(planned({ disks: copy, carriesSnapshots: true }))), [
    'receive-guest',
    'keep-resources',
    'restore-snapshots at target',
    'unpark-target',
    'settle-volumes',
    'settle-files',
  ]);
  const temporary = planned({ carriesSnapshots: true, persistence: 'temporary' });
  assert.ok(words(cleanUpSteps(temporary)).includes('restore-snapshots at source'));
  assert.equal(cleanUpSteps(planned({ how: 'definition' }))[0]?.do, 'move-definition');
  assert.deepEqual(words(cleanUpSteps(planned({ how: 'stored-definition' }))), ['start-stored']);
});

test('nothing is deleted on the target before it is seen idle, and the VM starts again when all is back', () => {
  const cold = { request: { kind: 'cold' as const }, evidence: { poweredOffAt: 1 } };
  const steps = words(undoSteps(planned({ how: 'helper', helper, disks: copy, carriesSnapshots: true }, cold)));
  assert.deepEqual(steps, [
    'restore-snapshots at source',
    'end-helper at source',
    'end-helper at target',
    'require-idle-target',
    'remove-volumes',
    'remove-files',
    'remove-resources',
    'start-source',
  ]);
});

test('a guest that was shut down for a move that is refused then is started where it was', () => {
  const refused: Migration = { ...fresh, request: { kind: 'cold' }, evidence: { poweredOffAt: 1 } };
  assert.deepEqual(words(undoSteps(refused)), ['start-source']);
  assert.deepEqual(words(undoSteps(fresh)), []);
});

test('what was made stays for an operator only where that was asked and the move has failed', () => {
  const asked = (outcome: 'failed' | 'cancelled') =>
    words(
      undoSteps(
        planned({ disks: copy }, { request: { keepTargetOnFailure: true }, evidence: { ending: { outcome } } }),
      ),
    );
  assert.ok(asked('failed').includes('keep-for-inspection'));
  assert.ok(!asked('failed').includes('remove-volumes'));
  assert.ok(asked('cancelled').includes('remove-volumes'));
});

test('a held target gives back the definition that it got, unless it had one before', () => {
  const held = { ...plan, transfer: { mode: 'peer-to-peer', modeReason: '', handover: true } } as const;
  assert.ok(words(undoSteps(planned(held))).includes('remove-target-definition'));
  assert.ok(!words(undoSteps(planned({ ...held, definedThere: true }))).includes('remove-target-definition'));
});

test("the source's definition goes only where it is off, and only after a permanent move", () => {
  assert.deepEqual(arrivalSteps(planned(), off, arrived), ['undefine-source']);
  assert.deepEqual(arrivalSteps(planned({ persistence: 'keep-source' }), off, arrived), ['park-source']);
  assert.deepEqual(arrivalSteps(planned({ persistence: 'temporary' }), off, arrived), []);
  for (const source of [running, absent, silent]) assert.deepEqual(arrivalSteps(planned(), source, arrived), []);
});

test('autostart, clock and the note of a paused arrival follow what arrived', () => {
  const auto = { autostart: true };
  assert.deepEqual(arrivalSteps(planned(auto), absent, arrived), ['set-autostart']);
  assert.deepEqual(arrivalSteps(planned({ ...auto, persistence: 'temporary' }), absent, arrived), []);
  const late = planned({}, { downtimeMs: 1_000 });
  assert.deepEqual(arrivalSteps(late, absent, arrived), ['set-guest-clock']);
  const paused = present('paused', 'user');
  assert.deepEqual(arrivalSteps(late, absent, paused), []);
  assert.deepEqual(arrivalSteps(planned({ nvram: true }), absent, paused), ['note-arrived-paused']);
  const shared: MigrationPlan['disks'] = [{ target: 'vda', how: 'shared' }];
  assert.deepEqual(arrivalSteps(planned({ disks: shared }), absent, paused), ['note-arrived-paused']);
  assert.deepEqual(arrivalSteps(planned({ disks: shared }), absent, arrived), []);
});

test('a definition moves while the VM is off on both hosts, and is where it was meant to be after a crash', () => {
  const move = (source: InstanceView, target: InstanceView) => definitionMove(planned(), source, target);
  assert.deepEqual(move(off, absent), { do: 'move' });
  assert.deepEqual(move(off, off), { do: 'move' });
  assert.deepEqual(move(absent, off), { do: 'arrived' });
  assert.match(JSON.stringify(move(running, absent)), /no longer shut off on host1/);
  assert.match(JSON.stringify(move(absent, absent)), /no longer on host1/);
  assert.match(JSON.stringify(move(off, running)), /active on host2/);
});

test('a stored definition replaces only one that was kept on purpose', () => {
  assert.deepEqual(
    [writesStored(absent, false), writesStored(off, true), writesStored(off, false), writesStored(running, true)],
    [true, true, false, false],
  );
});

test('a start is made where the VM is off, and waited for where QEMU is not ready yet', () => {
  assert.deepEqual([startStep(absent), startStep(off), startStep(running)], ['start', 'start', 'done']);
  assert.deepEqual([startStep(present('paused', 'starting')), startStep(present('paused', 'user'))], ['wait', 'done']);
});

test('a VM that was started meanwhile keeps its definition on the source', () => {
  assert.equal(definitionStays(planned(), off), undefined);
  assert.equal(definitionStays(planned(), running), 'it was started on host1 in the meantime, so it stays there.');
});

test('the target gives back a definition that it got, but not one that it had, and nothing that the source lost', () => {
  const kept = planned({ definedThere: true });
  assert.deepEqual(definitionTakenBack(kept, absent, false), { do: 'take-back', undefine: true });
  assert.deepEqual(definitionTakenBack(kept, off, false), { do: 'take-back', undefine: false });
  assert.deepEqual(definitionTakenBack(planned(), off, false), { do: 'take-back', undefine: true }, 'written before');
  for (const before of [absent, off]) assert.deepEqual(definitionTakenBack(kept, before, true), { do: 'stay' });
});
