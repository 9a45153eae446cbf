import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Planned } from '../model/migration.ts';
import { withNotBegun } from './not-begun.ts';
import { absent, fresh, plan, silent, to } from './step-fixture.ts';

const waiting: Planned = {
  ...fresh,
  to,
  plan,
  vmIsNow: { host: 'host1', state: 'running' },
  phase: 'transferring',
  phases: [
    { phase: 'queued', at: 0 },
    { phase: 'transferring', at: 1_000 },
  ],
};

test('a transfer that does not begin: what libvirt waits for, and who can end it, with the command', () => {
  assert.equal(withNotBegun(waiting, absent, 15_999).attention, undefined);
  const attention = withNotBegun(waiting, absent, 16_000).attention ?? '';
  for (const sentence of [
    /^libvirt has not begun to send: host1 waits for the libvirt daemon of host2, which answers Ferry, but /,
    / as many clients as it allows \(max_clients\)\. web stays running on host1\. An abort does not end this wait: /,
    /Only host2 can end it: .*virt-admin server-clients-set libvirtd --max-clients 5000/,
  ])
    assert.match(attention, sentence);
  assert.match(
    withNotBegun(waiting, silent, 16_000).attention ?? '',
    /which does not answer Ferry either \(no answer\)\..*Only host2 can end it: repair it, or restart its libvirtd\.$/,
  );
});

test('an abort that was asked for is said to be kept; a move that Ferry drives itself does not wait so', () => {
  assert.match(
    withNotBegun({ ...waiting, abortRequestedAt: 2_000 }, absent, 16_000).attention ?? '',
    /libvirt keeps the abort until that connection is made, and ends the move then\./,
  );
  const direct = { ...waiting, plan: { ...plan, transfer: { mode: 'direct' as const, modeReason: '' } } };
  assert.equal(withNotBegun(direct, absent, 16_000).attention, undefined);
});

test('it is removed once something is sent, and other attention is kept', () => {
  const told = withNotBegun(waiting, absent, 60_000);
  const pass = { iteration: 1, startedAt: 0, restBytes: 1, sentBytes: 1 };
  const sending = {
    startedAt: 0,
    part: 'memory',
    passes: [pass],
    recent: [],
    best: { bytes: 1, at: 0 },
  } as unknown as NonNullable<Planned['transferHistory']>;
  assert.equal(withNotBegun({ ...told, transferHistory: sending }, absent, 61_000).attention, undefined);
  assert.equal(
    withNotBegun({ ...waiting, attention: 'other', transferHistory: sending }, absent, 61_000).attention,
    'other',
  );
});
