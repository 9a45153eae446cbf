/** Aligned columns with a header, for lists and for the fields of one object. */
import { displayWidth, padToWidth, printable } from './format.ts';

export type Row = readonly (string | number | undefined)[];

const cell = (value: string | number | undefined): string =>
  value === undefined || value === '' ? '-' : printable(String(value));

export function table(header: readonly string[], rows: readonly Row[]): string {
  const cells = [header.map((each) => each.toUpperCase()), ...rows.map((row) => row.map(cell))];
  const widths = header.map((_, column) => Math.max(...cells.map((row) => displayWidth(row[column] ?? ''))));
  return cells
    .map((row) =>
      row
        .map((text, column) => padToWidth(text, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export const fields = (pairs: readonly (readonly [string, string | number | undefined])[]): string => {
  const shown = pairs.filter(([, value]) => value !== undefined);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`).join('\n');
};
