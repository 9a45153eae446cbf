import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FerryError,
  hostId,
  migrationId,
  noFacts,
  vmUuid,
  type DomainState,
  type HostId,
  type InstanceRole,
  type Migration,
  type StateReason,
  type Vm,
  type VolumeRecord,
} from '@ferry/core';
import type { HostLink } from '../ports/ports.ts';
import { createSettle, type SettleDeps } from './settle.ts';

const uuid = vmUuid('a');
const at = (
  host: string,
  state: DomainState,
  reason: StateReason,
  role: InstanceRole = 'authoritative',
): Vm['instances'][number] => ({
  hostId: hostId(host),
  role,
  instance: { uuid, name: 'web', state, reason, persistent: true, memoryBytes: 1, vcpus: 1, disks: [] },
});
const vmWith = (...instances: Vm['instances']): Vm => ({
  uuid,
  name: 'web',
  hostId: instances[0]?.hostId ?? hostId('h1'),
  state: instances[0]?.instance.state ?? 'running',
  memoryBytes: 1,
  vcpus: 1,
  disks: [],
  instances,
});
const last = {
  id: migrationId('m1'),
  vm: { uuid, name: 'web' },
  from: { id: hostId('h1'), name: 'h1' },
  to: { id: hostId('h2'), name: 'h2' },
  outcome: 'failed',
  phases: [{ phase: 'switching', at: 0 }],
  evidence: {},
  plan: { disks: [{ target: 'vda', how: 'copy' }] },
} as unknown as Migration;
const copy: VolumeRecord = {
  host: 'h2',
  machine: 'machine-2',
  hostName: 'h2',
  path: '/pool/web',
  pool: 'default',
  name: 'web',
  vm: { uuid, name: 'web' },
  migration: migrationId('m1'),
  at: 0,
  role: 'target',
  capacityBytes: 1,
};

function settling(
  vm: Vm,
  more: Partial<SettleDeps> & { readonly parked?: readonly string[]; readonly saved?: readonly string[] } = {},
  machineOf = (host: string): string => `machine of ${host}`,
) {
  const calls: string[] = [];
  const parked = new Set(more.parked);
  const linkOf = (host: string): HostLink =>
    ({
      inventory: { machineUuid: async () => machineOf(host) },
      power: {
        end: async () => void calls.push(`${host} remove process`),
        resume: async () => void calls.push(`${host} resume`),
      },
      definitions: {
        setAutostart: async () => void calls.push(`${host} autostart off`),
        describe: async () => ({ ...noFacts, saved: more.saved?.includes(host) === true }),
      },
      volumes: { at: async () => undefined },
    }) as unknown as HostLink;
  const settle = createSettle({
    clock: { timeout: () => new AbortController().signal },
    vm: () => vm,
    hostNameOf: (id) => id,
    hostIdOf: (ref) => ref as HostId,
    linkOf,
    answers: () => true,
    active: () => [],
    migrationsOf: async () => [last],
    leftovers: async () => [],
    purge: async ({ path }) => void calls.push(`purge ${path}`),
    refresh: async () => {},
    kept: {
      isParked: (_, host) => parked.has(host),
      park: async (_, host) => void (parked.add(host) && calls.push(`${host} parked`)),
      unpark: async (_, host) => void parked.delete(host),
    },
    ...more,
  });
  return { settle, calls };
}
const signal = AbortSignal.timeout(5_000);
const refusedWith = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;

test('the copies with what is known: their part in the last migration, and whose disks they write to', async () => {
  const copies = await settling(
    vmWith(at('h2', 'running', 'migrated'), at('h1', 'running', 'migration-canceled', 'conflict')),
  ).settle.copies('web', signal);
  assert.deepEqual(
    copies.map(({ host }) => host),
    ['h2', 'h1'],
  );
  assert.match(
    copies[0]?.knowledge.join(' ') ?? '',
    /the target of migration m1, which failed.*memory as of the switch.*disks vda are copies/,
  );
  assert.match(
    copies[1]?.knowledge.join(' ') ?? '',
    /the source of migration m1.*paused for the switch.*let it run again/,
  );
});

test('one is kept: the others end, and it runs', async () => {
  const { settle, calls } = settling(vmWith(at('h2', 'paused', 'user'), at('h1', 'paused', 'user', 'conflict')));
  await settle.settle('web', 'h1', signal);
  assert.deepEqual(calls, ['h2 remove process', 'h2 autostart off', 'h2 parked', 'h1 resume']);
});

test(
  'nothing is ended, paused or forgotten on two views of one machine: the two are asked at that moment ' +
    'which machines they are',
  async () => {
    const twice = settling(
      vmWith(at('h2', 'running', 'migrated'), at('h3', 'running', 'migrated', 'conflict')),
      {},
      () => 'one machine',
    );
    await assert.rejects(
      twice.settle.settle('web', 'h2', signal),
      (error) => refusedWith('copies-not-apart')(error) && /h2 and h3 are one machine/.test(String(error)),
    );
    const half = settling(
      vmWith(at('h2', 'running', 'migrated'), at('h1', 'paused', 'migration', 'incoming')),
      {},
      () => 'one machine',
    );
    await assert.rejects(half.settle.cleanup('web', signal), refusedWith('copies-not-apart'));
    // of three copies two are one: not even the third is ended
    const three = settling(
      vmWith(
        at('h1', 'running', 'booted'),
        at('h2', 'running', 'migrated', 'conflict'),
        at('h3', 'running', 'migrated', 'conflict'),
      ),
      {},
      (host) => (host === 'h3' ? 'machine of h1' : `machine of ${host}`),
    );
    await assert.rejects(three.settle.settle('web', 'h1', signal), refusedWith('copies-not-apart'));
    assert.deepEqual([...twice.calls, ...half.calls, ...three.calls], []);
  },
);

test('nothing is ended where there is one copy, where the kept one is off, in a migration, or that holds memory of its own', async () => {
  const nothing = settling(vmWith(at('h1', 'running', 'booted'), at('h2', 'shut-off', 'other', 'parked')), {
    parked: ['h2'],
  });
  await assert.rejects(nothing.settle.settle('web', 'h1', signal), refusedWith('vm-not-in-conflict'));
  await assert.rejects(nothing.settle.settle('web', 'h2', signal), refusedWith('request-invalid'));
  const postCopy = settling(
    vmWith(at('h2', 'running', 'post-copy-failed'), at('h1', 'paused', 'post-copy-failed', 'incoming')),
  );
  await assert.rejects(postCopy.settle.settle('web', 'h2', signal), refusedWith('copy-needed'));
  const moving = settling(vmWith(at('h2', 'running', 'migrated'), at('h1', 'running', 'booted', 'conflict')), {
    active: () => [{ ...last, phase: 'transferring' }],
  });
  await assert.rejects(moving.settle.settle('web', 'h1', signal), refusedWith('vm-already-migrating'));
  assert.deepEqual([...nothing.calls, ...postCopy.calls, ...moving.calls], []);
});

test('a migration that only tells hooks of its end does not keep its VM from being settled', async () => {
  const closing = { outcome: 'succeeded' as const, at: 1 };
  const told = settling(vmWith(at('h2', 'running', 'migrated'), at('h1', 'running', 'booted', 'conflict')), {
    active: () => [{ ...last, phase: 'cleaning', evidence: { closing } }],
  });
  await told.settle.settle('web', 'h2', signal);
  assert.ok(told.calls.length > 0);
});

test('two definitions that are shut off: the others are parked, and nothing is undefined', async () => {
  const off = vmWith(at('h1', 'shut-off', 'other'), at('h2', 'shut-off', 'other', 'conflict'));
  const { settle, calls } = settling(off);
  assert.match(
    (await settle.copies('web', signal))[1]?.knowledge.join(' ') ?? '',
    /Ferry does not know why its definition is there/,
  );
  await settle.settle('web', 'h2', signal);
  assert.deepEqual(calls, ['h1 autostart off', 'h1 parked']);
  const running = settling(vmWith(at('h1', 'running', 'booted'), at('h2', 'shut-off', 'other', 'parked')));
  await running.settle.settle('web', 'h1', signal);
  assert.deepEqual(
    running.calls,
    ['h2 autostart off', 'h2 parked'],
    'a definition beside a running one may be replaced from then on',
  );
  const kept = settling(vmWith(at('h1', 'shut-off', 'other'), at('h2', 'shut-off', 'other', 'parked')), {
    parked: ['h2'],
  });
  for (const host of ['h1', 'h2'])
    await assert.rejects(kept.settle.settle('web', host, signal), refusedWith('vm-not-in-conflict'));
});

test('a copy whose memory is saved is told as that, is not parked, and may be the one that is kept', async () => {
  const off = vmWith(at('h1', 'shut-off', 'other'), at('h2', 'shut-off', 'other', 'conflict'));
  const { settle, calls } = settling(off, { saved: ['h1'] });
  assert.match((await settle.copies('web', signal))[0]?.knowledge.join(' ') ?? '', /Its memory is saved there/);
  await assert.rejects(settle.settle('web', 'h2', signal), refusedWith('copy-saved'));
  assert.deepEqual(calls, []);
  await settle.settle('web', 'h1', signal);
  assert.deepEqual(calls, ['h2 autostart off', 'h2 parked']);
});

test('the hosts are asked again first: a copy that has ended since it was shown is not the one that stays', async () => {
  const shown = vmWith(at('h2', 'running', 'migrated'), at('h1', 'running', 'booted', 'conflict'));
  let now = shown;
  const { settle, calls } = settling(shown, {
    vm: () => now,
    refresh: async () => {
      now = vmWith(at('h2', 'running', 'migrated'), at('h1', 'shut-off', 'other', 'parked'));
    },
  });
  await assert.rejects(settle.settle('web', 'h1', signal), refusedWith('request-invalid'));
  assert.deepEqual(calls, []);
});

test('cleaning up: a half beside a copy that runs is ended, one alone runs again, unfinished volumes go', async () => {
  const beside = settling(vmWith(at('h2', 'running', 'migrated'), at('h1', 'paused', 'migration', 'incoming')), {
    leftovers: async () => [copy],
  });
  assert.deepEqual(
    (await beside.settle.remains('web')).map(({ host, settles }) => [host, settles]),
    [
      ['h1', true],
      ['h2', true],
    ],
  );
  assert.deepEqual(beside.calls, [], 'looking changes nothing');
  await beside.settle.cleanup('web', signal);
  assert.deepEqual(beside.calls, ['h1 remove process', 'purge /pool/web']);
  const alone = settling(vmWith(at('h1', 'paused', 'migration')));
  await alone.settle.cleanup('web', signal);
  assert.deepEqual(alone.calls, ['h1 resume']);
});

test('cleaning up leaves alone what it cannot be sure of', async () => {
  const silent = settling(vmWith(at('h1', 'paused', 'migration')), { answers: (host) => host !== 'h2' });
  assert.match((await silent.settle.cleanup('web', signal))[0]?.remedy ?? '', /h2 does not answer, and may run the VM/);
  const memory = settling(vmWith(at('h1', 'paused', 'post-copy-failed')));
  assert.match((await memory.settle.cleanup('web', signal))[0]?.remedy ?? '', /holds memory that no other copy has/);
  const halves = settling(vmWith(at('h1', 'paused', 'migration'), at('h2', 'paused', 'migration', 'incoming')));
  assert.ok((await halves.settle.cleanup('web', signal)).every(({ settles }) => !settles));
  assert.deepEqual([...silent.calls, ...memory.calls, ...halves.calls], []);
});
