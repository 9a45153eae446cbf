import assert from 'node:assert/strict';
import { test } from 'node:test';
import { predict, presets, type Policy } from '@ferry/core';
import * as fc from 'fast-check';
import { anySituation } from './arbitraries.ts';
import { writtenWithin, type GuestMemory } from './memory.ts';
import { run } from './run.ts';

/** Longer than any transfer that is predicted to converge. */
const watchMs = 1_800_000;
const mib = 1_048_576;
const ferry = presets.get('default') ?? assert.fail('no default');
/** Takes no measure at all. */
const leavesAlone = (initialMs: number): Policy => ({
  ...ferry,
  name: 'none',
  downtime: { initialMs, limitMs: initialMs },
  steps: [],
  postCopy: 'never',
});
/** What an exact instrument would read. */
const reading = (memory: GuestMemory, seconds: number) => ({
  seconds,
  bytesPerSecond: writtenWithin(memory, seconds) / seconds,
});

test('property: the prediction for a guest that does not change comes true', () => {
  const seen = { converges: 0, 'at-risk': 0, 'does-not-converge': 0, unknown: 0 };
  fc.assert(
    fc.property(anySituation, fc.constantFrom(100, 300, 1_000), ({ rate, guest, steady }, budgetMs) => {
      const policy = leavesAlone(budgetMs);
      const { memory } = guest;
      const {
        kind,
        text,
        totalMs: predicted,
      } = predict(
        {
          curve: { at: 0, readings: [1, 2, 4].map((seconds) => reading(memory, seconds)) },
          memoryBytes: memory.totalBytes,
          diskBytes: 0,
          bandwidthBytesPerSecond: rate,
          policy,
          mayPostCopy: false,
        },
        0,
      );
      seen[kind] += 1;
      const { end, totalMs } = run({ guest, link: steady, policy, recoverable: false, watchMs });
      const told = `${Math.round(rate / mib)} MiB/s; ${text}\n${end} after ${Math.round(totalMs)} ms\n${JSON.stringify(guest)}`;
      if (kind === 'converges') {
        assert.equal(end, 'pre-copy', told);
        const { low = Infinity, high = 0 } = predicted ?? {};
        assert.ok(low <= totalMs + 1_000 && totalMs <= high + 1_000, told);
      }
      if (kind === 'does-not-converge') assert.equal(end, 'unfinished', told);
    }),
    { numRuns: 200, seed: 20_261_121 },
  );
  // it has something to say of most
  assert.ok(seen.converges > 80 && seen['does-not-converge'] > 10 && seen['at-risk'] < 80, JSON.stringify(seen));
});
