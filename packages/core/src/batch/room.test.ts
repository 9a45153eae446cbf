import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import { lacksOnlyRoom } from './room.ts';

const reason = (code: ReasonCode, host?: string): Reason => ({
  code,
  message: code,
  remedy: '',
  ...(host === undefined ? {} : { host }),
});

test('a VM waits only for a host that lacks nothing but room, and never if something holds for all hosts', () => {
  const full = [reason('target-overcommitted', 'h2'), reason('target-memory', 'h2')];
  assert.equal(lacksOnlyRoom(full), true);
  assert.equal(lacksOnlyRoom([...full, reason('target-cordoned', 'h3')]), true);
  assert.equal(lacksOnlyRoom([...full, reason('target-cordoned', 'h2')]), false);
  assert.equal(lacksOnlyRoom([...full, reason('vm-host-devices')]), false);
  assert.equal(lacksOnlyRoom([]), false);
});
