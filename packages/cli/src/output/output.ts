/**
 * How one invocation prints: the API's objects as JSON, or text for people. Results go to stdout, all else to stderr.
 */
import { ApiError } from '@ferry/api/client';
import { exitCodes, type ExitCode } from '@ferry/api/errors';
import { printable, printableLines, safeJson, terminalSafe } from './format.ts';

export interface Output {
  readonly json: boolean;
  /** Prints a result: the object itself, or the text made of it, in which every name is safe for a terminal. */
  readonly result: <T>(value: T, text: (safe: T) => string) => void;
  /** One object per line, for what goes on. */
  readonly line: <T>(value: T, text: (safe: T) => string) => void;
  readonly note: (text: string) => void;
}

export const createOutput = (json: boolean): Output => ({
  json,
  result: (value, text) =>
    void process.stdout.write(`${json ? safeJson(value, 2) : printableLines(text(terminalSafe(value)))}\n`),
  line: (value, text) =>
    void process.stdout.write(`${json ? safeJson(value) : printableLines(text(terminalSafe(value)))}\n`),
  note: (text) => void process.stderr.write(`${printableLines(text)}\n`),
});

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
    const { code, status, remedy, reasons } = failure;
    process.stdout.write(`${safeJson({ code, status, detail: message, remedy, reasons })}\n`);
  }
  return failure?.exit ?? exitCodes.failed;
}
