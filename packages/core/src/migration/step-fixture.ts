/** For tests of what a migration does: a migration, what hosts may say of it, and a player of events. */
import { hostId, migrationId, vmUuid } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { StateReason, InstanceView } from '../model/vm.ts';
import type { MigrationEffect, MigrationEvent } from './protocol.ts';
import { step } from './step.ts';

export const fresh: Migration = {
  id: migrationId('m1'),
  name: 'web-m1',
  vm: { uuid: vmUuid('a'), name: 'web' },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'cli',
  request: { to: 'host2' },
  from: { id: hostId('h1'), name: 'host1' },
  phase: 'queued',
  phases: [{ phase: 'queued', at: 0 }],
  evidence: {},
};
export const to = { id: hostId('h2'), name: 'host2' };
export const plan: MigrationPlan = { how: 'guest', live: true, persistence: 'permanent', disks: [], autostart: false };
export const present = (
  state: 'running' | 'paused' | 'shut-off',
  reason: StateReason,
  migrating = false,
): InstanceView => ({ kind: 'present', state, reason, persistent: true, migrating });
export const absent: InstanceView = { kind: 'absent' };
export const silent: InstanceView = { kind: 'unreachable', message: 'no answer' };
export const running = present('running', 'booted');
export const arrived: InstanceView = {
  kind: 'present',
  state: 'running',
  reason: 'migrated',
  persistent: true,
  migrating: false,
  completed: { downtimeMs: 20, transferredBytes: 5 },
};
export const half = present('paused', 'migration');
export const sending = present('running', 'booted', true);

/** An event with its time in ms. */
export type At = readonly [number, MigrationEvent];

/** Feeds events; returns the migration and every effect. */
export function play(
  events: readonly At[],
  start: Migration = fresh,
): { migration: Migration; effects: MigrationEffect['type'][]; last: readonly MigrationEffect[] } {
  let migration = start;
  let last: readonly MigrationEffect[] = [];
  const effects: MigrationEffect['type'][] = [];
  for (const [at, event] of events) {
    const next = step(migration, event, at);
    migration = next.migration;
    last = next.effects;
    effects.push(...last.map(({ type }) => type));
  }
  return { migration, effects, last };
}

export const toTransfer = (chosen: MigrationPlan = plan): readonly At[] => [
  [1, { type: 'admitted' }],
  [2, { type: 'checked', result: { kind: 'chosen', to, move: 'live', plan: chosen } }],
  [3, { type: 'prepared' }],
];
export const observed = (source: InstanceView, target: InstanceView): MigrationEvent => ({
  type: 'observed',
  source,
  target,
});
export const lost: MigrationEvent = {
  type: 'perform-ended',
  failure: { outcome: 'unknown', message: 'client socket is closed' },
};
export const refused: MigrationEvent = {
  type: 'perform-ended',
  failure: { outcome: 'refused', message: 'no route to host' },
};
