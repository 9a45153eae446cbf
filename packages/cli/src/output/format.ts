/**
 * Values as people read them: IEC sizes, durations, local times. What comes from a host is made safe for a terminal.
 */
import { createRequire } from 'node:module';
import type * as eastAsian from 'get-east-asian-width';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}

export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export const formatTime = (rfc3339: string): string => new Date(rfc3339).toLocaleString('sv-SE');

const controls = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu;
export const hasControls = (text: string): boolean => text.search(controls) !== -1;

/**
 * Control characters, which could move the cursor or colour the terminal, and the marks that turn the direction of
 * text, as visible escapes.
 */
export const escapeControls = (text: string, kept: string): string =>
  text.replace(controls, (each) =>
    kept.includes(each) ? each : `\\u${(each.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );

export const printable = (text: string): string => escapeControls(text, '');

/** The same for text that has lines of its own. */
export const printableLines = (text: string): string => escapeControls(text, '\n\t');

/** Fields whose text has lines of its own. */
const ofSeveralLines: readonly string[] = ['log', 'definition'];

/**
 * The same answer with every text in it made safe for a terminal: names come from hosts, and hosts accept any
 * character.
 */
export function terminalSafe<T>(value: T, field = ''): T {
  const safe = (each: unknown, name: string): unknown => {
    if (typeof each === 'string') return (ofSeveralLines.includes(name) ? printableLines : printable)(each);
    if (Array.isArray(each)) return each.map((one) => safe(one, name));
    if (typeof each === 'object' && each !== null)
      return Object.fromEntries(Object.entries(each).map(([key, one]) => [printable(key), safe(one, key)]));
    return each;
  };
  return safe(value, field) as T;
}

/** JSON in which no text has a character that a terminal obeys: the same values, written as escapes. */
export const safeJson = (value: unknown, indent?: number): string =>
  escapeControls(JSON.stringify(value, undefined, indent), '\n');

// few names are outside ASCII, and the tables are a tenth of what a short command loads
const load = (name: string): unknown => createRequire(import.meta.url)(name);

/** Columns that a text takes on a terminal: a Chinese character two, an accent of its own none. */
export function displayWidth(text: string): number {
  if (/^[\u0020-\u007e]*$/.test(text)) return text.length;
  const { eastAsianWidth } = load('get-east-asian-width') as typeof eastAsian;
  let width = 0;
  for (const each of text) if (!/[\p{Mn}\p{Me}\p{Cf}]/u.test(each)) width += eastAsianWidth(each.codePointAt(0) ?? 0);
  return width;
}

export const padToWidth = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - displayWidth(text)));

/** As much of the text as fits. */
export function cutToWidth(text: string, width: number): string {
  let cut = '';
  let left = width;
  for (const each of text) {
    left -= displayWidth(each);
    if (left < 0) break;
    cut += each;
  }
  return cut;
}
