import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorTable, exitCodes, FerryError, reportOf } from './errors.ts';

test('every error has a status, an exit code of the list, and a remedy in a sentence', () => {
  const known = new Set<number>(Object.values(exitCodes));
  for (const [code, { status, exit, remedy, retriable }] of Object.entries(errorTable)) {
    assert.ok(status >= 400 && status < 600, code);
    assert.ok(known.has(exit) && exit !== exitCodes.done, code);
    assert.match(remedy, /^[A-Z].*\.$/, code);
    if (retriable)
      assert.ok(
        ['store-conflict', 'server-stopping'].includes(code),
        `${code}: what may have taken effect is not repeated`,
      );
  }
});

test('an error has its reasons and its remedy', () => {
  const reasons = [{ code: 'vm-gone' as const, message: 'y.', remedy: 'z.' }];
  const error = new FerryError('migration-refused', 'It cannot be moved.', { reasons });
  assert.deepEqual(reportOf(error), {
    code: 'migration-refused',
    message: 'It cannot be moved.',
    remedy: errorTable['migration-refused'].remedy,
    reasons,
  });
});
