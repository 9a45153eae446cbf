/**
 * Blackout periods: no drain or restore begins to move a VM within one. A period comes each week, as in
 * `Mon-Fri 08:00-18:00`, `Sat,Sun 00:00-24:00` or `22:00-02:00`, or once, as in `2026-12-24T00:00Z/2026-12-27T00:00Z`. All
 * times are UTC. Periods that leave no time are refused. Pure.
 */
import type { TimeMs } from '../model/ids.ts';

const days = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const dayMinutes = 1_440;
const weekMinutes = 7 * dayMinutes;
const minuteMs = 60_000;
const dayMs = dayMinutes * minuteMs;
/** Of a period that comes once: a longer one may as well never end. */
const longestMs = 90 * dayMs;
const weekMs = weekMinutes * minuteMs;
/** 1970-01-05, a Monday. */
const mondayMs = 4 * dayMs;

/** From the start of Monday, minutes; `end` may lie in the next week. */
interface Weekly {
  readonly start: number;
  readonly end: number;
}
interface Once {
  readonly from: TimeMs;
  readonly until: TimeMs;
}
type Period = { readonly weekly: readonly Weekly[] } | { readonly once: Once };

const examples = 'Mon-Fri 08:00-18:00, 22:00-02:00 or 2026-12-24T00:00Z/2026-12-27T00:00Z';

/** What is wrong, in a sentence. */
function read(text: string): Period | string {
  if (text.includes('/')) return readOnce(text);
  const [, named, fromHour, fromMinute, toHour, toMinute] =
    /^(?:([A-Za-z,-]+) )?(\d\d):([0-5]\d)-(\d\d):([0-5]\d)$/.exec(text) ?? [];
  if (fromHour === undefined) return `"${text}" is no blackout period; it is written as in ${examples}.`;
  const [from, to] = [Number(fromHour) * 60 + Number(fromMinute), Number(toHour) * 60 + Number(toMinute)];
  const starts = named === undefined ? days.map((_, index) => index) : daysOf(named);
  if (starts === undefined || from >= dayMinutes || to > dayMinutes)
    return `"${text}" is no blackout period: days are ${days.join(', ')}, and times go from 00:00 to 24:00.`;
  if (from === to) return `The blackout period "${text}" ends when it begins; a whole day is 00:00-24:00.`;
  return {
    weekly: starts.map((day) => ({
      start: day * dayMinutes + from,
      end: day * dayMinutes + to + (to < from ? dayMinutes : 0),
    })),
  };
}

function readOnce(text: string): Period | string {
  const [start = '', end = '', more] = text.split('/');
  const [from, until] = [timeOf(start), timeOf(end)];
  if (from === undefined || more !== undefined)
    return `"${text}" is no blackout period; it is written as in ${examples}.`;
  if (end === '') return `The blackout period "${text}" never ends: name its end, as in ${examples}.`;
  if (until === undefined) return `"${text}" is no blackout period; it is written as in ${examples}.`;
  if (until <= from) return `The blackout period "${text}" ends before it begins.`;
  return until - from <= longestMs
    ? { once: { from, until } }
    : `The blackout period "${text}" is longer than ${longestMs / dayMs} days: name an end that comes sooner.`;
}

/** With its zone: another reader would take it for another time. */
const timeOf = (text: string): TimeMs | undefined => {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
};

function daysOf(text: string): readonly number[] | undefined {
  const found: number[] = [];
  for (const part of text.split(',')) {
    const [first, last = first, more] = part.split('-').map((name) => days.findIndex((day) => day === name));
    if (first === undefined || last === undefined || more !== undefined || first < 0 || last < 0) return undefined;
    for (let day = first; ; day = (day + 1) % 7) {
      found.push(day);
      if (day === last) break;
    }
  }
  return found;
}

/** In sentences; none: they can be stored. */
export function blackoutProblems(texts: readonly string[]): readonly string[] {
  const problems: string[] = [];
  const weekly: Weekly[] = [];
  for (const text of texts) {
    const period = read(text);
    if (typeof period === 'string') problems.push(period);
    else if ('weekly' in period) weekly.push(...period.weekly);
  }
  if (problems.length > 0 || !coversWeek(weekly)) return problems;
  return [
    `The blackout periods ${texts.join('; ')} never end: together they take the whole week. Leave some time in which drains may move VMs.`,
  ];
}

function coversWeek(weekly: readonly Weekly[]): boolean {
  const sorted = weekly
    .flatMap(({ start, end }) => [
      { start, end },
      { start: start - weekMinutes, end: end - weekMinutes },
    ])
    .toSorted((a, b) => a.start - b.start);
  let covered = 0;
  for (const { start, end } of sorted) if (start <= covered) covered = Math.max(covered, end);
  return covered >= weekMinutes;
}

export interface Blackout {
  readonly until: TimeMs;
  /** As it was written. */
  readonly period: string;
}

/** Periods that meet are taken for one. Those that cannot be read count for nothing: they are refused when they are set. */
const mostPeriods = 200;

/** The one that lasts now, with the end of all that follow without a gap. */
export function blackoutAt(texts: readonly string[], now: TimeMs): Blackout | undefined {
  const periods = texts.map((text) => ({ text, period: read(text) }));
  let until = now;
  let first: string | undefined;
  for (let steps = 0; steps < mostPeriods; steps += 1) {
    const next = periods.flatMap(({ text, period }) => {
      const end = typeof period === 'string' ? undefined : endOf(period, until);
      return end === undefined ? [] : [{ text, end }];
    })[0];
    if (next === undefined) break;
    first ??= next.text;
    until = next.end;
  }
  return first === undefined ? undefined : { until, period: first };
}

/** When it ends, if it lasts at this time. */
function endOf(period: Period, at: TimeMs): TimeMs | undefined {
  if ('once' in period) return period.once.from <= at && at < period.once.until ? period.once.until : undefined;
  const inWeek = (((at - mondayMs) % weekMs) + weekMs) % weekMs;
  const weekStart = at - inWeek;
  const ends = period.weekly.flatMap(({ start, end }) =>
    [-weekMinutes, 0].flatMap((shift) => {
      const [from, to] = [(start + shift) * minuteMs, (end + shift) * minuteMs];
      return from <= inWeek && inWeek < to ? [weekStart + to] : [];
    }),
  );
  return ends.length === 0 ? undefined : Math.max(...ends);
}
