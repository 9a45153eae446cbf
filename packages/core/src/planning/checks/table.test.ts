import assert from 'node:assert/strict';
// eslint-disable-next-line no-restricted-imports -- the files of the table
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { reasonTable, type ReasonCode } from '../../model/reasons.ts';
import { hostChecks, moveChecks, vmChecks } from './table.ts';

const all = [...vmChecks, ...hostChecks, ...moveChecks];

/** Said where there is nothing to check yet, when its turn has come, or of a rescue. */
const elsewhere: readonly ReasonCode[] = [
  'facts-missing',
  'vm-gone',
  'vm-moved',
  'rescue-unfit',
  'rescue-saved-memory',
  'rescue-source-answers',
  'rescue-source-unclear',
  'no-other-host',
  'target-unknown',
  'target-removed',
  'definition-missing',
  'source-slots',
  'target-slots',
  'network-slots',
  'fleet-slots',
];

test('every code is answered by a check, or is known to arise elsewhere', () => {
  const answered = all.flatMap(({ codes }) => codes);
  assert.deepEqual(
    Object.keys(reasonTable).filter((code) => ![...answered, ...elsewhere].includes(code as ReasonCode)),
    [],
  );
  assert.deepEqual(
    elsewhere.filter((code) => answered.includes(code)),
    [],
  );
});

test('every file of a check is in the table, and each name is there once', () => {
  const files = readdirSync(new URL('.', import.meta.url))
    .filter((file) => !file.endsWith('.test.ts'))
    .map((file) => file.replace(/\.ts$/, ''))
    .filter((file) => !['answer', 'check', 'judge', 'table'].includes(file))
    .sort();
  assert.deepEqual(all.map(({ name }) => name).sort(), files);
});
