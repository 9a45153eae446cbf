import assert from 'node:assert/strict';
import { test } from 'node:test';
import { predictionRows } from './prediction.ts';
import { fields } from './table.ts';

const totalMs = { low: 4_200, expected: 9_000, high: 12_300 };
const downtimeMs = { low: 1, expected: 60 };

test('a prediction: what to expect, and from where to where', () => {
  assert.equal(
    fields(predictionRows({ totalMs, downtimeMs })),
    'predicted time   about 9.0 s (4.2 s to 12.3 s)\npredicted pause  about 60 ms (at least 1 ms)',
  );
  assert.deepEqual(
    predictionRows(undefined).filter(([, text]) => text !== undefined),
    [],
  );
});

test('at the end what it took stands beside it, and that the interval had to be wider', () => {
  const measured = { totalMs: 13_000, downtimeMs: 40, totalIsWithin: false, downtimeIsWithin: true };
  const widened = { totalMs: { low: 1, high: 2 }, downtimeMs: { low: 1, high: 1 } };
  assert.deepEqual(
    predictionRows({ totalMs, downtimeMs, measured, widened }).map(([, text]) => text),
    [
      'about 9.0 s (4.2 s to 12.3 s); it took 13.0 s, outside of that',
      'about 60 ms (at least 1 ms); it took 40 ms, as predicted',
      'These are wider than the model says, because earlier predictions missed.',
    ],
  );
});
