import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hotRate, longestSilenceMs, type Look } from './guest-watch.ts';

/** A beat each 4 ms and a MiB each 100 ms (10 MiB/s), but for silence in `pause`. */
const guest = (untilMs: number, [pausedFrom, pausedTo]: readonly [number, number]): readonly Look[] => {
  const looks: Look[] = [];
  let ran = 0;
  for (let atMs = 0; atMs <= untilMs; atMs += 4) {
    if (atMs > pausedFrom && atMs < pausedTo) continue;
    looks.push({ atMs, beats: ran, hotMib: Math.floor((ran * 4) / 100) });
    ran += 1;
  }
  return looks;
};

test('the longest silence is the pause, if it is within', () => {
  const looks = guest(4000, [2000, 2240]);
  assert.equal(longestSilenceMs(looks, 0, 4000), 240);
  assert.equal(longestSilenceMs(looks, 2100, 2120), 240);
  assert.equal(longestSilenceMs(looks, 0, 1000), 4);
  assert.ok(Number.isNaN(longestSilenceMs([], 0, 1000)));
});

test('the rate falls by what the guest lost', () => {
  const looks = guest(4000, [2000, 3000]);
  assert.ok(Math.abs(hotRate(looks, 500, 1500) - 10) < 0.2);
  assert.ok(Math.abs(hotRate(looks, 1000, 3500) - 6) < 0.3);
  assert.ok(Number.isNaN(hotRate([], 0, 1000)));
});
