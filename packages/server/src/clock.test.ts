import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClock } from './clock.ts';

const hour = 3_600_000;

test('time does not step with the clock of the machine, goes on over a restart, and follows the clock when it is told to', () => {
  let wallMs = 1_000_000_000;
  let sinceBootMs = 50;
  const machine = { wallMs: () => wallMs, sinceBootMs: () => sinceBootMs, boot: 'b1' };
  const first = createClock(machine);
  const anchor = first.anchor();
  const began = first.now();
  assert.equal(began, wallMs);
  wallMs += hour;
  sinceBootMs += 2_000;
  assert.equal(first.now() - began, 2_000, 'forth');
  wallMs -= 2 * hour;
  assert.equal(first.now() - began, 2_000, 'and back');

  const second = createClock(machine);
  second.anchor(anchor);
  sinceBootMs += 5;
  assert.equal(second.now() - began, 2_005, 'another process of the same boot goes on');
  assert.equal(second.anchor().boot, 'b1');
  assert.equal(second.now(), wallMs, 'nothing runs: the clock is right again');

  const rebooted = createClock({ wallMs: () => wallMs, sinceBootMs: () => 1, boot: 'b2' });
  rebooted.anchor(anchor);
  assert.equal(rebooted.now(), wallMs, 'another boot counts anew');
});
