/**
 * How one invocation prints: the API's objects as JSON or YAML, or text for people. Results go to stdout, all else to
 * stderr.
 */
import { ApiError } from '@ferry/api/client';
import { exitCodes, type ExitCode } from '@ferry/api/errors';
import { csvOf, namesOf, tableOf, type ListLook } from './columns.ts';
import { printable, printableLines, safeJson, terminalSafe } from './format.ts';

/** What every command prints, and what only lists print. */
export const formats = ['table', 'json', 'yaml'] as const;
export const listFormats = [...formats, 'wide', 'name', 'csv'] as const;
export type Format = (typeof listFormats)[number];

export interface Output {
  readonly json: boolean;
  /** The object itself is printed: as JSON or YAML. */
  readonly structured: boolean;
  /** More is shown than fits a narrow terminal. */
  readonly wide: boolean;
  /** Prints a result: the object itself, or the text made of it, in which every name is safe for a terminal. */
  readonly result: <T>(value: T, text: (safe: T) => string) => void;
  /** `part`: of a list whose beginning was printed before, so it has no header. */
  readonly list: <T>(items: readonly T[], look: ListLook<T>, part?: 'part') => void;
  /** One object per line, or per document of YAML, for what goes on. */
  readonly line: <T>(value: T, text: (safe: T) => string) => void;
  readonly note: (text: string) => void;
}

/** `yaml`: makes YAML of an object; loaded where it is asked for. */
export const createOutput = (format: Format, yaml: (value: unknown) => string): Output => {
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  const asText = (text: string): void => print(printableLines(text));
  const result: Output['result'] = (value, text) => {
    if (format === 'json') print(safeJson(value, 2));
    else if (format === 'yaml') print(yaml(value));
    else asText(text(terminalSafe(value)));
  };
  return {
    json: format === 'json',
    structured: format === 'json' || format === 'yaml',
    wide: format === 'wide',
    result,
    list: (items, look, part) => {
      if (part !== undefined && items.length === 0) return;
      // no name is an empty line
      if (format === 'name' && items.length === 0) return;
      result(items, (safe) => {
        if (format === 'name') return namesOf(safe, look);
        if (format === 'csv') return csvOf(safe, look, part === undefined);
        const text = tableOf(safe, look, format === 'wide');
        return part === undefined ? text : text.slice(text.indexOf('\n') + 1);
      });
    },
    line: (value, text) => {
      if (format === 'json') print(safeJson(value));
      else if (format === 'yaml') print(`---\n${yaml(value)}`);
      else asText(text(terminalSafe(value)));
    },
    note: (text) => void process.stderr.write(`${printableLines(text)}\n`),
  };
};

/** Wrong use, for a script that reads JSON; the sentence itself is on stderr already. */
export const usageJson = (message: string): string =>
  `${JSON.stringify({ code: 'usage', status: 0, detail: message, remedy: 'See --help.', reasons: [] })}\n`;

/** Prints what is wrong, each reason and the remedy; never a stack trace. Returns the exit code. */
export function reportFailure(error: unknown, json: boolean): ExitCode {
  const failure = error instanceof ApiError ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`error: ${printable(message)}`];
  for (const { host, message: reason, remedy } of failure?.reasons ?? [])
    lines.push(`  ${host === undefined ? '' : `${printable(host)}: `}${printable(reason)} (${printable(remedy)})`);
  // reasons bring their own ways out
  if (failure !== undefined && failure.remedy !== '' && failure.reasons.length === 0)
    lines.push(`hint: ${printable(failure.remedy)}`);
  process.stderr.write(`${lines.join('\n')}\n`);
  if (json && failure !== undefined) {
    const { code, status, remedy, reasons, hosts } = failure;
    const more = hosts.length === 0 ? {} : { hosts };
    process.stdout.write(`${safeJson({ code, status, detail: message, remedy, reasons, ...more })}\n`);
  }
  return failure?.exit ?? exitCodes.failed;
}
