/** `ferry explain`: what a code means. It needs no control plane. */
import type { Command } from 'commander';
import { ApiError } from '@ferry/api/client';
import { errorTable } from '@ferry/api/errors';
import { doctorTable, reasonTable } from '@ferry/api/reasons';
import { contextOf } from '../context.ts';
import { fields, table } from '../output/table.ts';

interface Explained {
  readonly code: string;
  readonly kind: 'reason' | 'error' | 'finding';
  /** What a reason is about: what has to change for the move to be possible. */
  readonly about?: string;
  /** What a reason does to the move. */
  readonly verdict?: 'refuse' | 'wait' | 'warn' | 'unknown';
  /** How much a finding of "ferry host doctor" matters. */
  readonly matters?: 'mend' | 'note' | 'unknown';
  readonly meaning?: string;
  readonly remedy?: string;
  readonly exitCode?: number;
  readonly httpStatus?: number;
  readonly retriable?: boolean;
}

const all: readonly Explained[] = [
  ...Object.entries(reasonTable).map(([code, row]): Explained => ({ code, kind: 'reason', ...row })),
  ...Object.entries(doctorTable).map(([code, { meaning, verdict }]): Explained => ({
    code,
    kind: 'finding',
    meaning,
    matters: verdict,
  })),
  ...Object.entries(errorTable).map(([code, { status, exit, remedy, retriable }]): Explained => ({
    code,
    kind: 'error',
    remedy,
    exitCode: exit,
    httpStatus: status,
    retriable,
  })),
];

const pairsOf = (text: string): ReadonlySet<string> =>
  new Set(Array.from({ length: text.length - 1 }, (_, at) => text.slice(at, at + 2)));

/** Those that have most pairs of letters in common with it, the nearest first. */
function similar(code: string): readonly string[] {
  const wanted = pairsOf(code.toLowerCase());
  return all
    .map((each) => {
      const has = pairsOf(each.code);
      const common = [...has].filter((pair) => wanted.has(pair)).length;
      return { code: each.code, share: common / Math.max(has.size, wanted.size) };
    })
    .filter(({ share }) => share >= 0.5)
    .toSorted((a, b) => b.share - a.share)
    .slice(0, 5)
    .map((each) => each.code);
}

function explained(code: string): readonly Explained[] {
  const found = all.filter((each) => each.code === code);
  if (found.length > 0) return found;
  const near = similar(code);
  throw new ApiError({
    code: 'not-found',
    status: 404,
    message: `There is no code "${code}".`,
    remedy: near.length > 0 ? `Similar codes: ${near.join(', ')}.` : '"ferry explain" lists all codes.',
  });
}

const moves = {
  refuse: 'is refused',
  wait: 'waits for other migrations',
  warn: 'goes on, with a warning; a policy may refuse it',
  unknown: 'goes on, and the plan says what is not known; a policy may refuse it',
} as const;

const kinds = {
  reason: 'an answer of a check; its sentence and remedy name what is concerned',
  finding: 'a finding of "ferry host doctor"',
  error: 'an error',
} as const;
const importance = {
  mend: 'moves to or from the host fail, or a guest could be harmed',
  note: 'worth knowing',
  unknown: 'the host did not answer',
} as const;

const page = ({
  code,
  kind,
  about,
  verdict,
  matters,
  meaning,
  remedy,
  exitCode,
  httpStatus,
  retriable,
}: Explained): string =>
  fields([
    ['code', code],
    ['kind', kinds[kind]],
    ['about', about],
    ['the move', verdict === undefined ? undefined : moves[verdict]],
    ['it matters', matters === undefined ? undefined : importance[matters]],
    ['meaning', meaning],
    ['remedy', remedy],
    ['exit code', exitCode],
    ['HTTP status', httpStatus],
    ['worth trying again', retriable === undefined ? undefined : retriable ? 'yes' : 'no'],
  ]);

export function explainCommands(program: Command): void {
  program
    .command('explain')
    .argument('[code]', 'a code of a reason or an error, as -o json shows it; all without one')
    .description('say what a code means')
    .action((code: string | undefined, _: unknown, command: Command) => {
      const { output } = contextOf(command);
      if (code !== undefined) output.result(explained(code), (safe) => safe.map(page).join('\n\n'));
      else
        output.result(all, (safe) =>
          table(
            ['code', 'kind', 'about', 'meaning or remedy'],
            safe.map(({ code: each, kind, about, meaning, remedy }) => [each, kind, about, meaning ?? remedy]),
          ),
        );
    });
}
