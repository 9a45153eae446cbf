/**
 * Follows one migration to its end: a live bar on a terminal, a line per phase elsewhere. Ctrl-C detaches; a lost
 * connection is tried again, since the migration goes on without us.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationJson } from '@ferry/api';
import { ApiError } from '@ferry/api/client';
import { exitCodes, type ExitCode } from '@ferry/api/errors';
import type { Context } from './context.ts';
import { formatBytes, formatDuration, formatTime, terminalSafe } from './output/format.ts';
import { predictionRows } from './output/prediction.ts';
import { progressLine } from './output/progress-bar.ts';
import { fields } from './output/table.ts';

const redrawEveryMs = 100;
const reconnectForMs = 60_000;

export const exitOf = ({ outcome, error }: MigrationJson): ExitCode => {
  switch (outcome) {
    case 'succeeded':
      return exitCodes.done;
    case 'cancelled':
      return exitCodes.cancelled;
    case 'failed':
      return error?.code === 'migration-refused' || error?.code === 'hook-refused'
        ? exitCodes.refused
        : exitCodes.failed;
    // its end was not seen
    case undefined:
      return exitCodes.unreachable;
  }
};

export const travelText = ({
  tls,
  tunnelled,
  migrateUri,
  parallelConnections,
  compression,
  zeroCopy,
}: NonNullable<MigrationJson['transfer']>): string | undefined =>
  [
    ...(migrateUri === undefined ? [] : [`to ${migrateUri}`]),
    ...(tls === true ? ['encrypted'] : []),
    ...(tunnelled === true ? ['tunnelled'] : []),
    ...(parallelConnections === undefined ? [] : [`over ${parallelConnections} connections`]),
    ...(compression === undefined ? [] : [`compressed (${compression})`]),
    ...(zeroCopy === true ? ['without copying'] : []),
  ].join(', ') || undefined;

/** Where a running transfer is. */
const progressText = ({ progress, phase, outcome }: MigrationJson): string | undefined =>
  progress === undefined
    ? undefined
    : outcome !== undefined
      ? `${progress.percent} %, ${formatBytes(progress.remainingBytes)} left`
      : [
          `${progress.percent} %`,
          phase === 'post-copy'
            ? 'post-copy'
            : progress.part === 'disks'
              ? 'disks'
              : `memory, pass ${progress.iteration}`,
          `${formatBytes(progress.remainingBytes)} left`,
          ...(progress.etaMs === undefined
            ? []
            : [
                `${formatDuration(progress.etaMs)} to go ` +
                  `(${formatDuration(progress.etaEarliestMs ?? progress.etaMs)} to ` +
                  `${formatDuration(progress.etaLatestMs ?? progress.etaMs)})`,
              ]),
          ...(progress.throttlePercent === undefined ? [] : [`guest slowed down by ${progress.throttlePercent} %`]),
          ...(progress.postCopyFaults === undefined ? [] : [`${progress.postCopyFaults} pages waited for`]),
        ].join(', ');

const originText = ({ origin, batch, batchId, actor, client }: MigrationJson): string =>
  [
    origin,
    ...(batch === undefined ? [] : [`of ${batch}${batchId === undefined ? '' : ` (${batchId})`}`]),
    `by ${actor} (${client})`,
  ].join(' ');

export const migrationText = (migration: MigrationJson): string =>
  fields([
    ['migration', `${migration.id} (${migration.name})`],
    ['vm', migration.vm.name],
    ['kind', migration.kind],
    ['origin', originText(migration)],
    [
      'driven',
      migration.transfer === undefined ? undefined : `${migration.transfer.mode} (${migration.transfer.modeReason})`,
    ],
    ['travels', migration.transfer === undefined ? undefined : travelText(migration.transfer)],
    ['from', migration.from],
    ['to', migration.to],
    [
      'policy',
      migration.policy === undefined
        ? undefined
        : `${migration.policy.name}${migration.policy.version === 0 ? '' : ` (version ${migration.policy.version})`}: ` +
          migration.policy.text,
    ],
    ['deadline', migration.deadlineAt === undefined ? undefined : formatTime(migration.deadlineAt)],
    ['phase', migration.phase],
    ['attention', migration.waiting === undefined ? migration.attention : undefined],
    ['priority', migration.waiting?.priority],
    ...(migration.waiting?.waitsFor ?? []).map(({ message }): [string, string] => ['waits for', message]),
    ['outcome', migration.outcome],
    ['progress', progressText(migration)],
    ['total time', migration.totalMs === undefined ? undefined : formatDuration(migration.totalMs)],
    ['downtime', migration.downtimeMs === undefined ? undefined : formatDuration(migration.downtimeMs)],
    ['prediction', migration.prediction?.text],
    ...predictionRows(migration.prediction),
    ['transferred', migration.transferredBytes === undefined ? undefined : formatBytes(migration.transferredBytes)],
    [
      'VM is now',
      migration.vmIsNow === undefined ? undefined : `${migration.vmIsNow.state} on ${migration.vmIsNow.host}`,
    ],
    ['error', migration.error?.message],
    ['remedy', migration.error?.remedy],
    ...(migration.error?.reasons ?? []).map((each): [string, string] => [
      'reason',
      `${each.host === undefined ? '' : `${each.host}: `}${each.message} (${each.remedy})`,
    ]),
  ]);

interface Display {
  show(migration: MigrationJson): void;
  end(): void;
}

function liveBar(): Display {
  let drawnAt = 0;
  let phase = '';
  let told = 0;
  return {
    show(migration) {
      // decisions stay on the screen, above the bar
      for (const { text } of (migration.decisions ?? []).slice(told)) process.stderr.write(`\r\u001b[2K${text}\n`);
      told = migration.decisions?.length ?? 0;
      const now = performance.now();
      if (now - drawnAt < redrawEveryMs && migration.phase === phase) return;
      drawnAt = now;
      phase = migration.phase;
      process.stderr.write(`\r\u001b[2K${progressLine(migration, process.stderr.columns || 80)}`);
    },
    end: () => void process.stderr.write('\r\u001b[2K'),
  };
}

function phaseLines(): Display {
  let phase = '';
  let told = 0;
  return {
    show(migration) {
      for (const { text } of (migration.decisions ?? []).slice(told))
        process.stderr.write(`${migration.vm.name}: ${text}\n`);
      told = migration.decisions?.length ?? 0;
      if (migration.phase === phase) return;
      phase = migration.phase;
      process.stderr.write(`${migration.vm.name} ${migration.from} -> ${migration.to ?? '?'}: ${phase}\n`);
    },
    end: () => undefined,
  };
}

/** Every state of the migration from now to its end, over as many connections as it takes. */
async function* states(context: Context, id: string, signal: AbortSignal): AsyncGenerator<MigrationJson> {
  let lostAt: number | undefined;
  let delayMs = 100;
  for (;;) {
    try {
      for await (const { data } of context.client().stream('migrationWatch', { params: { migration: id }, signal })) {
        if (lostAt !== undefined) context.output.note('connected again');
        lostAt = undefined;
        delayMs = 100;
        yield data;
        if (data.outcome !== undefined) return;
      }
    } catch (error) {
      if (
        signal.aborted ||
        !(error instanceof ApiError) ||
        !['server-unreachable', 'server-stopping'].includes(error.code)
      )
        throw error;
      if (lostAt !== undefined && performance.now() - lostAt > reconnectForMs) throw error;
    }
    if (lostAt === undefined)
      context.output.note('\nthe control plane does not answer; the migration goes on. Trying again ...');
    lostAt ??= performance.now();
    await sleep(delayMs, undefined, { signal });
    delayMs = Math.min(delayMs * 2, 2_000);
  }
}

/** Resolves with the exit code: of the outcome, or `detached` after Ctrl-C. `everyState`: as NDJSON, for scripts. */
export async function followMigration(
  context: Context,
  start: MigrationJson,
  options: { readonly everyState?: boolean } = {},
): Promise<ExitCode> {
  const { output } = context;
  const detaching = new AbortController();
  const detach = (): void => detaching.abort();
  process.once('SIGINT', detach);
  const display = process.stderr.isTTY ? liveBar() : phaseLines();
  let last = start;
  try {
    for await (const state of states(context, start.id, detaching.signal)) {
      last = state;
      if (options.everyState === true && output.json) output.line(state, () => '');
      else display.show(terminalSafe(state));
    }
  } catch (error) {
    if (!detaching.signal.aborted) throw error;
    display.end();
    output.note(
      `detached: migration ${start.id} goes on. Watch it with "ferry migration watch ${start.id}", abort ` +
        `it with "ferry migration abort ${start.id}".`,
    );
    return exitCodes.detached;
  } finally {
    process.off('SIGINT', detach);
  }
  display.end();
  if (!(options.everyState === true && output.json)) output.result(last, (safe) => migrationText(safe));
  return exitOf(last);
}
