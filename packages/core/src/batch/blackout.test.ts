import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blackoutAt, blackoutProblems } from './blackout.ts';

const at = (text: string): number => Date.parse(text);
const until = (periods: readonly string[], now: string): string | undefined => {
  const found = blackoutAt(periods, at(now));
  return found === undefined ? undefined : new Date(found.until).toISOString().slice(0, 16);
};

test('a period lasts on its days from its start to its end, UTC', () => {
  // 2026-11-30 is a Monday
  assert.equal(until(['Mon-Fri 08:00-18:00'], '2026-11-30T07:59:59Z'), undefined);
  assert.equal(until(['Mon-Fri 08:00-18:00'], '2026-11-30T08:00Z'), '2026-11-30T18:00');
  assert.equal(until(['Mon-Fri 08:00-18:00'], '2026-11-30T18:00Z'), undefined);
  assert.equal(until(['Mon-Fri 08:00-18:00'], '2026-12-05T12:00Z'), undefined, 'a Saturday');
  assert.equal(until(['Fri-Mon,Wed 00:00-24:00'], '2026-12-02T12:00Z'), '2026-12-03T00:00');
});

test('one that goes over midnight, or over the end of the week, ends the next day', () => {
  assert.equal(until(['22:00-02:00'], '2026-12-01T23:00Z'), '2026-12-02T02:00');
  assert.equal(until(['22:00-02:00'], '2026-12-02T01:00Z'), '2026-12-02T02:00');
  assert.equal(until(['Sun 22:00-02:00'], '2026-11-30T01:00Z'), '2026-11-30T02:00');
  assert.equal(until(['Sun 22:00-02:00'], '2026-12-01T01:00Z'), undefined);
});

test('periods that meet are one; one that comes once has its own end', () => {
  assert.equal(until(['Mon 08:00-12:00', 'Mon 11:00-14:00'], '2026-11-30T09:00Z'), '2026-11-30T14:00');
  const holidays = ['2026-12-24T00:00Z/2026-12-27T00:00Z'];
  assert.equal(until(holidays, '2026-12-25T10:00Z'), '2026-12-27T00:00');
  assert.equal(until(holidays, '2026-12-27T00:00Z'), undefined);
  assert.equal(until([], '2026-12-27T00:00Z'), undefined);
});

test('periods that never end, or cannot be read, are refused in a sentence', () => {
  const refused: readonly [readonly string[], RegExp][] = [
    [['00:00-24:00'], /never end: together they take the whole week/],
    [['Mon-Fri 00:00-24:00', 'Sat,Sun 00:00-12:00', 'Sat-Sun 12:00-24:00'], /never end/],
    [['12:00-06:00', '06:00-12:00'], /never end/],
    [['2026-12-24T00:00Z/'], /never ends: name its end/],
    [['2026-12-24T00:00Z/2026-12-23T00:00Z'], /ends before it begins/],
    [['2026-12-24T00:00Z/9999-12-23T00:00Z'], /is longer than 90 days/],
    [['2026-12-24T00:00/2026-12-25T00:00'], /is no blackout period/],
    [['nightly'], /"nightly" is no blackout period; it is written as in Mon-Fri/],
    [['Mo 08:00-18:00'], /days are Mon, Tue/],
    [['25:00-26:00'], /times go from 00:00 to 24:00/],
    [['08:00-08:00'], /ends when it begins/],
  ];
  for (const [periods, says] of refused) {
    assert.match(blackoutProblems(periods).join(' '), says, periods.join());
    assert.equal(blackoutProblems(periods).length, 1);
  }
  assert.deepEqual(blackoutProblems(['Mon-Fri 08:00-18:00', 'Sat,Sun 00:00-24:00', '22:00-06:00']), []);
});
