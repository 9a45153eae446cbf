/** How a list is printed: its columns as a table, narrow or wide, or as CSV; or the names alone. */
import { printable } from './format.ts';
import { table, type Row } from './table.ts';

export interface Column<T> {
  readonly name: string;
  readonly of: (item: T) => string | number | undefined;
  /** For programs, where that is not what people read: bytes, not GiB. */
  readonly raw?: (item: T) => string | number | undefined;
  /** Only in wide tables and in CSV. */
  readonly wide?: true;
}

export interface ListLook<T> {
  readonly columns: readonly Column<T>[];
  /** As the commands take it. */
  readonly name: (item: T) => string;
}

export function tableOf<T>(items: readonly T[], { columns }: ListLook<T>, wide: boolean): string {
  const shown = columns.filter((column) => wide || column.wide === undefined);
  return table(
    shown.map(({ name }) => name),
    items.map((item): Row => shown.map(({ of }) => of(item))),
  );
}

/** RFC 4180, but for the ends of its lines, which are those of other programs. */
export function csvOf<T>(items: readonly T[], { columns }: ListLook<T>, header: boolean): string {
  const line = (cells: Row): string => cells.map(csvCell).join(',');
  const lines = items.map((item) => line(columns.map(({ of, raw = of }) => raw(item))));
  return [...(header ? [line(columns.map(({ name }) => name))] : []), ...lines].join('\n');
}

const csvCell = (value: string | number | undefined): string => {
  const text = value === undefined ? '' : printable(String(value));
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export const namesOf = <T>(items: readonly T[], { name }: ListLook<T>): string => items.map(name).join('\n');
