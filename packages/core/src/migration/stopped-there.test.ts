/** Guests that stop on the target before Ferry looks, and those that only seem to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Planned } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import type { MigrationEvent } from './protocol.ts';
import { absent, arrived, half, lost, observed, plan, play, present, sending, toTransfer } from './step-fixture.ts';

const off = present('shut-off', 'other');
/** As libvirt leaves a source that has heard that its guest runs elsewhere. */
const left = present('shut-off', 'migrated');
const answered: MigrationEvent = { type: 'perform-ended' };

/** What becomes of a move whose hosts look like this; `before`: an earlier look. */
function ended(
  source: InstanceView,
  target: InstanceView,
  changes: Partial<MigrationPlan> = {},
  { before = observed(sending, half), call = lost } = {},
) {
  const { migration, effects } = play([
    ...toTransfer({ ...plan, ...changes }),
    [50, before],
    [100, call],
    [110, observed(source, target)],
    [5_000, observed(source, target)],
    [5_100, { type: 'cleaned' }],
  ]);
  const { host, state } = migration.vmIsNow ?? { host: 'nowhere', state: '' };
  const undone = effects.includes('undo') ? ' undone' : '';
  return {
    end: `${migration.error?.code ?? migration.outcome ?? migration.phase}${undone}: ${host} ${state}`.trim(),
    message: migration.error?.message,
    migration: migration as Planned,
  };
}
const copies: Partial<MigrationPlan> = { disks: [{ target: 'vda', how: 'copy' }] };

test('a guest that shut down on the target before anybody looked was moved, and is shut off there', () => {
  assert.equal(ended(absent, off).end, 'succeeded: host2 shut-off');
  assert.equal(ended(left, off, { persistence: 'keep-source' }).end, 'succeeded: host2 shut-off');
  assert.equal(ended(left, off, { definedThere: true }).end, 'succeeded: host2 shut-off');
});

test('the definition that the target got when it took the guest over shows it, too: its copied disks are the newer ones', () => {
  assert.equal(ended(off, off, copies).end, 'succeeded: host2 shut-off');
});

test('a definition that the target had before proves nothing; that the guest was seen to run there does', () => {
  const kept = { definedThere: true } as const;
  const unseen = ended(absent, off, kept);
  assert.equal(unseen.end, 'vm-lost: host2 shut-off');
  assert.match(unseen.message ?? '', /web has stopped: it is no longer on host1, and shut off on host2/);
  assert.equal(ended(absent, off, kept, { before: observed(half, arrived) }).end, 'succeeded: host2 shut-off');
  assert.equal(ended(absent, off, kept, { call: answered }).end, 'succeeded: host2 shut-off');
  assert.equal(ended(off, off, { ...kept, ...copies }).end, 'migration-failed undone: host1 shut-off');
});

test('a held guest that was never released has not run, whatever its target has', () => {
  const held = { transfer: { mode: 'peer-to-peer', modeReason: '', handover: true } } as const;
  assert.equal(ended(absent, off, held).end, 'vm-lost: host2 shut-off');
  assert.equal(ended(absent, off, held, { call: answered }).end, 'vm-lost: host2 shut-off');
});

test('a transient guest leaves nothing where it ends: where it was seen to run is said', () => {
  const transient = { persistence: 'transient' } as const;
  const unseen = ended(absent, absent, transient);
  assert.deepEqual([unseen.end, unseen.message], ['vm-lost: nowhere', 'web is neither on host1 nor on host2.']);
  const seen = ended(absent, absent, transient, { before: observed(half, arrived) });
  assert.equal(seen.end, 'vm-lost: nowhere');
  assert.match(seen.message ?? '', /it ran on host2 and has ended there, and a transient VM leaves no definition/);
  // it came home, next to its definition
  const home = { ...transient, definedThere: true } as const;
  assert.equal(ended(absent, off, home, { call: answered }).end, 'succeeded: host2 shut-off');
});

test('a temporary guest that ended where it went is shut off at home', () => {
  const temporary = { persistence: 'temporary' } as const;
  assert.equal(ended(left, absent, temporary).end, 'succeeded: host1 shut-off');
  assert.equal(ended(off, absent, temporary).end, 'migration-failed: host1 shut-off');
});

test('a guest that stopped on the source stays a failed move', () => {
  assert.equal(ended(off, absent).end, 'migration-failed: host1 shut-off');
});

test('a paused source next to a definition that the target got: nothing is resumed, ended or deleted', () => {
  const { end, message } = ended(half, off, copies);
  assert.equal(end, 'vm-lost: host1 paused');
  assert.match(message ?? '', /paused on host1, and shut off on host2, where it may have run/);
});
