/** The VM of a dead host is started from its stored definition only while that host does not show it active. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, hostId, migrationId, vmUuid, type InstanceView, type Planned } from '@ferry/core';
import type { MoveContext } from './context.ts';
import { finishMove } from './ending.ts';

const migration: Planned = {
  id: migrationId('m1'),
  name: 'web-m1',
  vm: { uuid: vmUuid('a'), name: 'web' },
  kind: 'evacuation',
  origin: 'operator',
  actor: 'operator',
  client: 'cli',
  request: { rescue: { statement: 'its plug is pulled' } },
  from: { id: hostId('h1'), name: 'h1' },
  to: { id: hostId('h2'), name: 'h2' },
  phase: 'cleaning',
  phases: [{ phase: 'queued', at: 0 }],
  evidence: {},
  plan: { how: 'stored-definition', live: false, persistence: 'permanent', disks: [], autostart: false },
};
const present = (state: 'running' | 'paused' | 'shut-off'): InstanceView => ({
  kind: 'present',
  state,
  reason: 'booted',
  persistent: true,
  migrating: false,
});

/** `source`: what the host shows that was dead; undefined: it does not answer. */
async function started(source: InstanceView | undefined) {
  const calls: string[] = [];
  const call = (name: string) => async (): Promise<void> => void calls.push(name);
  let there: InstanceView = { kind: 'absent' };
  const target = {
    instances: { observe: async () => there },
    definitions: { write: call('write'), undefine: call('undefine'), setAutostart: call('autostart') },
    power: {
      start: async () => {
        calls.push('start');
        there = present('running');
      },
    },
  };
  const context = {
    migration,
    target: () => target,
    bounded: () => AbortSignal.timeout(10_000),
    deps: {
      stored: async () => ({ xml: '<domain/>' }),
      kept: { park: call('park'), unpark: call('unpark'), isParked: () => false },
      volumes: { settle: async () => ({}) },
      created: { keep: async () => {} },
      linkOf: () => {
        if (source === undefined) throw new FerryError('host-unreachable', 'It does not answer.');
        return { instances: { observe: async () => source } };
      },
    },
  };
  return { ended: await finishMove(context as unknown as MoveContext), calls };
}

test('a host that is back and has the VM active keeps it, and nothing is written', async () => {
  for (const state of ['running', 'paused'] as const) {
    const { ended, calls } = await started(present(state));
    assert.deepEqual([ended.failure?.moved, calls], [false, []]);
    assert.match(ended.failure?.message ?? '', new RegExp(`h1 is back, and it is ${state} there`));
  }
});

test('a host that does not answer, or has it shut off, keeps nothing', async () => {
  for (const source of [undefined, present('shut-off')]) {
    const { ended, calls } = await started(source);
    assert.deepEqual([ended.failure, calls.includes('start')], [undefined, true]);
  }
});
