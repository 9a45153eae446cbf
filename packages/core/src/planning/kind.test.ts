import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationKind } from '../model/request.ts';
import { domainStates, type DomainState } from '../model/vm.ts';
import { chooseKind } from './kind.ts';

const kinds: readonly MigrationKind[] = ['live', 'suspended', 'cold', 'configuration'];
const choose = (state: DomainState, asked?: MigrationKind, saved = false): string => {
  const chosen = chooseKind({ name: 'web', state, saved }, asked);
  return 'kind' in chosen ? chosen.kind : chosen.reason.code;
};

test('the kind that fits the state, unless another one fits too', () => {
  const table = Object.fromEntries(
    domainStates.map((state) => [
      state,
      [choose(state), ...kinds.filter((kind) => choose(state, kind) === kind)].join(' '),
    ]),
  );
  assert.deepEqual(table, {
    running: 'live live suspended',
    blocked: 'live live suspended',
    paused: 'suspended suspended',
    'shutting-down': 'vm-state',
    'shut-off': 'cold cold configuration',
    crashed: 'cold cold configuration',
    'pm-suspended': 'vm-state',
    'no-state': 'vm-state',
    unknown: 'vm-state',
  });
});

test('a saved VM takes its memory along, whatever is asked', () => {
  assert.equal(choose('shut-off', undefined, true), 'suspended');
  for (const kind of ['live', 'cold', 'configuration'] as const)
    assert.equal(choose('shut-off', kind, true), 'kind-unfit');
});

test('a refusal names the state as the operator knows it', () => {
  const refused = chooseKind({ name: 'web', state: 'shut-off', saved: true }, 'live');
  assert.ok('reason' in refused);
  assert.match(refused.reason.message, /web is saved/);
  assert.match(refused.reason.remedy, /start the VM/);
});
