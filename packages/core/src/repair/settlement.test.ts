import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hostId } from '../model/ids.ts';
import type { DomainState, InstanceRole, StateReason, Vm } from '../model/vm.ts';
import { copyOn, vmWith } from './example-vm.ts';
import { settlement } from './settlement.ts';

const settled = (vm: Vm, keep: string, ...parked: readonly string[]) =>
  settlement(
    vm,
    { id: hostId(keep), called: keep },
    { isParked: (host) => parked.includes(host), isSaved: () => false, hostNameOf: (host) => host },
  );
const stepsOf = (outcome: ReturnType<typeof settlement>): readonly string[] =>
  'refusal' in outcome
    ? [outcome.refusal.code]
    : outcome.steps.map((step) =>
        'hosts' in step ? `${step.type} ${step.hosts.join(' ')}` : `${step.type} ${'host' in step ? step.host : ''}`,
      );

test('every other running copy is proved to be another, then ended, then parked; the one that stays runs', () => {
  const twice = vmWith(copyOn('h2', 'paused', 'user'), copyOn('h1', 'paused', 'user', 'conflict'));
  assert.deepEqual(stepsOf(settled(twice, 'h1')), ['prove-apart h1 h2', 'end h2', 'park h2', 'resume h1']);
});

test('of definitions that are shut off all but one are parked, and none is ended', () => {
  const off = vmWith(
    copyOn('h1', 'shut-off', 'other'),
    copyOn('h2', 'shut-off', 'other', 'conflict'),
    copyOn('h3', 'shut-off', 'other', 'parked'),
  );
  assert.deepEqual(stepsOf(settled(off, 'h2', 'h3')), ['prove-apart h2 h1', 'park h1', 'unpark h2']);
});

test('the definition beside a transient guest is its home, and stays what it is', () => {
  const transient = vmWith(
    copyOn('h1', 'running', 'migrated', 'authoritative', { persistent: false }),
    copyOn('h2', 'shut-off', 'other', 'parked'),
  );
  assert.deepEqual(stepsOf(settled(transient, 'h1')), ['vm-not-in-conflict']);
});

test('nothing is done where it is not asked for, and no copy is ended that holds memory of its own', () => {
  const one = vmWith(copyOn('h1', 'running', 'booted'), copyOn('h2', 'shut-off', 'other', 'parked'));
  assert.deepEqual(stepsOf(settled(one, 'h3')), ['request-invalid']);
  assert.deepEqual(stepsOf(settled(one, 'h2', 'h2')), ['request-invalid'], 'it is off, and another one runs');
  assert.deepEqual(stepsOf(settled(one, 'h1', 'h2')), ['vm-not-in-conflict']);
  const postCopy = vmWith(
    copyOn('h2', 'running', 'post-copy-failed'),
    copyOn('h1', 'paused', 'post-copy-failed', 'incoming'),
  );
  assert.deepEqual(stepsOf(settled(postCopy, 'h2')), ['copy-needed']);
});

test('nothing is settled while a host with another copy does not answer; a lone definition that was kept can be the VM', () => {
  const unseen = vmWith(copyOn('h1', 'paused', 'user'), copyOn('h2', 'unknown', 'other', 'conflict'));
  assert.deepEqual(stepsOf(settled(unseen, 'h1')), ['host-unreachable']);
  const kept = vmWith(copyOn('h1', 'shut-off', 'other'));
  assert.deepEqual(stepsOf(settled(kept, 'h1', 'h1')), ['unpark h1']);
  assert.deepEqual(stepsOf(settled(kept, 'h1')), ['vm-not-in-conflict']);
});

test('whatever the copies are: the one that is kept is never ended or parked, and nothing ends before all are proved apart', () => {
  const copy = (host: string) =>
    fc
      .tuple(
        fc.constantFrom<DomainState[]>('running', 'paused', 'shut-off', 'crashed', 'unknown'),
        fc.constantFrom<StateReason[]>('booted', 'migration', 'post-copy', 'user', 'other'),
        fc.constantFrom<InstanceRole[]>('authoritative', 'parked', 'incoming', 'conflict'),
        fc.boolean(),
      )
      .map(([state, reason, role, persistent]) => copyOn(host, state, reason, role, { persistent }));
  fc.assert(
    fc.property(copy('h1'), copy('h2'), copy('h3'), (...copies) => {
      const vm = vmWith(...copies);
      const outcome = settled(vm, 'h1');
      if ('refusal' in outcome) return;
      const touched = outcome.steps.flatMap((step) => (step.type === 'end' || step.type === 'park' ? [step.host] : []));
      assert.ok(!touched.includes(hostId('h1')));
      const proved = outcome.steps.flatMap((step) => ('hosts' in step ? [step.hosts[1]] : []));
      assert.deepEqual(
        touched.filter((host) => !proved.includes(host)),
        [],
      );
      const firstChange = outcome.steps.findIndex(({ type }) => type !== 'prove-apart');
      assert.ok(
        outcome.steps.slice(Math.max(firstChange, 0)).every(({ type }) => type !== 'prove-apart') || firstChange < 0,
      );
      for (const step of outcome.steps)
        if (step.type === 'end') {
          const ended = vm.instances.find(({ hostId: at }) => at === step.host)?.instance;
          assert.ok(ended?.state !== 'paused' || ended.reason !== 'post-copy');
        }
    }),
  );
});
