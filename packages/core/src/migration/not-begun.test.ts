import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../model/migration.ts';
import { withNotBegun } from './not-begun.ts';
import { fresh, to } from './step-fixture.ts';

const waiting: Migration = {
  ...fresh,
  to,
  phase: 'transferring',
  phases: [
    { phase: 'queued', at: 0 },
    { phase: 'transferring', at: 1_000 },
  ],
};

test('a transfer that does not begin says what libvirt waits for and who can end it; an abort is told to be none', () => {
  assert.equal(withNotBegun(waiting, 15_999).attention, undefined);
  const told = withNotBegun(waiting, 16_000);
  assert.match(
    told.attention ?? '',
    /^libvirt has not begun to send: host1 waits for the libvirt daemon of host2, .*max_clients.* web runs on on host1\. An abort does not end this wait; .* restart of the daemon on host2/,
  );
  assert.match(
    withNotBegun({ ...waiting, abortRequestedAt: 2_000 }, 16_000).attention ?? '',
    /The abort cannot end this wait/,
  );
});

test('it is taken back once something is sent, and other attention is left alone', () => {
  const told = withNotBegun(waiting, 60_000);
  const pass = { iteration: 1, startedAt: 0, restBytes: 1, sentBytes: 1 };
  const sending = {
    startedAt: 0,
    part: 'memory',
    passes: [pass],
    recent: [],
    best: { bytes: 1, at: 0 },
  } as unknown as NonNullable<Migration['course']>;
  assert.equal(withNotBegun({ ...told, course: sending }, 61_000).attention, undefined);
  assert.equal(withNotBegun({ ...waiting, attention: 'other', course: sending }, 61_000).attention, 'other');
});
